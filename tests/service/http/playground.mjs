// What of the page needs no browser, run by test_playground.py: node playground.mjs FOLDER-OF-ITS-MODULES
import assert from "node:assert/strict";
import { pathToFileURL } from "node:url";

globalThis.location = { origin: "http://shop.test", pathname: "/" };
const from = (name) => import(pathToFileURL(`${process.argv[2]}/${name}`));
const { nothing, read, write } = await from("state.js");
const { requestOf } = await from("service.js");
const { beside, choices, idle } = await from("versus.js");
const { moves, because } = await from("why.js");
const { curl, python, typescript } = await from("copy.js");
const { conditionWords, withFilter } = await from("facets.js");
const { answerOf } = await from("problems.js");

// The address holds what is asked, but no picture of the user's, and no address can break the page.
const asked = { ...nothing(), query: "a & b #c", filters: { price: { lte: 9 } }, history: [{ id: "a:b,c", action: "cart" }],
  persona: "Ada", like: "i/1", k: 48, arm: "x=y", versus: "arm:x=z", upload: { address: "data:", base64: "secret" } };
assert.deepEqual(read("#" + write(asked)), { ...asked, upload: null });
assert.ok(!write(asked).includes("secret"));
for (const bad of ["#f=%7B", "#f=%5B1%5D", "#f=null", "#f=7", "#h=x&h=:&h=A B:c", "#k=-1", "#k=1e9", "#versus=evil"]) {
  const state = read(bad, { k: 100, history: 5 });
  assert.deepEqual([state.filters, state.history, state.versus], [{}, [], ""], bad);
  assert.ok(state.k >= 1 && state.k <= 100, bad);
}
assert.equal(read("#" + "h=click:i&".repeat(500), { k: 9, history: 200 }).history.length, 200);

// What is asked of the service.
const shop = { attributes: { price: "number", brand: "string", category: "list" }, titles: true, previews: true,
  routes: ["q2i", "p2i", "lexical"], limits: { k: 1000 }, words: "words=on", arms: { words: ["off", "on"] } };
const known = { pictures: async () => "QUJD", category: async () => "Shoes > Boots" };
const like = await requestOf({ ...nothing(), query: "red", like: "i1" }, shop, known);
assert.deepEqual([like.body.filters, like.body.weights, like.body.picture, like.body.k],
  [{ category: "Shoes > Boots" }, { p2i: 0 }, "QUJD", 25]);
const bare = await requestOf({ ...nothing(), query: "red", like: "i1" }, shop, { ...known, pictures: async () => null });
assert.deepEqual(bare.body.history, [{ item_id: "i1", action: "click" }]);
const similar = await requestOf({ ...nothing(), similar: "a/b" }, shop, known);
assert.ok(similar.path.startsWith("items/a%2Fb/similar?k=24"));

// What stands beside it.
assert.deepEqual(choices(shop).map(([value]) => value), ["", "nobody", "words", "arm:words=off", "arm:words=on"]);
const history = await requestOf({ ...nothing(), query: "mug", history: [{ id: "i2", action: "click" }], arm: "a=b" }, shop, known);
const words = beside("words", history, shop);
assert.deepEqual([words.body.weights, words.body.history, words.arm], [{ q2i: 0, p2i: 0, lexical: 1 }, undefined, "a=b,words=on"]);
assert.equal(beside("nobody", history, shop).body.history, undefined);
assert.ok(history.body.history, "the request itself stays as it is");
assert.ok(idle("nobody", nothing()));

// What moved; below the end of a shorter list nobody knows.
assert.deepEqual([...moves(["a", "b", "c"], ["c", "a", "x"])].map(([, move]) => move.by), [2, -1, null]);
assert.deepEqual([...moves(["a"], ["a", "x"])].map(([, move]) => move.by), [0, 0]);

// Why, in words.
const context = { state: { ...nothing(), query: "mug", history: [{ id: "i2", action: "order" }] }, explain: { triggers: [] } };
assert.match(because({ route: "i2i", trigger: "i2", rank: 1 }, context), /^Because you ordered i2\.$/);
assert.match(because({ route: "q2i", rank: 12 }, context), /the 12th best/);
assert.match(because({ route: "acme", rank: 1 }, context), /the route acme/);

// Code to copy: nothing of the request can leave its quotes.
const evil = { body: { query: "a'; rm -rf / #\"$(x)`\\", k: 1, explain: true, filters: { in_stock: true } }, arm: "" };
assert.ok(curl(evil).includes(`a'\\''; rm -rf`));
assert.ok(python(evil).includes(String.raw`query="a'; rm -rf / #\"$(x)` + "`" + String.raw`\\"`));
assert.ok(python(evil).includes('filters={"in_stock": True}'));
assert.ok(typescript({ body: { query: "x", picture: "QUJD" }, arm: "" }).includes('"picture": readFileSync("photo.jpg")'));
assert.ok(!curl({ body: { query: "x", picture: "QUJD" }, arm: "" }).includes("QUJD"));
assert.ok(python(similar).includes('client.similar("a/b", k=24'));

assert.equal(conditionWords("price", { gte: 3, lte: 9 }), "Price from 3 up to 9");
assert.deepEqual(withFilter({ a: 1, b: 2 }, "a", null), { b: 2 });

// Problems: of the service by their fields, of a proxy without its page.
globalThis.DOMParser = class { parseFromString() { return { querySelector: () => ({ textContent: "Bad gateway" }) }; } };
const problem = async (body, status) => answerOf(new Response(body, { status })).catch((error) => `${error.message} ${error.detail}`);
assert.match(await problem('{"title":"x","errors":[{"field":"k","reason":"too many"}]}', 422), /k: too many/);
assert.match(await problem("<h1>Bad gateway</h1>", 502), /proxy, answered with 502.*“Bad gateway”/);
assert.match(await problem("<h1>Sign in</h1>", 200), /a page in place of data/);
