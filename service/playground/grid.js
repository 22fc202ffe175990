// A grid of items. Cards are kept by item, so that a picture that was shown is not loaded again.

import { facts, itemOf, show } from "./catalogue.js";
import { button, h, keepFocus, unseen } from "./dom.js";
import { marks, moveMark } from "./why.js";

const KEPT = 400; // cards
const still = matchMedia("(prefers-reduced-motion: reduce)");

export class Grid {
  /** `acts` says what a card does: open(item), similar(id), like(id). */
  constructor(title, acts) {
    this.acts = acts;
    this.cards = new Map();
    this.list = h("ol", { class: "grid" });
    this.title = h("h2", { text: title });
    this.note = h("p", { class: "column-note" });
    this.element = h("section", { class: "column", "aria-label": title || "Items" }, this.title, this.note, this.list);
  }

  name(title, note = "") {
    this.title.textContent = title;
    this.title.hidden = !title;
    this.note.textContent = note;
    this.note.hidden = !note;
    this.element.setAttribute("aria-label", title || "Items");
  }

  /** Show items; with `moved` those that stay glide to their places. Resolves when the pictures are there. */
  show(items, { context, changes = null, against = "", moved = false }) {
    this.changes = null;
    const glide = moved && !still.matches && items.length <= 60;
    const before = glide ? this.#places() : null;
    const cards = items.map((item) => this.#card(item, context, changes?.get(item.item_id), against));
    keepFocus(this.list, () => this.list.replaceChildren(...cards));
    if (before) this.#glide(before);
    for (const id of this.cards.keys()) {
      if (this.cards.size <= KEPT) break;
      if (!this.cards.get(id).isConnected) this.cards.delete(id);
    }
    return Promise.all([...this.list.querySelectorAll("img[src]")].map((image) =>
      image.complete ? null : image.decode().catch(() => null)));
  }

  mark(changes, against) {
    this.changes = changes;
    for (const card of this.list.children) {
      card.querySelector(".move")?.remove();
      const mark = moveMark(changes.get(card.dataset.item), against);
      if (mark) card.querySelector(".frame").append(mark);
    }
  }

  #card(item, context, change, against) {
    const id = item.item_id;
    let card = this.cards.get(id);
    if (!card || card.dataset.known !== String(!itemOf(id).unknown)) {
      card = this.#make(id);
      this.cards.set(id, card);
    }
    card.item = item;
    const { price, inStock } = facts(id, item.fields);
    card.querySelector(".price").textContent = price ?? "";
    const stock = card.querySelector(".stock");
    stock.textContent = inStock === null ? "" : inStock ? "in stock" : "sold out";
    stock.className = "stock" + (inStock === false ? " out" : "");
    card.classList.toggle("sold-out", inStock === false);
    card.querySelector(".routes").replaceWith(marks(item, context));
    card.querySelector(".move")?.remove();
    const mark = moveMark(change, against);
    if (mark) card.querySelector(".frame").append(mark);
    return card;
  }

  #make(id) {
    const item = itemOf(id);
    const { brand, kind } = facts(id);
    const picture = item.picture
      ? h("img", { alt: "", decoding: "async", width: "160", height: "160" })
      : h("span", { class: "no-picture", text: (kind || item.title).slice(0, 1).toUpperCase(), "aria-hidden": "true" });
    if (item.picture) show(picture, id).catch(() => null);
    const card = h("li", { class: "card", data: { item: id, known: String(!item.unknown) } },
      h("div", { class: "frame" }, picture),
      h("h3", {}, button(item.title, () => this.acts.open(card.item), { class: "product" })),
      h("p", { class: "meta", text: [brand, kind].filter(Boolean).join(" · ") || id }),
      h("p", { class: "offer" }, h("span", { class: "price" }), h("span", { class: "stock" })),
      h("span", { class: "routes" }),
      h("p", { class: "acts" },
        button("Similar", () => this.acts.similar(id)).appendChild(unseen(` to ${item.title}`)).parentNode,
        button("Like, but …", () => this.acts.like(id)).appendChild(unseen(` ${item.title}`)).parentNode));
    return card;
  }

  #places() {
    return new Map([...this.list.children].map((card) => [card.dataset.item, card.getBoundingClientRect()]));
  }

  #glide(before) {
    for (const card of this.list.children) {
      const from = before.get(card.dataset.item);
      const to = card.getBoundingClientRect();
      const frames = from
        ? [{ transform: `translate(${from.left - to.left}px, ${from.top - to.top}px)` }, { transform: "none" }]
        : [{ opacity: 0, transform: "scale(.9)" }, { opacity: 1, transform: "none" }];
      if (!from || from.left !== to.left || from.top !== to.top) card.animate(frames, { duration: 380, easing: "ease-out" });
    }
  }
}
