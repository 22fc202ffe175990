// What is known of items beside their ids: titles, pictures, attributes. Asked for once an item.

import { reach } from "./problems.js";
import { get, headersFor } from "./service.js";

const KEPT = 5000; // items; the oldest are forgotten
const KEPT_CHARACTERS = 32e6; // of pictures
const AT_ONCE = 200;
const known = new Map();
const pictures = new Map(); // addresses that hold a picture: small ones came along, others were fetched with a key
let shown = true;

export const setPreviews = (there) => {
  shown = there;
};

const unknown = (id) => ({ title: id, category: "", picture: null, attributes: {}, unknown: true });
export const itemOf = (id) => known.get(id) || unknown(id);
export const titleOf = (id) => itemOf(id).title || id;

/** Learn what is not known yet of some items; one that the shop does not have keeps its id for a title. */
export async function learn(ids, signal) {
  const missing = [...new Set(ids)].filter((id) => id && !known.has(id));
  for (let from = 0; shown && from < missing.length; from += AT_ONCE) {
    const asked = missing.slice(from, from + AT_ONCE);
    const wanted = new URLSearchParams([...asked.map((id) => ["item_id", id]), ["pictures", "true"]]);
    const found = await get("playground/previews?" + wanted, signal);
    for (const id of asked) {
      const { data, ...told } = found[id] || unknown(id);
      known.set(id, told);
      if (data) keep(id, data);
    }
  }
  for (const id of known.keys()) {
    if (known.size <= KEPT) break;
    known.delete(id);
  }
}

let characters = 0;

function keep(id, address) {
  characters += address.length - (pictures.get(id)?.length ?? 0);
  pictures.set(id, address);
  for (const [oldest, its] of pictures) {
    if (characters <= KEPT_CHARACTERS || oldest === id) break;
    pictures.delete(oldest);
    characters -= its.length;
  }
}

/** What an answer says of items that the shop's files do not have: those put since, or all without a shop. */
export function adopt(items) {
  for (const { item_id: id, fields } of items) {
    const its = itemOf(id);
    if (!fields || its.category) continue;
    const { title, category, ...attributes } = fields;
    if (title || category) known.set(id, { ...its, title: title || its.title, category: category || "",
      attributes: { ...attributes, ...its.attributes }, unknown: false });
  }
}

/** Show a picture, at once where it came along; where a key is needed an image cannot ask by itself. */
export async function show(image, id) {
  const address = itemOf(id).picture;
  if (!address) return;
  if (!pictures.has(id)) {
    if (!headersFor("").Authorization) {
      image.src = address;
      return;
    }
    keep(id, await dataAddress(address));
  }
  image.src = pictures.get(id) || address;
}

async function dataAddress(address) {
  const response = await reach(address, { headers: headersFor("") });
  if (!response.ok) return "";
  const blob = await response.blob();
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}

/** An item's picture in base64, as POST /recall takes it; null where it has none. */
export async function base64Of(id) {
  await learn([id]);
  const address = itemOf(id).picture;
  if (!address) return null;
  const whole = await dataAddress(address);
  return !whole ? null : whole.slice(whole.indexOf(",") + 1);
}

export async function categoryOf(id) {
  await learn([id]);
  return itemOf(id).category;
}

const find = (attributes, kind, pattern) =>
  Object.keys(attributes).find((name) => pattern.test(name) && typeof attributes[name] === kind);

/** Price, stock and brand of an item, by the names that shops use for them; live values win. */
export function facts(id, fields = {}) {
  const item = itemOf(id);
  const live = Object.entries(fields).filter(([, value]) => typeof value === "number" || typeof value === "boolean");
  const all = { ...item.attributes, ...Object.fromEntries(live) };
  const price = find(all, "number", /price|cost/i);
  const stock = find(all, "boolean", /stock|avail/i) || find(all, "number", /stock|quantity/i);
  const brand = find(all, "string", /brand|maker|vendor/i);
  return {
    price: price ? all[price].toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 }) : null,
    inStock: stock ? Boolean(all[stock]) : null,
    brand: brand ? all[brand] : "",
    kind: (item.category || "").split(" > ").at(-1),
    all,
  };
}
