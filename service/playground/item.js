// One item, looked at closely: picture, attributes, and why it is in the answer.

import { facts, itemOf, show } from "./catalogue.js";
import { at, button, h, openDialog } from "./dom.js";
import { labelOf } from "./facets.js";
import { reasons } from "./why.js";

const worded = (value) =>
  Array.isArray(value) ? value.join(", ") : value === true ? "yes" : value === false ? "no"
  : typeof value === "number" ? value.toLocaleString("en", { maximumFractionDigits: 2 }) : String(value);

/** Open an item. `acts`: did(id, action), similar(id), like(id), photo(id). */
export function openItem(item, context, acts) {
  const id = item.item_id;
  const { category, picture, title } = itemOf(id);
  const { all, price, inStock } = facts(id, item.fields);
  const image = picture ? h("img", { alt: "", width: "280", height: "280" }) : h("span", { class: "no-picture", text: title.slice(0, 1) });
  if (picture) show(image, id).catch(() => null);
  const leave = (act) => () => {
    at("dialog").close();
    act();
  };
  const rows = Object.entries(all).filter(([, value]) => value !== null && value !== "");
  return openDialog(title, h("div", { class: "item" },
    h("div", { class: "frame large" }, image),
    h("div", {},
      h("p", { class: "meta", text: category || id }),
      h("p", { class: "offer" }, h("span", { class: "price", text: price ?? "" }),
        inStock === null ? null : h("span", { class: "stock" + (inStock ? "" : " out"), text: inStock ? "in stock" : "sold out" })),
      h("p", { class: "acts" },
        button("Put in the basket", leave(() => acts.did(id, "cart")), { class: "main", disabled: inStock === false }),
        button("Similar items", leave(() => acts.similar(id))),
        button("Like this, but …", leave(() => acts.like(id))),
        picture ? button("Search with its picture", leave(() => acts.photo(id))) : null),
      h("h3", { text: "Why it is here" }), reasons(item, context),
      h("dl", { class: "facts" }, [["id", id], ...rows].map(([name, value]) =>
        h("div", {}, h("dt", { text: name === "id" ? "Id" : labelOf(name) }), h("dd", { text: worded(value) })))))));
}
