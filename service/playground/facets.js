// Filters made of the catalogue's attributes. What is chosen is kept in the form that POST /recall takes.

import { at, button, h, whenOther } from "./dom.js";

const FIRST = 8; // values of a facet that are shown at once

/** Build the filters; `change(filters)` is told what is chosen, `current()` gives what holds now. */
export function buildFacets(facets, current, change) {
  const groups = facets.map((facet) => ({ tree, choice, range, switch: onOff })[facet.kind]?.(facet, current, change));
  at("facets").replaceChildren(...groups.filter(Boolean).map((group) => group.element));
  const update = whenOther(() => groups.filter(Boolean).forEach((group) => group.update()));
  return () => update(current());
}

/** Filters with an attribute's condition, or without any for null. */
export function withFilter(filters, attribute, condition) {
  const { [attribute]: _, ...others } = filters;
  return condition === null ? others : { ...others, [attribute]: condition };
}

export const labelOf = (attribute) => {
  const words = attribute.replaceAll("_", " ");
  return words.slice(0, 1).toUpperCase() + words.slice(1);
};

const valuesOf = (condition) =>
  Array.isArray(condition) ? condition : typeof condition === "string" ? [condition] : [];

const group = (facet, content) =>
  h("fieldset", { class: "facet " + facet.kind }, h("legend", { text: labelOf(facet.attribute) }), content);

function box(facet, value, current, change) {
  const input = h("input", { type: "checkbox", on: { change: () => {
    const chosen = new Set(valuesOf(current()[facet.attribute]));
    input.checked ? chosen.add(value.value) : chosen.delete(value.value);
    change(withFilter(current(), facet.attribute, chosen.size ? [...chosen] : null));
  } } });
  const element = h("label", { class: "value" }, input, h("span", { text: value.label }),
    h("span", { class: "count", text: value.count.toLocaleString("en") }));
  return { element, update: () => {
    input.checked = valuesOf(current()[facet.attribute]).includes(value.value);
  } };
}

function choice(facet, current, change) {
  const boxes = facet.values.map((value) => box(facet, value, current, change));
  const rest = boxes.slice(FIRST).map((each) => each.element);
  const more = rest.length > 1
    ? h("details", { class: "more-values" }, h("summary", { text: `${rest.length} more` }), rest) : rest;
  return {
    element: group(facet, [...boxes.slice(0, FIRST).map((each) => each.element), more].flat()),
    update: () => boxes.forEach((each) => each.update()),
  };
}

function tree(facet, current, change) {
  const updates = [];
  const tops = facet.values.map((top) => {
    const own = box(facet, top, current, change);
    const below = top.below.map((value) => box(facet, value, current, change));
    updates.push(own.update, ...below.map((each) => each.update));
    if (!below.length) return own.element;
    const inner = h("div", { class: "below", hidden: true }, below.map((each) => each.element));
    const open = button("", () => unfold(inner.hidden), { class: "unfold", "aria-label": `Kinds of ${top.label}` });
    const unfold = (wanted) => {
      inner.hidden = !wanted;
      open.setAttribute("aria-expanded", String(wanted));
    };
    unfold(false);
    updates.push(() => below.some((each) => each.element.querySelector("input").checked) && unfold(true));
    return h("div", { class: "branch" }, h("div", { class: "top" }, own.element, open), inner);
  });
  return { element: group(facet, tops), update: () => updates.forEach((update) => update()) };
}

function onOff(facet, current, change) {
  const input = h("input", { type: "checkbox", role: "switch", on: { change: () =>
    change(withFilter(current(), facet.attribute, input.checked ? true : null)) } });
  const element = h("label", { class: "value alone" }, input, h("span", { text: labelOf(facet.attribute) + " only" }),
    h("span", { class: "count", text: facet.count?.toLocaleString("en") ?? "" }));
  return { element: h("div", { class: "facet switch" }, element), update: () => {
    input.checked = current()[facet.attribute] === true;
  } };
}

function range(facet, current, change) {
  const { low, high, bins } = facet;
  const step = niceStep((high - low) / 100);
  const least = Math.floor(low / step) * step;
  const most = Math.ceil(high / step) * step;
  const digits = Math.max(0, -Math.floor(Math.log10(step)));
  const show = (value) => value.toLocaleString("en", { maximumFractionDigits: digits });
  const slider = (label) => h("input", { type: "range", min: String(least), max: String(most), step: String(step),
    "aria-label": `${labelOf(facet.attribute)}, ${label}` });
  const [from, to] = [slider("at least"), slider("at most")];
  const told = h("output", { class: "told" });
  const peak = Math.max(...bins, 1);
  const bars = h("div", { class: "histogram", "aria-hidden": "true" }, bins.map((n) => {
    const column = h("span");
    column.style.height = `${Math.round(100 * Math.sqrt(n / peak))}%`;
    return column;
  }));
  let waiting = 0;
  const paint = () => {
    const [a, b] = [Number(from.value), Number(to.value)];
    told.textContent = `${show(a)} to ${b >= most ? show(most) + " and more" : show(b)}`;
    [...bars.children].forEach((column, place) => {
      const middle = low + ((place + 0.5) / bins.length) * (high - low);
      column.className = middle >= a && middle <= b ? "" : "out";
    });
  };
  const moved = (mover) => () => {
    if (Number(from.value) > Number(to.value)) (mover === from ? to : from).value = mover.value;
    paint();
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      const condition = {};
      if (Number(from.value) > least) condition.gte = Number(from.value);
      if (Number(to.value) < most) condition.lte = Number(to.value);
      change(withFilter(current(), facet.attribute, Object.keys(condition).length ? condition : null));
    }, 60);
  };
  from.addEventListener("input", moved(from));
  to.addEventListener("input", moved(to));
  return {
    element: group(facet, [bars, h("div", { class: "sliders" }, from, to), told]),
    update: () => {
      const condition = current()[facet.attribute];
      const given = condition && typeof condition === "object" && !Array.isArray(condition) ? condition : {};
      from.value = String(given.gte ?? given.gt ?? least);
      to.value = String(given.lte ?? given.lt ?? most);
      paint();
    },
  };
}

function niceStep(wanted) {
  const power = 10 ** Math.floor(Math.log10(wanted));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= wanted);
}

/** A condition in words, for a chip. */
export function conditionWords(attribute, condition) {
  const name = labelOf(attribute);
  if (condition === true) return name;
  if (condition === false) return `not ${name.toLowerCase()}`;
  if (Array.isArray(condition)) return condition.map((value) => String(value).split(" > ").at(-1)).join(" or ");
  if (condition && typeof condition === "object") {
    const signs = { gte: "from", gt: "over", lte: "up to", lt: "under", not: "not" };
    return `${name} ${Object.entries(condition).map(([sign, value]) => `${signs[sign] || sign} ${typeof value === "object" ? JSON.stringify(value) : value}`).join(" ")}`;
  }
  return String(condition).split(" > ").at(-1);
}
