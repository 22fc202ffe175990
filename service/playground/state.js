// What is asked for. All of it but an uploaded picture and the key stands in the address, behind #, which
// no server and no log gets.

export const PAGE = 24;

export const nothing = () => ({
  query: "",
  filters: {}, // as POST /recall takes them
  history: [], // {id, action}, newest first
  persona: "", // whose history it is, while it is unchanged
  like: "", // the item of "more like this, but …"
  similar: "", // the item whose nearest items are shown
  photo: "", // an item that is searched for by its picture
  upload: null, // {address, base64}: a picture of the user's
  k: PAGE,
  arm: "", // the value of X-Experiment
  versus: "", // what stands beside it, see versus.js
});

const LONGEST = 6000; // characters of the address; browsers take more, chat programs often do not

export function write(state) {
  const told = new URLSearchParams();
  const put = (name, value) => value && told.set(name, value);
  put("q", state.query);
  if (Object.keys(state.filters).length) put("f", JSON.stringify(state.filters));
  for (const { id, action } of state.history) told.append("h", action + ":" + id);
  put("who", state.persona);
  for (const name of ["like", "similar", "photo", "arm", "versus"]) put(name, state[name]);
  if (state.k !== PAGE) put("k", String(state.k));
  const text = told.toString();
  return text.length > LONGEST ? "" : text;
}

export function read(hash, limits = { k: 1000, history: 200 }) {
  const told = new URLSearchParams(hash.replace(/^#/, ""));
  const state = nothing();
  state.query = (told.get("q") || "").slice(0, 512);
  try {
    const filters = JSON.parse(told.get("f") || "{}");
    if (filters && typeof filters === "object" && !Array.isArray(filters)) state.filters = filters;
  } catch {
    // an address that somebody cut off: without its filters
  }
  state.history = told.getAll("h").slice(0, limits.history).map((entry) => {
    const [action, ...id] = entry.split(":");
    return { action, id: id.join(":") };
  }).filter((entry) => entry.id && /^[a-z_]+$/.test(entry.action));
  state.persona = told.get("who") || "";
  for (const name of ["like", "similar", "photo", "arm", "versus"]) state[name] = told.get(name) || "";
  if (!/^(nobody|words|arm:.+)?$/.test(state.versus)) state.versus = "";
  const k = Number(told.get("k"));
  if (Number.isInteger(k) && k >= 1) state.k = Math.min(k, limits.k);
  return state;
}

/** Whether there is nothing to search by. */
export const isEmpty = (state) =>
  !(state.query.trim() || state.history.length || state.like || state.similar || state.photo || state.upload);
