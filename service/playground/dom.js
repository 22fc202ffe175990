// Making elements. Text is only ever set as text, so nothing that a shop or a service says is run.

export const at = (id) => document.getElementById(id);

/** An element with properties (class, text, on: {event: f}, data: {…}, any attribute) and children. */
export function h(tag, given = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(given)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "class") element.className = value;
    else if (name === "text") element.textContent = value;
    else if (name === "on") for (const [event, f] of Object.entries(value)) element.addEventListener(event, f);
    else if (name === "data") Object.assign(element.dataset, value);
    else if (name === "value" || name === "checked" || name === "disabled") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** A button that sends no form. */
export const button = (text, press, given = {}) =>
  h("button", { type: "button", text, ...given, on: { click: press } });

/** Text for screen readers alone. */
export const unseen = (text) => h("span", { class: "hidden", text });

export const count = (n, one, many = one + "s") => n.toLocaleString("en") + " " + (n === 1 ? one : many);

/** Make a part anew, and leave the keyboard where it was: at the same thing, or else at the part's first button. */
export function keepFocus(container, render) {
  const focused = container.contains(document.activeElement) ? document.activeElement : null;
  render();
  if (!focused) return;
  const same = focused.isConnected ? focused
    : [...container.querySelectorAll("button")].find((each) => labelOf(each) === labelOf(focused));
  (same || container.querySelector("button"))?.focus({ preventScroll: true });
}
const labelOf = (element) => element.getAttribute("aria-label") || element.textContent;

/** `render`, only where `told` is not what it was told the last time. */
export function whenOther(render) {
  let last = null;
  return (...told) => {
    const now = JSON.stringify(told);
    if (now !== last) render();
    last = now;
  };
}

/** Show the dialog with a title and content; resolves when it is closed. */
export function openDialog(title, ...content) {
  const dialog = at("dialog");
  const close = button("×", () => dialog.close(), { class: "close", "aria-label": "Close" });
  dialog.replaceChildren(close, h("h2", { id: "dialog-title", text: title }), ...content);
  if (!dialog.open) dialog.showModal();
  dialog.onclick = (event) => event.target === dialog && dialog.close();
  return new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
}
