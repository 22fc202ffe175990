// Client of MRSE Recall. See README.md.

import { ConnectionFailed, DeadlinePassed, problemOf, UnexpectedAnswer } from "./errors.js";
import type {
  BatchAnswer,
  Changed,
  ColumnarAnswer,
  ItemRow,
  NewItem,
  PutItems,
  RecallAnswer,
  RecallRequest,
  SimilarAnswer,
  TakenEvents,
  UserEvent,
} from "./openapi.js";

export * from "./errors.js";
export type * from "./openapi.js";

/** The longest that the service waits for anything that it is asked for, in milliseconds. */
const LONGEST_MS = 10_000;
/** Kept back of the caller's time for the way there and back, in milliseconds; inferred, not measured. */
const WAY_MS = 5;
const COLUMNS = "application/vnd.mrse.columnar+json";
const MOST_SHOWN = 200;

export interface Options {
  /** Of `mrse keys new`, where the service asks for one. Never give one to a browser. */
  key?: string;
  /**
   * Milliseconds for a recall that says nothing else (1000). What is left of it goes to the service, which then
   * answers with what it has found until then.
   */
  timeoutMs?: number;
  /** Milliseconds for changes of items, events and users (60000). */
  changeTimeoutMs?: number;
  /** In place of the platform's own. */
  fetch?: typeof fetch;
}

export interface SimilarQuery {
  k?: number;
  filters?: Record<string, unknown>;
  timeout_ms?: number;
}

interface Call {
  method: string;
  path: string;
  timeoutMs: number;
  /** What is sent, with what is left of the deadline. */
  told: (leftMs: number) => { body?: unknown; query?: Record<string, string> };
  /** Whether the service is told the deadline. */
  passes: boolean;
  /** Whether it may be sent again when it may have been done. */
  repeatable?: boolean;
  accept?: string;
}

/** A client of one service. */
export class Client {
  readonly #url: string;
  readonly #options: Options;

  /** @param url of the service, without `/v1`. */
  constructor(url: string, options: Options = {}) {
    this.#url = url.replace(/\/+$/, "") + "/v1";
    this.#options = options;
  }

  /** Items for a query, a picture, a history, or any of them together. */
  recall(request: RecallRequest): Promise<RecallAnswer> {
    return this.#recall<RecallAnswer>(request);
  }

  /** The same, with the items as arrays. */
  recallColumns(request: RecallRequest): Promise<ColumnarAnswer> {
    return this.#recall<ColumnarAnswer>(request, COLUMNS);
  }

  /** Several at once, with one deadline; each has an answer or a problem of its own. */
  recallBatch(requests: RecallRequest[], options: { timeoutMs?: number } = {}): Promise<BatchAnswer> {
    return this.#make({
      method: "POST",
      path: "/recall/batch",
      timeoutMs: options.timeoutMs ?? this.#timeoutMs,
      told: (timeout_ms) => ({ body: { requests: requests.map((each) => ({ ...each, timeout_ms })) } }),
      passes: true,
    });
  }

  /** The nearest items of an item. */
  similar(itemId: string, asked: SimilarQuery = {}): Promise<SimilarAnswer> {
    const query: Record<string, string> = {};
    for (const [name, value] of Object.entries(asked))
      if (value !== undefined) query[name] = typeof value === "object" ? JSON.stringify(value) : String(value);
    return this.#make({
      method: "GET",
      path: `/items/${segment(itemId)}/similar`,
      timeoutMs: asked.timeout_ms ?? this.#timeoutMs,
      told: (leftMs) => ({ query: { ...query, timeout_ms: String(leftMs) } }),
      passes: true,
    });
  }

  /** Put items by content; those that cannot be used are in `refused`. Scope `write`. */
  putItems(items: NewItem[]): Promise<PutItems> {
    return this.#change("PUT", "/items", { items });
  }

  /** Put one item. Scope `write`. */
  putItem(itemId: string, row: ItemRow): Promise<PutItems> {
    return this.#change("PUT", `/items/${segment(itemId)}`, row);
  }

  /** Take an item out. Scope `write`. */
  deleteItem(itemId: string): Promise<Changed> {
    return this.#change("DELETE", `/items/${segment(itemId)}`);
  }

  /** Take items out. Scope `write`. */
  deleteItems(ids: string[]): Promise<Changed> {
    return this.#change("POST", "/items/delete", { ids });
  }

  /** Tell what users did. Scope `events`. Events with `ts` count once, however often they are sent. */
  addEvents(events: UserEvent[]): Promise<TakenEvents> {
    return this.#change("POST", "/events", { events }, events.every((event) => Boolean(event.ts)));
  }

  /** Forget a user. Scope `write`. */
  forgetUser(userId: string): Promise<Record<string, unknown>> {
    return this.#change("DELETE", `/users/${segment(userId)}`);
  }

  /** What is running. */
  version(): Promise<Record<string, unknown>> {
    return this.#make({
      method: "GET", path: "/version", timeoutMs: this.#timeoutMs, told: () => ({}), passes: false,
    });
  }

  get #timeoutMs(): number {
    return this.#options.timeoutMs ?? 1000;
  }

  #recall<T>(request: RecallRequest, accept?: string): Promise<T> {
    return this.#make({
      method: "POST",
      path: "/recall",
      timeoutMs: request.timeout_ms ?? this.#timeoutMs,
      told: (timeout_ms) => ({ body: { ...request, timeout_ms } }),
      passes: true,
      ...(accept === undefined ? {} : { accept }),
    });
  }

  #change<T>(method: string, path: string, body?: unknown, repeatable = true): Promise<T> {
    const timeoutMs = this.#options.changeTimeoutMs ?? 60_000;
    return this.#make({ method, path, timeoutMs, told: () => ({ body }), passes: false, repeatable });
  }

  /** Make a call within its deadline, once more where that is safe. */
  async #make<T>(call: Call): Promise<T> {
    const until = performance.now() + call.timeoutMs;
    for (let again = true; ; again = false) {
      const leftMs = until - performance.now();
      const told = Math.trunc(call.passes ? Math.min(leftMs - WAY_MS, LONGEST_MS) : leftMs);
      if (told < 1) throw new DeadlinePassed(`${call.timeoutMs} ms have passed`);
      const { answer, error, pauseMs } = await this.#send<T>(call, told, leftMs);
      if (error === undefined) return answer as T;
      if (pauseMs === undefined || !again || pauseMs >= until - performance.now()) throw error;
      await new Promise((resume) => setTimeout(resume, pauseMs));
    }
  }

  /** One request: its answer, or the error and after how long it may be tried again, if ever. */
  async #send<T>(
    call: Call, told: number, leftMs: number,
  ): Promise<{ answer?: T; error?: Error; pauseMs?: number }> {
    const { body, query } = call.told(told);
    const headers: Record<string, string> = { Accept: call.accept ?? "application/json" };
    if (body !== undefined) headers["Content-Type"] = "application/json";
    if (this.#options.key !== undefined) headers["Authorization"] = `Bearer ${this.#options.key}`;
    const url = this.#url + call.path + (query ? `?${new URLSearchParams(query)}` : "");
    const signal = AbortSignal.timeout(Math.max(1, Math.ceil(leftMs)));
    const init: RequestInit = { method: call.method, headers, signal };
    if (body !== undefined) init.body = JSON.stringify(body);
    let response: Response, text: string;
    try {
      response = await (this.#options.fetch ?? fetch)(url, init);
      text = await response.text();
    } catch (error) {
      if (signal.aborted) return { error: new DeadlinePassed(`no answer within ${call.timeoutMs} ms`) };
      const failed = new ConnectionFailed(reason(error), { cause: error });
      // Nothing was sent; a browser does not tell.
      return refused(error) ? { error: failed, pauseMs: 20 * (1 + Math.random()) } : { error: failed };
    }
    const kind = (response.headers.get("content-type") ?? "").split(";")[0]?.trim() ?? "";
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      value = undefined;
    }
    const usable = typeof value === "object" && value !== null && !Array.isArray(value);
    if (response.ok && usable) return { answer: value as T };
    const after = /^\d+$/.test(response.headers.get("retry-after") ?? "")
      ? Number(response.headers.get("retry-after")) : undefined;
    const error = usable && kind === "application/problem+json"
      ? problemOf(response.status, value as object, after)
      : new UnexpectedAnswer(`${response.status} ${kind}: ${text.slice(0, MOST_SHOWN)}`);
    const again = response.status === 503 && call.repeatable !== false && after !== undefined;
    return again ? { error, pauseMs: after * 1000 } : { error };
  }
}

/** An id as one segment of a path. */
function segment(id: string): string {
  if (id === "" || id === "." || id === "..") throw new RangeError(`the id ${JSON.stringify(id)} cannot stand in a URL`);
  return encodeURIComponent(id);
}

function reason(error: unknown): string {
  const cause = (error as { cause?: { message?: string } }).cause;
  return cause?.message || (error as Error).message;
}

function refused(error: unknown): boolean {
  return (error as { cause?: { code?: string } }).cause?.code === "ECONNREFUSED";
}
