// The list of cases that the clients of every language pass, against the service at MRSE_URL.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";

import * as mrse from "../dist/index.js";

const cases = JSON.parse(readFileSync(new URL("../../cases.json", import.meta.url), "utf8"));
const client = new mrse.Client(process.env.MRSE_URL, { timeoutMs: 10_000 });

function make({ call, arguments: given }) {
  switch (call) {
    case "recall": return client.recall(given);
    case "recall_columns": return client.recallColumns(given);
    case "recall_batch": return client.recallBatch(given.requests);
    case "delete_items": return client.deleteItems(given.ids);
    case "similar": {
      const { item_id, ...asked } = given;
      return client.similar(item_id, asked);
    }
    default: throw new Error(`unknown call ${call}`);
  }
}

const at = (value, pointer) => pointer.split("/").reduce((inner, part) => inner[part], value);

for (const each of cases) {
  test(each.name, async () => {
    if (each.error) {
      const error = await make(each).then(() => assert.fail("it was answered"), (reason) => reason);
      assert.ok(error instanceof mrse[each.error.class], `${error.name}: ${error.message}`);
      assert.equal(error.status, each.error.status);
      assert.equal(error.kind, each.error.kind);
      assert.ok(error.requestId);
      if (each.error.field) assert.deepEqual(error.errors.map(({ field }) => field), [each.error.field]);
      return;
    }
    const answer = await make(each);
    for (const [pointer, value] of Object.entries(each.equals)) assert.deepEqual(at(answer, pointer), value, pointer);
  });
}
