// Requests to the service. What is asked is plain data, from which code to copy is made too.

import { Problem, answerOf, reach } from "./problems.js";

export const PATIENCE_MS = 5000;
let key = "";
export const setKey = (value) => {
  key = value;
};
export const headersFor = (arm) => ({
  ...(arm ? { "X-Experiment": arm } : {}),
  ...(key ? { Authorization: "Bearer " + key } : {}),
});

const MOST_FIELDS = 12;

/** What comes with the items, titles where the page does not ask for previews: prices and stock as they are now, and what the page cannot know without a shop. */
function fieldsOf({ attributes, titles, previews }) {
  const live = Object.entries(attributes).filter(([, kind]) => kind === "number" || kind === "bool").map(([name]) => name);
  const known = live.sort((a, b) => Number(/price|stock/.test(b)) - Number(/price|stock/.test(a)));
  const others = previews ? [] : Object.keys(attributes).filter((name) => !live.includes(name));
  return [...(titles && !previews ? ["title"] : []), ...("category" in attributes ? ["category"] : []), ...known, ...others.filter((name) => name !== "category")]
    .slice(0, MOST_FIELDS);
}

/**
 * What a state asks: {path, body} for POST, {path} for GET; headers beside.
 * `shop` says what the service can do, `pictures(id)` gives an item's picture in base64, `category(id)` its category.
 */
export async function requestOf(state, shop, { pictures, category }) {
  if (state.similar) {
    const given = new URLSearchParams({ k: state.k, timeout_ms: PATIENCE_MS });
    if (Object.keys(state.filters).length) given.set("filters", JSON.stringify(state.filters));
    return { path: `items/${encodeURIComponent(state.similar)}/similar?${given}`, arm: state.arm };
  }
  const body = { query: state.query, k: state.k };
  let filters = state.filters;
  let history = state.history;
  if (state.upload) body.picture = state.upload.base64;
  else if (state.photo) body.picture = (await pictures(state.photo)) ?? undefined;
  if (state.like) {
    // The item's kind and look, with the words for what is to be different. Its own picture would find
    // itself again by P2I, so that route stays out.
    const path = await category(state.like);
    if (path && !("category" in filters)) filters = { ...filters, category: path };
    const picture = body.picture ? null : await pictures(state.like);
    if (picture) {
      body.picture = picture;
      if (shop.routes.includes("p2i")) body.weights = { p2i: 0 };
    } else if (!body.picture) history = [{ id: state.like, action: "click" }, ...history];
    body.k = Math.min(state.k + 1, shop.limits.k);
  }
  if (history.length) body.history = history.map(({ id, action }) => ({ item_id: id, action }));
  if (Object.keys(filters).length) body.filters = filters;
  const fields = fieldsOf(shop);
  if (fields.length) body.fields = fields;
  return { path: "recall", body: { ...body, timeout_ms: PATIENCE_MS, explain: true }, arm: state.arm };
}

/** The answer to a request, with what its time went to: {answer, stages: [[name, ms]], totalMs, roundMs}. */
export async function send({ path, body, arm }, signal) {
  const began = performance.now();
  const response = await reach(path, {
    method: body ? "POST" : "GET",
    headers: { ...(body ? { "Content-Type": "application/json" } : {}), ...headersFor(arm) },
    body: body && JSON.stringify(body),
    signal,
  });
  const answer = await answerOf(response);
  if (!Array.isArray(answer.items)) throw new Problem("The service answered with something else than items.");
  const timing = (response.headers.get("Server-Timing") || "").split(",").map((part) => {
    const [name, ...given] = part.trim().split(";");
    const duration = given.find((each) => each.startsWith("dur="));
    return [name, duration ? Number(duration.slice(4)) : 0];
  });
  return {
    answer,
    stages: timing.filter(([name]) => name && name !== "total"),
    totalMs: answer.took_ms ?? 0,
    roundMs: performance.now() - began,
    applied: response.headers.get("X-Experiment-Applied") || "",
  };
}

export async function get(path, signal) {
  return answerOf(await reach(path, { headers: headersFor(""), signal }));
}
