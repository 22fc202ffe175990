// What can go wrong, as errors. All are a MrseError.

import type { FieldProblem, Problem } from "./openapi.js";

export class MrseError extends Error {
  override name = this.constructor.name;
}

/** The service could not be reached, or the connection broke. */
export class ConnectionFailed extends MrseError {}

/** The time that the caller gave ran out here. */
export class DeadlinePassed extends MrseError {}

/** What answered is not the service: a proxy's page, or a shape that this client does not know. */
export class UnexpectedAnswer extends MrseError {}

/** The service says what is wrong (RFC 9457); `errors` names the fields to blame. */
export class ProblemError extends MrseError {
  readonly status: number;
  /** A stable name, such as `invalid-request`: the end of the problem's `type`. */
  readonly kind: string;
  readonly title: string;
  readonly detail: string;
  readonly requestId: string;
  readonly errors: readonly FieldProblem[];
  /** Seconds after which it may be tried again, where the service says that. */
  readonly retryAfter: number | undefined;

  constructor(status: number, body: Partial<Problem>, retryAfter?: number) {
    const kind = (body.type ?? "").split("/").pop() ?? "";
    super(`${status} ${kind}: ${body.detail ?? ""}`);
    this.status = status;
    this.kind = kind;
    this.title = body.title ?? "";
    this.detail = body.detail ?? "";
    this.requestId = body.request_id ?? "";
    this.errors = body.errors ?? [];
    this.retryAfter = retryAfter;
  }
}

/** 400, 413, 415, 422: the request cannot be used. */
export class InvalidRequest extends ProblemError {}
/** 401, 403: a key is needed, is wrong, or is not for this. */
export class AccessDenied extends ProblemError {}
/** 404: there is no such item or path. */
export class NotFound extends ProblemError {}
/** 429: the key has used up its rate. */
export class RateLimited extends ProblemError {}
/** 503: not ready, overloaded, or the index is away. */
export class Unavailable extends ProblemError {}
/** 504: the time ran out in the service, before any route answered. */
export class ServiceDeadlinePassed extends ProblemError {}

const KINDS: Record<number, typeof ProblemError> = {
  400: InvalidRequest,
  401: AccessDenied,
  403: AccessDenied,
  404: NotFound,
  413: InvalidRequest,
  415: InvalidRequest,
  422: InvalidRequest,
  429: RateLimited,
  503: Unavailable,
  504: ServiceDeadlinePassed,
};

/** The error for a problem; for a status that has no class of its own a plain ProblemError. */
export function problemOf(status: number, body: Partial<Problem>, retryAfter?: number): ProblemError {
  return new (KINDS[status] ?? ProblemError)(status, body, retryAfter);
}
