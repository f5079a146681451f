// @ts-check
// Elements are made here and nowhere else. Text is set as text: what a message holds can never become markup.

import { visible } from "./words.js";

/**
 * The page's element with this id.
 * @template {HTMLElement} [T=HTMLElement]
 * @param {string} id
 * @param {new () => T} [kind]
 * @returns {T}
 */
export function $(id, kind) {
  const element = document.getElementById(id);
  if (!(element instanceof (kind ?? HTMLElement))) throw new TypeError(`There is no such element: ${id}`);
  return /** @type {T} */ (element);
}

/**
 * A new element. An attribute that is true is there without a value, one that is false is not.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, string | boolean>} attributes
 * @param {(Node | string)[]} children
 */
export function el(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) element.setAttribute(name, "");
    else if (value !== false) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/**
 * Leaves equal text alone, so that live regions do not repeat it and nothing is laid out again.
 * @param {Element} element
 * @param {string} text
 */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** @param {HTMLElement} element */
export function show(element, shown = true) {
  if (element.hidden === shown) element.hidden = !shown;
}

/**
 * @param {HTMLElement} button
 * @param {boolean} on
 */
export function setPressed(button, on) {
  button.setAttribute("aria-pressed", String(on));
}

/**
 * A text of a message: it has a direction of its own, and turns nothing around it.
 * @param {string} content
 */
export const foreign = (content) => el("bdi", {}, visible(content));

/**
 * A long amount that is broken, where there is no room for it, between its groups of digits.
 * @param {string} amount
 * @returns {(Node | string)[]}
 */
export function breakable(amount) {
  if (amount.length < 18) return [amount];
  return amount.split(/(?<=[,.'’\s])/).flatMap((part, index) => (index ? [el("wbr"), part] : [part]));
}

/**
 * An id, and a button that copies it.
 * @param {string} id
 * @param {HTMLElement} shown
 */
export function copyable(id, shown = el("span", {}, id)) {
  const button = el("button", { type: "button", class: "quiet copy", "aria-label": `Copy ${id}` }, "Copy");
  button.addEventListener("click", async () => {
    // The clipboard is for pages that come over TLS or from this machine; elsewhere the selection is copied.
    getSelection()?.selectAllChildren(shown);
    const copied = navigator.clipboard
      ? navigator.clipboard.writeText(id).then(() => true)
      : document.execCommand("copy");
    setText(button, (await Promise.resolve(copied).catch(() => false)) ? "Copied" : "Selected");
    setTimeout(() => setText(button, "Copy"), 2_000);
  });
  return [shown, " ", button];
}

/**
 * Whether a click is the end of selecting text, and not one on what lies below.
 * @param {MouseEvent} event
 */
export const selects = (event) => event.detail > 0 && getSelection()?.isCollapsed === false;

/**
 * Makes all of an item lead where its link does, and leaves its text to be selected.
 * @param {HTMLElement} item
 * @param {HTMLAnchorElement} link
 */
export function leads(item, link) {
  link.draggable = false; // it would be dragged in place of the text
  item.addEventListener("click", (event) => {
    const onLink = event.target instanceof Node && link.contains(event.target);
    if (selects(event)) event.preventDefault();
    else if (!onLink) link.click();
  });
  return item;
}
