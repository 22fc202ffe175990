// Why an item is in the answer, and how the answer came about, in words and bars.

import { titleOf } from "./catalogue.js";
import { count, h, unseen } from "./dom.js";

/** Routes: a short word for a card. The colours are in insight.css, by the same names. */
const SHORT = {
  q2i: "meaning", lexical: "words", i2i: "alike", u2i: "taste", p2i: "photo", popular: "popular",
};
const EXPERTS = {
  vbert: ["picture and words", "VBert reads the words together with the picture"],
  light_bert: ["sentence", "LightBert reads the words in their order"],
  ftatt: ["single words", "FtAtt reads each word by its parts, which helps with typos and names"],
};
const ACTIONS = { click: "clicked", cart: "put in the basket", order: "ordered" };

export const shortName = (route) => SHORT[route] || route;

/** A sentence for one source of an item. `context` has the answer's explain, and the state that was asked. */
export function because(source, context) {
  const { state, explain } = context;
  const place = source.rank ? `, the ${ordinal(source.rank)}best by that` : "";
  const asked = state.query.trim() ? `“${state.query.trim()}”` : "";
  const photo = state.upload || state.photo;
  switch (source.route) {
    case "q2i":
      if (state.like) return `It looks like ${titleOf(state.like)} and fits ${asked || "it"}${place}.`;
      if (asked && photo) return `It fits the meaning of ${asked} together with your photo${place}.`;
      if (photo) return `It is the kind of thing that your photo shows${place}.`;
      if (asked) return `It fits the meaning of ${asked}${place}.`;
      return `It suits what you clicked, taken together${place}.`;
    case "lexical":
      return `Its text has words of ${asked || "the query"}${place}.`;
    case "p2i":
      return `Its picture is very much like your photo${place}.`;
    case "u2i":
      return `It lies near one of your interests${place}.`;
    case "popular":
      return `Many people buy it${place}.`;
    case "i2i": {
      if (state.similar) return `It is like ${titleOf(state.similar)}${place}.`;
      const trigger = (explain?.triggers || []).find((each) => each.item_id === source.trigger);
      const yours = trigger ? trigger.origin === "history" : state.history.some((each) => each.id === source.trigger);
      const done = state.history.find((each) => each.id === source.trigger);
      return yours
        ? `Because you ${ACTIONS[done?.action] || "clicked"} ${titleOf(source.trigger)}.`
        : `It is like ${titleOf(source.trigger)}, one of the best answers.`;
    }
    default:
      return `Found by the route ${source.route}${place}.`;
  }
}

/** The word for a source: an item may be alike what the shopper clicked, or alike a good answer. */
const shortOf = (source, { state }) =>
  state.history.some((each) => each.id === source.trigger) ? "your clicks" : shortName(source.route);

function ordinal(n) {
  if (n === 1) return "";
  const end = n % 100 > 10 && n % 100 < 14 ? "th" : { 1: "st", 2: "nd", 3: "rd" }[n % 10] || "th";
  return `${n}${end} `;
}

/** Small marks of the routes that found an item. */
export const marks = (item, context) =>
  h("span", { class: "routes" },
    item.pinned ? h("span", { class: "route pinned", text: "pinned" }) : null,
    [...new Map(item.sources.map((source) => [shortOf(source, context), source.route]))].map(([words, route]) =>
      h("span", { class: "route " + route, text: words })));

/** The sentences of an item as a list. */
export function reasons(item, context) {
  const seen = new Set();
  const lines = item.sources.filter((source) => {
    const key = source.route + (source.trigger || "");
    return !seen.has(key) && seen.add(key);
  });
  return h("ul", { class: "reasons" },
    item.pinned ? h("li", {}, h("span", { class: "route pinned", text: "pinned" }), " The shop pinned it here.") : null,
    moved(context.change),
    lines.map((source) => h("li", {},
      h("span", { class: "route " + source.route, text: shortOf(source, context) }), " ", because(source, context),
      h("span", { class: "score", text: " score " + source.score.toFixed(3) }))));
}

/** What the shopper changed for an item, where the page knows. */
function moved(change) {
  if (!change || change.by === 0) return null;
  const words = change.by === null ? "is among the first for this shopper alone."
    : `stands ${Math.abs(change.by)} ${Math.abs(change.by) === 1 ? "place" : "places"} ${change.by > 0 ? "higher" : "lower"} for this shopper.`;
  return h("li", {}, h("span", { class: "route i2i", text: "shopper" }), ` It ${words}`);
}

/** A bar of parts: [name, value, text, title]. The list beside it says the same in words. */
export function bar(parts, kind, label) {
  const total = parts.reduce((sum, [, value]) => sum + value, 0) || 1;
  const whole = h("div", { class: "bar " + kind, "aria-hidden": "true" }, parts.map(([name, value, text], place) => {
    const part = h("span", { class: `part p${place % 8} ${name}`, title: text });
    part.style.flexGrow = String(Math.max(value / total, 0.002));
    return part;
  }));
  const list = h("ul", { class: "legend" }, parts.map(([name, , text, title], place) =>
    h("li", { title: title || false }, h("span", { class: `dot p${place % 8} ${name}`, "aria-hidden": "true" }), text)));
  return h("figure", { class: "bars" }, h("figcaption", { text: label }), whole, list);
}

/** How an answer came about: gate, routes, time. */
export function insight({ answer, stages, totalMs, roundMs }, state) {
  const parts = [];
  const explain = answer.explain;
  if (explain?.gate && (state.query.trim() || state.photo || state.upload || state.like)) {
    const gate = Object.entries(explain.gate).map(([name, weight]) => {
      const [words, title] = EXPERTS[name] || [name, ""];
      return [name, weight, `${words} ${Math.round(weight * 100)}%`, title];
    });
    parts.push(bar(gate, "gate", "What the model listened to"));
  }
  const routes = {};
  for (const item of answer.items) for (const route of new Set(item.sources.map((source) => source.route))) {
    routes[route] = (routes[route] || 0) + 1;
  }
  const found = Object.entries(routes).map(([name, n]) => [name, n, `${shortName(name)}: ${count(n, "item")}`, `the route ${name}`]);
  if (found.length) parts.push(bar(found, "found", "What found the items"));
  const known = stages.reduce((sum, [, ms]) => sum + ms, 0);
  const rest = Math.max(0, totalMs - known);
  const times = [...stages, ["rest", rest]].filter(([, ms]) => ms >= 0.005).map(([name, ms]) =>
    [name, ms, `${name === "rest" ? "everything else" : name} ${ms.toFixed(2)} ms`]);
  parts.push(bar(times, "time",
    `Time in the service: ${totalMs.toFixed(1)} ms of ${roundMs.toFixed(0)} ms until the browser had the answer`));
  const notes = [];
  if (explain?.pull) notes.push(`The history turned the question by ${Math.round(explain.pull * 100)}%.`);
  const used = explain?.portrait?.used?.length;
  if (used) notes.push(`${count(used, "item")} of the history told the model of a taste.`);
  if (explain?.portrait?.unknown?.length) notes.push(`${count(explain.portrait.unknown.length, "item")} of it the index does not have.`);
  if (explain?.cache === "hit") notes.push("The question was asked before: its words came from the cache.");
  for (const [name, route] of Object.entries(answer.routes || {})) {
    if (!["ok", "skipped"].includes(route.status)) notes.push(`The route ${name} fell short: ${route.reason || route.status}.`);
  }
  if (notes.length) parts.push(h("p", { class: "notes", text: notes.join(" ") }));
  return parts;
}

/** How places changed between two lists of ids: id to {by, text}; by is null for one that is new. Below the end
    of a list that is shorter, as under load, nobody knows. */
export function moves(before, after) {
  const places = new Map(before.map((id, place) => [id, place]));
  return new Map(after.map((id, place) => {
    const from = places.get(id);
    if (from === undefined) return [id, place < before.length ? { by: null, text: "new" } : { by: 0, text: "" }];
    const by = from - place;
    return [id, { by, text: by > 0 ? `▲ ${by}` : by < 0 ? `▼ ${-by}` : "" }];
  }));
}

export function moveMark(move, against) {
  if (!move || move.by === 0) return null;
  const far = Math.abs(move.by);
  const words = move.by === null ? "new" : `${far} ${far === 1 ? "place" : "places"} ${move.by > 0 ? "up" : "down"}`;
  return h("span", { class: "move " + (move.by === null ? "new" : move.by > 0 ? "up" : "down"), title: `${words}, ${against}` },
    h("span", { "aria-hidden": "true", text: move.text }), unseen(`${words}, ${against}`));
}
