// Elements are made here and nowhere else. Text is set as text: what a message holds can never become markup.

export const $ = (id) => document.getElementById(id);

export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

// Leaves equal text alone, so that live regions do not repeat it and nothing is laid out again.
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function show(element, shown = true) {
  if (element.hidden === shown) element.hidden = !shown;
}

export function chosen(button, on) {
  button.setAttribute("aria-pressed", String(on));
}
