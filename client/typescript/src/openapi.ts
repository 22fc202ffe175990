// Made of client/openapi.json by `python -m devtools.openapi`: do not edit.

/** The answers in the order of the requests. */
export type BatchAnswer = {
  request_id: string;
  results: Array<BatchEntry>;
  took_ms: number;
};

/** An answer, or why there is none. */
export type BatchEntry = {
  status: number;
  answer?: RecallAnswer | null;
  problem?: Problem | null;
};

/** Several requests at once; they share nothing but the connection. */
export type BatchRequest = {
  requests: Array<RecallRequest>;
};

/** A boost by one attribute. The score becomes ``score + |score| * weight * share``. */
export type Boost = {
  attribute: string;
  weight: number;
  shape?: "linear" | "log" | "newness";
  low?: number;
  high?: number;
  half_life_days?: number;
};

/** What is to be otherwise; what is left out stays as it is. */
export type ChangeExperiments = {
  holdout?: number | null;
  experiments?: Record<string, unknown>;
};

/** What is on disk now: changes written, over all arms; ids that no arm has; and each arm's own. */
export type Changed = {
  written: number;
  unknown: Array<string>;
  towers: Record<string, ChangedArm>;
};

/** What was written to the index of one arm, and the ids that it does not have. */
export type ChangedArm = {
  written: number;
  unknown: Array<string>;
};

/** A `RecallAnswer` with its items as columns. */
export type ColumnarAnswer = {
  request_id: string;
  model_version: string;
  index_version: string;
  /** Experiment to the variant that answered. */
  variant: Record<string, string>;
  routes: Record<string, Route>;
  /** Whether a route gave less than it should have. */
  partial: boolean;
  /**
   * Each way in which the answer is less than what was asked for:
   *
   * - `fewer_candidates`: Under load fewer items were looked for than k.
   * - `no_portrait`: Under load the user's history was left out.
   * - `history_unknown`: No item of the user's history is known, so the answer is not personal.
   * - `history_unavailable`: The items of the user's history could not be looked up, so the answer is not personal.
   * - `portrait_unavailable`: The user's stored history could not be read; whether there is one is not known. The answer is not personal.
   * - `picture_skipped`: The picture could not be looked at now; the answer is to the words alone.
   * - `controls_unavailable`: Attributes of items could not be read, or not of all. Boosts, limits, pins or fields are left out where they are not known; bans hold.
   * - `diversity_short`: With the limit on items of one value there are fewer than k; there may be more, which a wider search would find.
   * - `popular_instead`: There are no words, no picture and no history that is known; the items are what is popular, and not personal.
   * - `nothing_to_search_by`: No route could search: there are no words, no picture and no history that is known, or the routes that could are turned off. The answer is empty.
   * - `no_q2i`: Under load the route q2i was left out.
   * - `q2i_timeout`: The route q2i ran out of time, so its items are missing.
   * - `q2i_error`: The route q2i failed, so its items are missing.
   * - `q2i_coverage`: The route q2i looked at a part of the index only; better items may be missing.
   * - `no_i2i`: Under load the route i2i was left out.
   * - `i2i_timeout`: The route i2i ran out of time, so its items are missing.
   * - `i2i_error`: The route i2i failed, so its items are missing.
   * - `i2i_coverage`: The route i2i looked at a part of the index only; better items may be missing.
   * - `no_lexical`: Under load the route lexical was left out.
   * - `lexical_timeout`: The route lexical ran out of time, so its items are missing.
   * - `lexical_error`: The route lexical failed, so its items are missing.
   * - `lexical_coverage`: The route lexical looked at a part of the index only; better items may be missing.
   * - `no_u2i`: Under load the route u2i was left out.
   * - `u2i_timeout`: The route u2i ran out of time, so its items are missing.
   * - `u2i_error`: The route u2i failed, so its items are missing.
   * - `u2i_coverage`: The route u2i looked at a part of the index only; better items may be missing.
   * - `no_p2i`: Under load the route p2i was left out.
   * - `p2i_timeout`: The route p2i ran out of time, so its items are missing.
   * - `p2i_error`: The route p2i failed, so its items are missing.
   * - `p2i_coverage`: The route p2i looked at a part of the index only; better items may be missing.
   * - `no_popular`: Under load the route popular was left out.
   * - `popular_timeout`: The route popular ran out of time, so its items are missing.
   * - `popular_error`: The route popular failed, so its items are missing.
   * - `popular_coverage`: The route popular looked at a part of the index only; better items may be missing.
   */
  degraded: Array<"fewer_candidates" | "no_portrait" | "history_unknown" | "history_unavailable" | "portrait_unavailable" | "picture_skipped" | "controls_unavailable" | "diversity_short" | "popular_instead" | "nothing_to_search_by" | "no_q2i" | "q2i_timeout" | "q2i_error" | "q2i_coverage" | "no_i2i" | "i2i_timeout" | "i2i_error" | "i2i_coverage" | "no_lexical" | "lexical_timeout" | "lexical_error" | "lexical_coverage" | "no_u2i" | "u2i_timeout" | "u2i_error" | "u2i_coverage" | "no_p2i" | "p2i_timeout" | "p2i_error" | "p2i_coverage" | "no_popular" | "popular_timeout" | "popular_error" | "popular_coverage">;
  took_ms: number;
  explain?: Record<string, unknown> | null;
  items: ItemColumns;
};

/** A `BatchAnswer` with its items as columns. */
export type ColumnarBatchAnswer = {
  request_id: string;
  results: Array<ColumnarBatchEntry>;
  took_ms: number;
};

/** A `BatchEntry` with its items as columns. */
export type ColumnarBatchEntry = {
  status: number;
  answer?: ColumnarAnswer | null;
  problem?: Problem | null;
};

/** A `SimilarAnswer` with its items as columns. */
export type ColumnarSimilarAnswer = {
  request_id: string;
  model_version: string;
  index_version: string;
  /** Experiment to the variant that answered. */
  variant: Record<string, string>;
  routes: Record<string, Route>;
  /** Whether a route gave less than it should have. */
  partial: boolean;
  /**
   * Each way in which the answer is less than what was asked for:
   *
   * - `fewer_candidates`: Under load fewer items were looked for than k.
   * - `no_portrait`: Under load the user's history was left out.
   * - `history_unknown`: No item of the user's history is known, so the answer is not personal.
   * - `history_unavailable`: The items of the user's history could not be looked up, so the answer is not personal.
   * - `portrait_unavailable`: The user's stored history could not be read; whether there is one is not known. The answer is not personal.
   * - `picture_skipped`: The picture could not be looked at now; the answer is to the words alone.
   * - `controls_unavailable`: Attributes of items could not be read, or not of all. Boosts, limits, pins or fields are left out where they are not known; bans hold.
   * - `diversity_short`: With the limit on items of one value there are fewer than k; there may be more, which a wider search would find.
   * - `popular_instead`: There are no words, no picture and no history that is known; the items are what is popular, and not personal.
   * - `nothing_to_search_by`: No route could search: there are no words, no picture and no history that is known, or the routes that could are turned off. The answer is empty.
   * - `no_q2i`: Under load the route q2i was left out.
   * - `q2i_timeout`: The route q2i ran out of time, so its items are missing.
   * - `q2i_error`: The route q2i failed, so its items are missing.
   * - `q2i_coverage`: The route q2i looked at a part of the index only; better items may be missing.
   * - `no_i2i`: Under load the route i2i was left out.
   * - `i2i_timeout`: The route i2i ran out of time, so its items are missing.
   * - `i2i_error`: The route i2i failed, so its items are missing.
   * - `i2i_coverage`: The route i2i looked at a part of the index only; better items may be missing.
   * - `no_lexical`: Under load the route lexical was left out.
   * - `lexical_timeout`: The route lexical ran out of time, so its items are missing.
   * - `lexical_error`: The route lexical failed, so its items are missing.
   * - `lexical_coverage`: The route lexical looked at a part of the index only; better items may be missing.
   * - `no_u2i`: Under load the route u2i was left out.
   * - `u2i_timeout`: The route u2i ran out of time, so its items are missing.
   * - `u2i_error`: The route u2i failed, so its items are missing.
   * - `u2i_coverage`: The route u2i looked at a part of the index only; better items may be missing.
   * - `no_p2i`: Under load the route p2i was left out.
   * - `p2i_timeout`: The route p2i ran out of time, so its items are missing.
   * - `p2i_error`: The route p2i failed, so its items are missing.
   * - `p2i_coverage`: The route p2i looked at a part of the index only; better items may be missing.
   * - `no_popular`: Under load the route popular was left out.
   * - `popular_timeout`: The route popular ran out of time, so its items are missing.
   * - `popular_error`: The route popular failed, so its items are missing.
   * - `popular_coverage`: The route popular looked at a part of the index only; better items may be missing.
   */
  degraded: Array<"fewer_candidates" | "no_portrait" | "history_unknown" | "history_unavailable" | "portrait_unavailable" | "picture_skipped" | "controls_unavailable" | "diversity_short" | "popular_instead" | "nothing_to_search_by" | "no_q2i" | "q2i_timeout" | "q2i_error" | "q2i_coverage" | "no_i2i" | "i2i_timeout" | "i2i_error" | "i2i_coverage" | "no_lexical" | "lexical_timeout" | "lexical_error" | "lexical_coverage" | "no_u2i" | "u2i_timeout" | "u2i_error" | "u2i_coverage" | "no_p2i" | "p2i_timeout" | "p2i_error" | "p2i_coverage" | "no_popular" | "popular_timeout" | "popular_error" | "popular_coverage">;
  took_ms: number;
  explain?: Record<string, unknown> | null;
  items: ItemColumns;
  item_id: string;
};

/** At most ``most`` items of the answer have the same value of an attribute; those without it are free. */
export type Diversity = {
  attribute: string;
  most: number;
};

/** The experiments as they are. */
export type ExperimentsTold = {
  /** Share of the units that take part in none. */
  holdout: number;
  experiments: Record<string, LivePartTold>;
};

/** One field that cannot be used. */
export type FieldProblem = {
  field: string;
  reason: string;
};

/** What was removed, and what is left to others. */
export type Forgotten = {
  /** Stored portraits that were removed, of all bundles served. */
  portraits: number;
  /** Events that were removed from the stream. */
  events: number;
  /** What the service cannot remove. */
  not_reached: Array<string>;
};

/** Items to take out. */
export type GoneItems = {
  ids: Array<string>;
};

/** One thing that the user did. */
export type HistoryEntry = {
  item_id: string;
  action: "click" | "cart" | "order";
  /** ISO 8601 with a time zone; without it the behaviour counts as just now. */
  ts?: string | null;
};

/** An item of the answer. */
export type Item = {
  item_id: string;
  /** Higher is better, comparable within one answer. With merge=score the best of the cosine to the query and I2I's calibrated path score; with merge=rrf the sum of 1 / ranks; with merge=calibrated the best cosine, and what other routes' scores are worth beside it; with merge=interleave 1 / place. */
  score: number;
  sources: Array<Source>;
  /** It stands where a rule pinned it, whatever its score; 0 where no route found it. */
  pinned?: boolean | null;
  /** What the item has of `fields`: `title` as the shop wrote it, other strings as filters compare them, without regard to case. */
  fields?: Record<string, unknown> | null;
  /** With merge=interleave: the team that picked it. */
  team?: string | null;
};

/** The items of an answer as columns, best first; the fields are those of `Item` and `Source`. */
export type ItemColumns = {
  item_id: Array<string>;
  score: Array<number>;
  sources: SourceColumns;
  /** Where a rule pinned items. */
  pinned?: Array<boolean> | null;
  /** Where attributes were asked for. */
  fields?: Array<Record<string, unknown>> | null;
  /** With merge=interleave. */
  team?: Array<string> | null;
};

/** An item as its shop tells it. */
export type ItemRow = {
  /** May be empty with a picture. */
  title?: string;
  /** Path from wide to narrow, as in `Shoes > Running`; no empty level. */
  category?: string;
  description?: string;
  /** A JPEG or PNG in base64. */
  picture?: string | null;
  /** Those of the index; null or an empty string is a missing value. */
  attributes?: Record<string, unknown>;
};

/** What is changed of an experiment while the service runs; null leaves it as the settings have it. */
export type LivePart = {
  on?: boolean | null;
  ramp?: number | null;
  weights?: Record<string, unknown> | null;
};

/** An experiment: whether it is on, who takes part, and the weights of its arms. */
export type LivePartTold = {
  on: boolean;
  ramp: number;
  layer: string | null;
  slot: Array<number>;
  weights: Record<string, number>;
};

/** An item and its id. */
export type NewItem = {
  /** May be empty with a picture. */
  title?: string;
  /** Path from wide to narrow, as in `Shoes > Running`; no empty level. */
  category?: string;
  description?: string;
  /** A JPEG or PNG in base64. */
  picture?: string | null;
  /** Those of the index; null or an empty string is a missing value. */
  attributes?: Record<string, unknown>;
  id: string;
};

/** Items to add, or to replace whole. */
export type NewItems = {
  items: Array<NewItem>;
};

/** RFC 9457 problem details. */
export type Problem = {
  type: string;
  title: string;
  status: number;
  detail: string;
  instance?: string | null;
  request_id?: string | null;
  errors?: Array<FieldProblem> | null;
};

/**
 * ``vector`` and ``features``: numbers, or base64 of little-endian halves. Features in row order.
 *
 * ``texts`` by field (``title`` and the shop's other text columns) are what the item is found by word for
 * word; an index without texts leaves them out. ``picture`` is the feature of the item's picture, of unit
 * length, which the search by pictures reads; null takes it away. Where ``texts`` or ``picture`` is left
 * out, those that the index has stay, but for texts of the category and of attributes. Vespa keeps those
 * that were put through the service since its last folder was fed; others it does not give back, so send
 * them again.
 */
export type PutItem = {
  id: string;
  vector: Array<number> | string;
  features?: Array<number> | string | null;
  category?: string;
  attributes?: Record<string, unknown>;
  texts?: Record<string, string>;
  picture?: Array<number> | string | null;
};

/** What is on disk now, of every arm, and what was refused. */
export type PutItems = {
  /** Items that every arm has now. */
  written: number;
  refused: Array<RefusedItem>;
  towers: Record<string, ChangedArm>;
  took_ms: number;
};

/** The items for a request, and how they came about. */
export type RecallAnswer = {
  request_id: string;
  model_version: string;
  index_version: string;
  /** Experiment to the variant that answered. */
  variant: Record<string, string>;
  routes: Record<string, Route>;
  /** Whether a route gave less than it should have. */
  partial: boolean;
  /**
   * Each way in which the answer is less than what was asked for:
   *
   * - `fewer_candidates`: Under load fewer items were looked for than k.
   * - `no_portrait`: Under load the user's history was left out.
   * - `history_unknown`: No item of the user's history is known, so the answer is not personal.
   * - `history_unavailable`: The items of the user's history could not be looked up, so the answer is not personal.
   * - `portrait_unavailable`: The user's stored history could not be read; whether there is one is not known. The answer is not personal.
   * - `picture_skipped`: The picture could not be looked at now; the answer is to the words alone.
   * - `controls_unavailable`: Attributes of items could not be read, or not of all. Boosts, limits, pins or fields are left out where they are not known; bans hold.
   * - `diversity_short`: With the limit on items of one value there are fewer than k; there may be more, which a wider search would find.
   * - `popular_instead`: There are no words, no picture and no history that is known; the items are what is popular, and not personal.
   * - `nothing_to_search_by`: No route could search: there are no words, no picture and no history that is known, or the routes that could are turned off. The answer is empty.
   * - `no_q2i`: Under load the route q2i was left out.
   * - `q2i_timeout`: The route q2i ran out of time, so its items are missing.
   * - `q2i_error`: The route q2i failed, so its items are missing.
   * - `q2i_coverage`: The route q2i looked at a part of the index only; better items may be missing.
   * - `no_i2i`: Under load the route i2i was left out.
   * - `i2i_timeout`: The route i2i ran out of time, so its items are missing.
   * - `i2i_error`: The route i2i failed, so its items are missing.
   * - `i2i_coverage`: The route i2i looked at a part of the index only; better items may be missing.
   * - `no_lexical`: Under load the route lexical was left out.
   * - `lexical_timeout`: The route lexical ran out of time, so its items are missing.
   * - `lexical_error`: The route lexical failed, so its items are missing.
   * - `lexical_coverage`: The route lexical looked at a part of the index only; better items may be missing.
   * - `no_u2i`: Under load the route u2i was left out.
   * - `u2i_timeout`: The route u2i ran out of time, so its items are missing.
   * - `u2i_error`: The route u2i failed, so its items are missing.
   * - `u2i_coverage`: The route u2i looked at a part of the index only; better items may be missing.
   * - `no_p2i`: Under load the route p2i was left out.
   * - `p2i_timeout`: The route p2i ran out of time, so its items are missing.
   * - `p2i_error`: The route p2i failed, so its items are missing.
   * - `p2i_coverage`: The route p2i looked at a part of the index only; better items may be missing.
   * - `no_popular`: Under load the route popular was left out.
   * - `popular_timeout`: The route popular ran out of time, so its items are missing.
   * - `popular_error`: The route popular failed, so its items are missing.
   * - `popular_coverage`: The route popular looked at a part of the index only; better items may be missing.
   */
  degraded: Array<"fewer_candidates" | "no_portrait" | "history_unknown" | "history_unavailable" | "portrait_unavailable" | "picture_skipped" | "controls_unavailable" | "diversity_short" | "popular_instead" | "nothing_to_search_by" | "no_q2i" | "q2i_timeout" | "q2i_error" | "q2i_coverage" | "no_i2i" | "i2i_timeout" | "i2i_error" | "i2i_coverage" | "no_lexical" | "lexical_timeout" | "lexical_error" | "lexical_coverage" | "no_u2i" | "u2i_timeout" | "u2i_error" | "u2i_coverage" | "no_p2i" | "p2i_timeout" | "p2i_error" | "p2i_coverage" | "no_popular" | "popular_timeout" | "popular_error" | "popular_coverage">;
  took_ms: number;
  explain?: Record<string, unknown> | null;
  items: Array<Item>;
};

/**
 * A query, a picture, a history, or any of them together.
 *
 * None of them is needed: the answer is then what is popular. Where the index does not say how popular items
 * are, it is empty, with `nothing_to_search_by` in `degraded`.
 */
export type RecallRequest = {
  /** May be empty with a history or a picture. */
  query?: string;
  /** Keeps a user in the same variant of each experiment. Without a history, the one that `mrse produce` stored for the user is used. */
  user_id?: string | null;
  /** Keeps a session in the same variants where there is no user. Without either each request draws its own. */
  session_id?: string | null;
  /** In any order. */
  history?: Array<HistoryEntry>;
  /** Items wanted. */
  k?: number;
  /** Attribute to a value, a list (any of), or an object of gt, gte, lt, lte, not. */
  filters?: Record<string, unknown>;
  /** A JPEG or PNG in base64. */
  picture?: string | null;
  /** Covers the whole request, from its first byte on, waiting included. */
  timeout_ms?: number | null;
  /** Factors on what the items of routes are worth, by route; 0 leaves a route out. Others keep that of the settings. */
  weights?: Record<string, number> | null;
  /** More or less for items by numeric attributes, in place of the settings' boosts. */
  boosts?: Array<Boost> | null;
  /** At most so many items of one value of an attribute. */
  diversity?: Diversity | null;
  /** Attributes to return with the items; and `title`, of which 512 characters come at most. Other strings come as filters compare them, in lower case (`Acme` as `acme`): a page that shows them takes them from the shop's own data. */
  fields?: Array<string>;
  /** Tell how the answer came about. */
  explain?: boolean;
};

/** An event that was not taken, by its place in the call, and why. */
export type RefusedEvent = {
  place: number;
  errors: Array<FieldProblem>;
};

/** An item that was not put into any index, and why. */
export type RefusedItem = {
  /** Null where it has none that could be read. */
  id: string | null;
  errors: Array<FieldProblem>;
};

/** Items to take out. */
export type Remove = {
  ids: Array<string>;
};

/** Queries whose rules are removed. */
export type RemoveRules = {
  queries: Array<string>;
};

/** How one route fared. */
export type Route = {
  status: "ok" | "timeout" | "error" | "skipped" | "shed";
  /** Distinct items that the route found. */
  returned: number;
  /** Share of the index that was looked at. */
  coverage: number;
  took_ms: number;
  /** Why the route fell short. */
  reason?: string | null;
};

/** What a query's answer begins with, and what it never has. */
export type Rule = {
  query: string;
  pins?: Array<string>;
  bans?: Array<string>;
};

/** How many rules were changed, the queries that have none, and how many rules there are now. */
export type RulesChanged = {
  changed: number;
  unknown: Array<string>;
  rules: number;
};

/** Some of the rules, in the order of the file, and how many there are. */
export type RulesListed = {
  rules: Array<Rule>;
  total: number;
};

/** The nearest items of an item. */
export type SimilarAnswer = {
  request_id: string;
  model_version: string;
  index_version: string;
  /** Experiment to the variant that answered. */
  variant: Record<string, string>;
  routes: Record<string, Route>;
  /** Whether a route gave less than it should have. */
  partial: boolean;
  /**
   * Each way in which the answer is less than what was asked for:
   *
   * - `fewer_candidates`: Under load fewer items were looked for than k.
   * - `no_portrait`: Under load the user's history was left out.
   * - `history_unknown`: No item of the user's history is known, so the answer is not personal.
   * - `history_unavailable`: The items of the user's history could not be looked up, so the answer is not personal.
   * - `portrait_unavailable`: The user's stored history could not be read; whether there is one is not known. The answer is not personal.
   * - `picture_skipped`: The picture could not be looked at now; the answer is to the words alone.
   * - `controls_unavailable`: Attributes of items could not be read, or not of all. Boosts, limits, pins or fields are left out where they are not known; bans hold.
   * - `diversity_short`: With the limit on items of one value there are fewer than k; there may be more, which a wider search would find.
   * - `popular_instead`: There are no words, no picture and no history that is known; the items are what is popular, and not personal.
   * - `nothing_to_search_by`: No route could search: there are no words, no picture and no history that is known, or the routes that could are turned off. The answer is empty.
   * - `no_q2i`: Under load the route q2i was left out.
   * - `q2i_timeout`: The route q2i ran out of time, so its items are missing.
   * - `q2i_error`: The route q2i failed, so its items are missing.
   * - `q2i_coverage`: The route q2i looked at a part of the index only; better items may be missing.
   * - `no_i2i`: Under load the route i2i was left out.
   * - `i2i_timeout`: The route i2i ran out of time, so its items are missing.
   * - `i2i_error`: The route i2i failed, so its items are missing.
   * - `i2i_coverage`: The route i2i looked at a part of the index only; better items may be missing.
   * - `no_lexical`: Under load the route lexical was left out.
   * - `lexical_timeout`: The route lexical ran out of time, so its items are missing.
   * - `lexical_error`: The route lexical failed, so its items are missing.
   * - `lexical_coverage`: The route lexical looked at a part of the index only; better items may be missing.
   * - `no_u2i`: Under load the route u2i was left out.
   * - `u2i_timeout`: The route u2i ran out of time, so its items are missing.
   * - `u2i_error`: The route u2i failed, so its items are missing.
   * - `u2i_coverage`: The route u2i looked at a part of the index only; better items may be missing.
   * - `no_p2i`: Under load the route p2i was left out.
   * - `p2i_timeout`: The route p2i ran out of time, so its items are missing.
   * - `p2i_error`: The route p2i failed, so its items are missing.
   * - `p2i_coverage`: The route p2i looked at a part of the index only; better items may be missing.
   * - `no_popular`: Under load the route popular was left out.
   * - `popular_timeout`: The route popular ran out of time, so its items are missing.
   * - `popular_error`: The route popular failed, so its items are missing.
   * - `popular_coverage`: The route popular looked at a part of the index only; better items may be missing.
   */
  degraded: Array<"fewer_candidates" | "no_portrait" | "history_unknown" | "history_unavailable" | "portrait_unavailable" | "picture_skipped" | "controls_unavailable" | "diversity_short" | "popular_instead" | "nothing_to_search_by" | "no_q2i" | "q2i_timeout" | "q2i_error" | "q2i_coverage" | "no_i2i" | "i2i_timeout" | "i2i_error" | "i2i_coverage" | "no_lexical" | "lexical_timeout" | "lexical_error" | "lexical_coverage" | "no_u2i" | "u2i_timeout" | "u2i_error" | "u2i_coverage" | "no_p2i" | "p2i_timeout" | "p2i_error" | "p2i_coverage" | "no_popular" | "popular_timeout" | "popular_error" | "popular_coverage">;
  took_ms: number;
  explain?: Record<string, unknown> | null;
  items: Array<Item>;
  item_id: string;
};

/** How one route found an item. */
export type Source = {
  route: "q2i" | "i2i" | "lexical" | "u2i" | "p2i" | "popular";
  /** I2I: the item whose neighbour this is. */
  trigger?: string | null;
  /** Place among the results of this route and trigger, from 1. */
  rank: number;
  /** Cosine to the query (q2i), the trigger (i2i), the nearest interest (u2i) or the picture (p2i); BM25 (lexical); popularity, as a share of the most popular item's (popular). */
  score: number;
};

/** All sources of all items as columns, in the order of the items; a row is one source. */
export type SourceColumns = {
  /** Place of the source's item in `item_id`, from 0. */
  item: Array<number>;
  route: Array<"q2i" | "i2i" | "lexical" | "u2i" | "p2i" | "popular">;
  /** null for q2i. */
  trigger: Array<string | null>;
  rank: Array<number>;
  score: Array<number>;
};

/** What is in the stream now. */
export type TakenEvents = {
  taken: number;
  /** Items that no arm's index has; their events are taken. Null where that is not known. */
  unknown: Array<string> | null;
  refused: Array<RefusedEvent>;
};

/** Attributes of items that are there. */
export type Update = {
  items: Array<UpdateItem>;
};

/** Attributes to change, null to take one away; texts by field likewise, empty to take one away. */
export type UpdateItem = {
  id: string;
  attributes?: Record<string, unknown>;
  category?: string | null;
  texts?: Record<string, string>;
};

/** Items to add or to replace, with the vectors of the arm's bundle. */
export type Upsert = {
  items: Array<PutItem>;
};

/** Rules to add, or to put in place of those of the same queries. */
export type UpsertRules = {
  rules: Array<Rule>;
};

/** One thing that a user did. */
export type UserEvent = {
  user_id: string;
  item_id: string;
  action: "click" | "cart" | "order";
  /** ISO 8601 with a time zone; without it the event counts as just now. With it, an event that is sent twice counts once. */
  ts?: string | null;
};

/** Events, in any order. */
export type UserEvents = {
  events: Array<UserEvent>;
};
