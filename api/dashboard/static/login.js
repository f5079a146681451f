// @ts-check
// Logs in, and goes on to where somebody wanted to go.

const form = /** @type {HTMLFormElement} */ (document.getElementById("login"));
const said = /** @type {HTMLElement} */ (document.getElementById("said"));
const button = /** @type {HTMLButtonElement} */ (form.querySelector("button"));

/** The page of ours that was asked for; the dashboard where it is none of ours. */
function wanted() {
  const next = new URLSearchParams(location.search).get("next") ?? "";
  const page = /^(docs|dashboard)([?#]|$)/.test(next) ? next : "dashboard";
  return page.includes("#") ? page : page + location.hash; // which a browser carries over
}

/** @param {SubmitEvent} event */
async function submit(event) {
  event.preventDefault();
  button.disabled = true;
  said.textContent = "";
  const given = new FormData(form);
  const body = JSON.stringify({ name: given.get("name"), password: given.get("password") });
  try {
    const answer = await fetch("session", { method: "POST", headers: { "Content-Type": "application/json" }, body });
    if (answer.ok) return location.replace(wanted());
    said.textContent = (await answer.json().catch(() => null))?.detail ?? "The API does not answer.";
  } catch {
    said.textContent = "The API does not answer.";
  }
  button.disabled = false;
  const password = /** @type {HTMLInputElement} */ (form.elements.namedItem("password"));
  password.select();
  password.focus();
}

/** Shows the way to a provider of logins, where there is one. */
async function offer() {
  const session = await fetch("session")
    .then((answer) => answer.json())
    .catch(() => ({}));
  if (!session.provider) return;
  const link = /** @type {HTMLAnchorElement} */ (document.getElementById("provider"));
  link.href = `session/provider?next=${encodeURIComponent(wanted())}`;
  link.append(session.provider);
  link.hidden = false;
}

form.addEventListener("submit", submit);
offer();
