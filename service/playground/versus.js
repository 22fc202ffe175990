// What can stand beside the answer: the same without the shopper, words alone, another arm.

/** The choices: [value, name]. */
export function choices(shop) {
  const found = [["", "nothing"], ["nobody", "the same without the shopper"]];
  if (shop.words !== null) found.push(["words", "words alone (BM25)"]);
  for (const arm of armsOf(shop)) found.push(["arm:" + arm, "arm " + arm]);
  return found;
}

export const armsOf = (shop) =>
  Object.entries(shop.arms).flatMap(([name, arms]) => arms.map((arm) => `${name}=${arm}`));

/** The request beside a request. */
export function beside(versus, request, shop) {
  if (!request.body) return versus.startsWith("arm:") ? { ...request, arm: versus.slice(4) } : request;
  const body = { ...request.body };
  let arm = request.arm;
  if (versus === "nobody") delete body.history;
  else if (versus === "words") {
    const { history: _, picture: __, ...rest } = body;
    const weights = Object.fromEntries(shop.routes.map((route) => [route, route === "lexical" ? 1 : 0]));
    return { ...request, body: { ...rest, weights }, arm: [arm, shop.words].filter(Boolean).join(",") };
  } else if (versus.startsWith("arm:")) arm = versus.slice(4);
  return { ...request, body, arm };
}

export const title = (versus) =>
  versus === "nobody" ? "Without the shopper" : versus === "words" ? "Words alone (BM25)" : "Arm " + versus.slice(4);

/** Why the choice says nothing here; empty where it does. */
export function idle(versus, state) {
  if (versus === "nobody" && !state.history.length) return "There is no shopper yet: both sides are the same.";
  if (versus === "words" && !state.query.trim()) return "Words alone need words: type some.";
  if (versus && state.similar && !versus.startsWith("arm:")) return "Similar items know neither words nor shopper.";
  return "";
}
