// The page: what is asked, the answer, and what follows from each click.

import { adopt, base64Of, categoryOf, itemOf, learn, setPreviews, show, titleOf } from "./catalogue.js";
import { copyAsCode } from "./copy.js";
import { at, button, count, h, keepFocus, openDialog, whenOther } from "./dom.js";
import { buildFacets, conditionWords, withFilter } from "./facets.js";
import { Grid } from "./grid.js";
import { openItem } from "./item.js";
import { showPhoto, takePictures } from "./photo.js";
import { Problem, asProblem } from "./problems.js";
import { get, requestOf, send, setKey } from "./service.js";
import { showShopper } from "./shopper.js";
import { PAGE, isEmpty, nothing, read, write } from "./state.js";
import * as versus from "./versus.js";
import { insight, moves } from "./why.js";

const AGAIN_MS = 1500; // until a service that is starting or busy is asked again
let shop = { facets: [], examples: [], personas: [], attributes: {}, routes: [], arms: {}, words: null, limits: { k: 1000, history: 200 } };
let state = nothing();
let last = null; // what is shown: {request, received, state}
let turn = 0; // of the newest question; answers to older ones are dropped
let asking = null;
let updateFacets = () => null;

const acts = {
  open: (item) => {
    const context = { state: last.state, explain: last.received.answer.explain, change: grids[0].changes?.get(item.item_id) };
    openItem(item, context, { ...acts, did }).then(() => chosen === item.item_id || did(item.item_id, "click"));
    chosen = "";
  },
  similar: (id) => change({ ...blank(), similar: id }),
  like: (id) => {
    change({ ...blank(), like: id });
    at("query").focus();
  },
  photo: (id) => change({ ...blank(), photo: id }),
};
let chosen = ""; // the item whose dialog was left by an action, which counts for more than a click
const grids = [new Grid("", acts), new Grid("", acts)];

const blank = () => ({ query: "", like: "", similar: "", photo: "", upload: null, k: PAGE });

function did(id, action) {
  if (action !== "click") chosen = id;
  const history = [{ id, action }, ...state.history.filter((each) => each.id !== id)].slice(0, shop.limits.history);
  change({ history, persona: "" }, { moved: true });
}

/** Change what is asked for, keep it in the address, and ask. */
function change(part, { typed = false, moved = false } = {}) {
  if (!typed) remember(true); // what was typed before, whose answer may not be there
  state = { ...state, ...part };
  if (!typed) remember();
  if (!typed) at("query").value = state.query;
  ask({ moved });
}

/** Put what is asked into the address; for what is typed when its answer is there, as a browser takes long for it. */
function remember(replace = false) {
  const address = "#" + write(state);
  if (address === (location.hash || "#")) return;
  history[replace ? "replaceState" : "pushState"](null, "", address);
}

async function ask({ moved = false } = {}) {
  const mine = (turn += 1);
  asking?.abort();
  asking = new AbortController();
  const { signal } = asking;
  const asked = state;
  at("results").setAttribute("aria-busy", "true");
  showQuestion();
  try {
    const request = await requestOf(asked, shop, { pictures: base64Of, category: categoryOf });
    if (mine !== turn) return;
    const both = asked.versus && !versus.idle(asked.versus, asked);
    const other = both ? versus.beside(asked.versus, request, shop)
      : asked.history.length && !asked.similar && !asked.versus ? versus.beside("nobody", request, shop) : null;
    const sendBeside = () => send(other, signal).then((received) => ({ received }), (error) => ({ error }));
    const beside = both ? sendBeside() : null; // what only marks what moved comes after what is asked
    const received = await send(request, signal);
    const ids = received.answer.items.map((item) => item.item_id);
    const named = [asked.like, asked.similar, asked.photo, ...asked.history.map((each) => each.id)];
    await learn([...ids, ...named], signal).catch((error) => { if (signal.aborted) throw error; }); // ids without pictures are an answer too
    if (mine !== turn) return;
    adopt(received.answer.items);
    showNamed();
    received.answer.items = received.answer.items.filter((item) => item.item_id !== asked.like).slice(0, asked.k);
    last = { request, received, state: asked };
    const pictures = showAnswer(asked, received, moved);
    if (other) await showBeside(asked, await (beside ?? sendBeside()), mine, signal, moved);
    await pictures;
    if (mine !== turn) return;
    remember(true);
    at("results").setAttribute("aria-busy", "false");
    // Items that are named where an item says why it is here.
    learn(received.answer.items.flatMap((item) => item.sources.map((source) => source.trigger)), signal).catch(() => null);
  } catch (error) {
    if (mine !== turn || error.name === "AbortError") return;
    remember(true);
    at("results").setAttribute("aria-busy", String(showProblem(asProblem(error))));
  }
}

/** All that does not wait for an answer. */
function showQuestion() {
  updateFacets();
  showNamed();
  at("filters-json").value = Object.keys(state.filters).length ? JSON.stringify(state.filters) : "";
  at("arm").value = state.arm;
  at("versus").value = state.versus;
  at("query").placeholder = state.like ? "… but red, but striped?" : "Search the shop";
}

const strip = whenOther(() => showShopper(state, shop.personas, {
  choose: (persona) => change({ persona: persona?.name ?? "", history: persona?.history ?? [] }, { moved: true }),
  remove: (place) => change({ persona: "", history: state.history.filter((_, each) => each !== place) }, { moved: true }),
}));
const photo = whenOther(() => showPhoto(state, () => change({ photo: "", upload: null })));

/** The shopper's strip and the picture in the search field: again, once their items are known. */
function showNamed() {
  strip(shop.personas, state.persona, state.history.map(({ id, action }) => [action, id, itemOf(id).title]));
  photo(state.upload?.base64, state.photo, itemOf(state.photo).title);
}

function showChips(asked) {
  const chip = (text, remove) => h("span", { class: "chip" }, text, button("×", remove, { "aria-label": `Take out: ${text}` }));
  const chips = [];
  if (asked.similar) chips.push(chip(`similar to ${titleOf(asked.similar)}`, () => change({ similar: "" })));
  if (asked.like) chips.push(chip(`like ${titleOf(asked.like)}, but …`, () => change({ like: "" })));
  if (asked.photo) chips.push(chip(`the picture of ${titleOf(asked.photo)}`, () => change({ photo: "" })));
  for (const [name, condition] of Object.entries(asked.filters)) {
    chips.push(chip(conditionWords(name, condition), () => change({ filters: withFilter(state.filters, name, null) })));
  }
  if (chips.length > 1) chips.push(button("Take all out", () => change({ ...blank(), query: state.query, filters: {} }), { class: "link" }));
  keepFocus(at("chips"), () => at("chips").replaceChildren(...chips));
}

function showAnswer(asked, received, moved) {
  const { answer, totalMs, applied } = received;
  at("problem").hidden = true;
  showChips(asked);
  const two = Boolean(asked.versus);
  at("columns").className = two ? "two" : "";
  if (at("columns").childElementCount !== (two ? 2 : 1)) { // else the keyboard would lose its place in them
    at("columns").replaceChildren(...grids.slice(0, two ? 2 : 1).map((grid) => grid.element));
  }
  const what = asked.similar || asked.like || asked.photo || asked.upload || asked.query.trim() ? "" : asked.history.length ? " for this shopper" : " that many like";
  const short = (answer.degraded || []).filter((word) => word !== "popular_instead" || !isEmpty(asked));
  const less = short.length ? `. ${short.map((word) => shop.degraded?.[word] || `Less than asked: ${word}.`).join(" ")}` : "";
  const untaken = asked.arm && applied.includes("ignored=") ? ` The arm ${asked.arm} was not taken: there is none, or it is not yours to choose.` : "";
  const opens = isEmpty(asked) && answer.degraded?.includes("nothing_to_search_by");
  at("summary").textContent = opens ? "Type what you look for, or try an example. What is popular here, the index does not say."
    : answer.items.length
    ? `${count(answer.items.length, "item")}${what} in ${totalMs.toFixed(1)} ms${less}${untaken}`
    : `Nothing was found${Object.keys(asked.filters).length ? " with these filters" : ""}${less || "."}`;
  at("insight").hidden = false;
  at("insight").lastElementChild.replaceChildren(...insight(received, asked));
  at("more-line").hidden = answer.items.length < asked.k || asked.k >= shop.limits.k;
  grids[0].name(two ? "As asked" : "", two ? count(answer.items.length, "item") + (asked.arm ? `, arm ${asked.arm}` : "") : "");
  return grids[0].show(answer.items, { context: { state: asked }, moved });
}

async function showBeside(asked, { received, error }, mine, signal, moved) {
  if (error) {
    if (mine !== turn || error.name === "AbortError" || !asked.versus) return;
    showProblem(asProblem(error), "left");
    grids[1].name(versus.title(asked.versus), "no answer");
    grids[1].show([], { context: { state: asked } });
    return;
  }
  const shown = received.answer.items.filter((item) => item.item_id !== asked.like).slice(0, asked.k);
  const [ids, others] = [last.received.answer.items, shown].map((items) => items.map((item) => item.item_id));
  if (!asked.versus) {
    grids[0].mark(moves(others, ids), "against the answer without this shopper");
    return;
  }
  await learn(others, signal).catch((error) => { if (signal.aborted) throw error; });
  if (mine !== turn) return;
  adopt(received.answer.items);
  const changes = moves(ids, others);
  const same = others.filter((id) => ids.includes(id)).length;
  const untaken = asked.versus.startsWith("arm:") && received.applied.includes("ignored=") ? "This arm was not taken. " : "";
  grids[1].name(versus.title(asked.versus), `${untaken}${same} of ${others.length} are on both sides; marks: against the left side`);
  await grids[1].show(shown, { context: { state: asked }, changes, against: "against the left side", moved });
}

/** Tell what is wrong, and what is shown all the same; whether it is asked again. */
function showProblem(problem, answered = "") {
  const again = problem.status === 503 || problem.status === 429;
  at("problem").hidden = false;
  at("problem").replaceChildren(h("strong", { text: problem.message }), " ", problem.detail,
    again ? " It is asked again by itself." : "");
  if (answered !== "left") at("summary").textContent = last ? "What is below is the answer before." : "No answer.";
  if (again) {
    const mine = turn;
    setTimeout(() => mine === turn && ask(), Math.max(AGAIN_MS, problem.retryAfter * 1000));
  }
  return again;
}

function showExamples() {
  at("examples").hidden = !shop.examples.length;
  const pictured = shop.examples.map((example) => example.state?.photo || example.state?.like || "");
  at("examples").replaceChildren(h("span", { class: "told", text: "Try" }), ...shop.examples.map((example, place) => {
    const made = button(example.label, () =>
      change({ ...nothing(), arm: state.arm, versus: state.versus, ...example.state, query: example.query ?? "" }), { class: "example" });
    if (pictured[place]) learn([pictured[place]]).then(() => {
      const image = h("img", { alt: "", width: "22", height: "22" });
      made.prepend(image);
      return show(image, pictured[place]);
    }).catch(() => null);
    return made;
  }));
}

function wire() {
  at("query").addEventListener("input", () => {
    change({ query: at("query").value, similar: "", k: PAGE }, { typed: true });
  });
  at("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    change({ query: at("query").value, similar: "" });
  });
  at("home").addEventListener("click", (event) => {
    event.preventDefault();
    change({ ...nothing(), arm: state.arm });
  });
  at("more").addEventListener("click", () => change({ k: Math.min(state.k + PAGE, shop.limits.k) }));
  at("versus").addEventListener("change", () => change({ versus: at("versus").value }));
  at("arm").addEventListener("change", () => change({ arm: at("arm").value }));
  at("copy").addEventListener("click", () => last && copyAsCode(last.request));
  at("raw").addEventListener("click", () => last && openDialog("The whole answer",
    h("pre", { tabindex: "0", text: JSON.stringify(last.received.answer, null, 2) })));
  at("key").addEventListener("change", () => {
    setKey(at("key").value.trim());
    open();
  });
  at("filters-json").addEventListener("change", () => {
    try {
      const filters = JSON.parse(at("filters-json").value || "{}");
      if (filters === null || typeof filters !== "object" || Array.isArray(filters)) throw new Error("it is no object");
      change({ filters });
    } catch (error) {
      showProblem(new Problem("The filters are no JSON object.", { detail: error.message }));
    }
  });
  takePictures((upload) => change({ ...blank(), query: state.query, upload }), showProblem);
  addEventListener("popstate", restore);
  addEventListener("keydown", (event) => {
    const field = /^(input|textarea|select)$/i.test(document.activeElement?.tagName || "");
    if (event.key === "/" && !field && !at("dialog").open) {
      event.preventDefault();
      at("query").focus();
    }
  });
  const wide = !matchMedia("(max-width: 60rem)").matches;
  at("filters").open = at("insight").open = wide;
}

function restore() {
  state = read(location.hash, shop.limits);
  at("query").value = state.query;
  ask();
}

async function open() {
  try {
    shop = { ...shop, ...(await get("playground/shop")) };
  } catch (error) {
    const problem = asProblem(error);
    showProblem(problem);
    at("engineer").open ||= problem.status === 401;
    if (problem.status === 503) setTimeout(open, AGAIN_MS);
    return;
  }
  setPreviews(shop.previews);
  at("shop-name").textContent = shop.name || "MRSE Recall";
  at("shop-size").textContent = shop.items ? count(shop.items, "item") : "";
  document.title = shop.name ? `${shop.name} · MRSE Recall` : "MRSE Recall";
  const facets = (shop.facets || []).filter((facet) => facet.attribute in shop.attributes);
  updateFacets = buildFacets(facets, () => state.filters, (filters) => change({ filters, k: PAGE }));
  at("filters").hidden = !facets.length;
  at("arm").replaceChildren(h("option", { value: "", text: "as drawn" }), ...versus.armsOf(shop).map((arm) => h("option", { value: arm, text: arm })));
  at("versus").replaceChildren(...versus.choices(shop).map(([value, text]) => h("option", { value, text })));
  at("versus-label").hidden = false;
  showExamples();
  restore();
}

wire();
open();
