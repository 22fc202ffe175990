// What went wrong, in words for the person in front of the page.

export class Problem extends Error {
  constructor(words, { detail = "", status = 0, retryAfter = 0 } = {}) {
    super(words);
    Object.assign(this, { detail, status, retryAfter });
  }
}

const WORDS = {
  401: "This service wants a key. Put one into the field Key, under For engineers.",
  403: "The key is not good for this.",
  404: "That is not there any more.",
  413: "The request is too large. Try a smaller picture or fewer filters.",
  422: "The service cannot use this request.",
  429: "That was more than this key may ask in so short a time.",
  503: "The service has too much to do, or is still starting.",
  504: "The answer would have come too late, so the service stopped working on it.",
};

/** The JSON of an answer; raises a Problem in words for every other thing that can come. */
export async function answerOf(response) {
  const text = await response.text();
  let content = null;
  try {
    content = JSON.parse(text);
  } catch {
    // no JSON: not from the service
  }
  if (response.ok && content !== null && typeof content === "object") return content;
  const status = response.status;
  const retryAfter = Number(response.headers.get("Retry-After")) || 0;
  if (content === null || typeof content !== "object" || !("title" in content)) {
    const server = response.headers.get("Server");
    throw new Problem(
      response.ok
        ? "Something between this page and the service answered with a page in place of data. Is this address the service's own?"
        : `Something between this page and the service, such as a proxy, answered with ${status} ${response.statusText}`.trim() +
          ". The service itself may be down or unreachable from there.",
      { status, retryAfter, detail: [server && `It calls itself ${server}.`, readable(text)].filter(Boolean).join(" ") });
  }
  const fields = (content.errors || []).slice(0, 5).map((error) => `${error.field}: ${error.reason}`);
  throw new Problem(WORDS[status] || content.title || `The service answered with ${status}.`, {
    status, retryAfter, detail: fields.join("; ") || content.detail || "",
  });
}

/** The first words of an HTML page, without running or showing any of it as HTML. */
function readable(text) {
  const page = new DOMParser().parseFromString(text.slice(0, 20000), "text/html");
  const words = (page.querySelector("h1, title")?.textContent || page.body?.textContent || "").trim();
  return words ? `It says: “${words.replace(/\s+/g, " ").slice(0, 120)}”.` : "";
}

/** fetch, whose one error that is not the page's own doing is told in words. */
export async function reach(path, given) {
  try {
    return await fetch(path, given);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("The service cannot be reached. Is it running, and is this machine connected?");
  }
}

/** Any error as a Problem. */
export function asProblem(error) {
  if (error instanceof Problem) return error;
  return new Problem("The page itself failed. Please report this.", { detail: String(error) });
}
