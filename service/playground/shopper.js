// Who is shopping: nobody, one of the demo's personas, or whoever clicks; a strip shows what they did.

import { show, titleOf } from "./catalogue.js";
import { at, button, count, h, keepFocus } from "./dom.js";

const DONE = { click: "clicked", cart: "in the basket", order: "ordered" };

/** Show the strip. `acts`: choose(persona or null), remove(place). */
export function showShopper(state, personas, acts) {
  const strip = at("shopper");
  strip.hidden = false;
  const who = personas.find((persona) => persona.name === state.persona);
  const people = [
    h("button", { type: "button", class: "person", "aria-pressed": String(!state.history.length && !who), on: { click: () => acts.choose(null) } },
      h("span", { class: "face nobody", "aria-hidden": "true" }), "Nobody"),
    ...personas.map((persona, place) =>
      h("button", { type: "button", class: "person", title: persona.about, "aria-pressed": String(persona === who), on: { click: () => acts.choose(persona) } },
        h("span", { class: `face f${place % 6}`, "aria-hidden": "true", text: persona.name.slice(0, 1) }), persona.name)),
  ];
  if (state.history.length && !who) {
    people.push(h("span", { class: "person you" }, h("span", { class: "face you", "aria-hidden": "true", text: "★" }), "You"));
  }
  const done = state.history.map((entry, place) => {
    const image = h("img", { alt: "", width: "44", height: "44" });
    show(image, entry.id).catch(() => null);
    const title = titleOf(entry.id);
    return h("li", { class: entry.action, title: `${title}: ${DONE[entry.action] || entry.action}` },
      image.src ? image : h("span", { class: "no-picture", text: title.slice(0, 1) }),
      button("×", () => acts.remove(place), { "aria-label": `Forget ${title}, ${DONE[entry.action] || entry.action}` }));
  });
  const told = who ? who.about
    : state.history.length ? `What this shopper did turns the answer: ${count(state.history.length, "thing")} so far.`
    : personas.length ? "Choose a shopper, or click on items: what was clicked turns the answers."
    : "Click on items: what was clicked turns the answers.";
  keepFocus(strip, () => strip.replaceChildren(
    h("h2", { class: "hidden", text: "Shopper" }),
    h("div", { class: "people", role: "group", "aria-label": "Who is shopping" }, people),
    h("p", { class: "told", text: told }),
    done.length ? h("ol", { class: "done", "aria-label": "What the shopper did, newest first" }, done) : ""));
}
