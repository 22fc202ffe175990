// Deadlines, the one retry, and errors, against a server that says what it is told to.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import test from "node:test";

import * as mrse from "../dist/index.js";

const BUSY = [503, { "Retry-After": "0" }, { type: "/problems/overloaded", detail: "busy", request_id: "r1" }];
const FOUND = [200, {}, { items: [] }];

/** Give one answer after another, the last one again and again; `work` gets the URL and what was asked. */
async function scripted(answers, work) {
  const asked = [];
  const server = createServer(async (request, response) => {
    let body = "";
    for await (const part of request) body += part;
    asked.push({ method: request.method, url: request.url, headers: request.headers, body: body && JSON.parse(body) });
    const [status, headers, content] = answers.length > 1 ? answers.shift() : answers[0];
    if (content === null) return; // never
    const type = status >= 400 ? "application/problem+json" : "application/json";
    response.writeHead(status, { "Content-Type": type, ...headers });
    response.end(typeof content === "string" ? content : JSON.stringify(content));
  });
  await new Promise((ready) => server.listen(0, "127.0.0.1", ready));
  try {
    await work(`http://127.0.0.1:${server.address().port}`, asked);
  } finally {
    server.closeAllConnections();
    await new Promise((closed) => server.close(closed));
  }
}

const patient = (url, more) => new mrse.Client(url, { timeoutMs: 10_000, changeTimeoutMs: 10_000, ...more });

test("what is left of the deadline is passed on", () => scripted([FOUND], async (url, asked) => {
  const client = patient(`${url}/`, { key: "secret" });
  await client.recall({ query: "shoes", timeout_ms: 8000 });
  await client.recall({ query: "shoes", timeout_ms: 60_000 });
  await client.similar("a/b", { k: 3, filters: { brand: "x" }, timeout_ms: 8000 });
  await client.recallBatch([{ query: "a" }, { query: "b" }], { timeoutMs: 8000 });
  await client.recallColumns({ query: "a" });
  const [first, longest, similar, batch, columns] = asked;
  assert.equal(first.url, "/v1/recall");
  assert.equal(first.headers.authorization, "Bearer secret");
  assert.ok(first.body.timeout_ms >= 1 && first.body.timeout_ms < 8000);
  assert.equal(longest.body.timeout_ms, 10_000);
  const at = new URL(similar.url, url);
  assert.equal(at.pathname, "/v1/items/a%2Fb/similar");
  assert.equal(at.searchParams.get("filters"), '{"brand":"x"}');
  assert.ok(Number(at.searchParams.get("timeout_ms")) < 8000);
  assert.ok(batch.body.requests.every((each) => each.timeout_ms < 8000));
  assert.match(columns.headers.accept, /columnar/);
}));

test("a 503 is tried once more and no more", async () => {
  await scripted([BUSY, FOUND], async (url, asked) => {
    assert.deepEqual(await patient(url).recall({ query: "shoes" }), { items: [] });
    assert.equal(asked.length, 2);
  });
  await scripted([BUSY], async (url, asked) => {
    await assert.rejects(patient(url).recall({ query: "shoes" }), (error) => {
      assert.ok(error instanceof mrse.Unavailable);
      assert.equal(error.name, "Unavailable");
      assert.deepEqual([error.kind, error.detail, error.requestId, error.retryAfter], ["overloaded", "busy", "r1", 0]);
      return true;
    });
    assert.equal(asked.length, 2);
  });
});

for (const after of [{ "Retry-After": "60" }, {}])
  test(`it is not tried again with ${JSON.stringify(after)}`, () =>
    scripted([[503, after, BUSY[2]]], async (url, asked) => {
      await assert.rejects(patient(url).recall({ query: "shoes" }), mrse.Unavailable);
      assert.equal(asked.length, 1);
    }));

for (const [ts, times] of [[undefined, 1], ["2026-11-19T10:00:00Z", 2]])
  test(`events ${ts ? "with" : "without"} a time are sent ${times}x`, () => scripted([BUSY], async (url, asked) => {
    const event = { user_id: "u", item_id: "i", action: "click", ...(ts ? { ts } : {}) };
    await assert.rejects(patient(url).addEvents([event]), mrse.Unavailable);
    assert.equal(asked.length, times);
  }));

for (const [status, kind] of [[429, "RateLimited"], [500, "ProblemError"], [504, "ServiceDeadlinePassed"]])
  test(`a ${status} is not tried again`, () =>
    scripted([[status, { "Retry-After": "0" }, { type: "/problems/x", detail: "no" }]], async (url, asked) => {
      await assert.rejects(patient(url).recall({ query: "shoes" }), mrse[kind]);
      assert.equal(asked.length, 1);
    }));

test("a service that never answers ends with the deadline", () => scripted([[200, {}, null]], async (url, asked) => {
  await assert.rejects(patient(url).recall({ query: "shoes", timeout_ms: 300 }), mrse.DeadlinePassed);
  assert.equal(asked.length, 1);
  await assert.rejects(patient(url).recall({ query: "shoes", timeout_ms: 3 }), mrse.DeadlinePassed);
  assert.equal(asked.length, 1, "there was no time left to ask");
}));

test("a refused connection is tried once more, then told", async () => {
  let asked = 0;
  const counting = (...given) => { asked += 1; return fetch(...given); };
  let closed;
  await scripted([FOUND], async (url) => { closed = url; });
  await assert.rejects(patient(closed, { fetch: counting }).addEvents([]), mrse.ConnectionFailed);
  assert.equal(asked, 2);
});

for (const said of [[502, { "Content-Type": "text/html" }, "<h1>Bad Gateway</h1>"], [200, {}, "not JSON"], [200, {}, "[1]"]])
  test(`what is not the service is told: ${said[2]}`, () => scripted([said], async (url) => {
    await assert.rejects(patient(url).recall({ query: "shoes" }), mrse.UnexpectedAnswer);
  }));

test("an id that cannot stand in a URL is refused", () => {
  for (const id of ["", ".", ".."]) assert.throws(() => patient("http://x").deleteItem(id), RangeError);
});
