// @ts-check
/** How pages call the API, and how they tell what came of it. */

/**
 * @typedef {{status: number, body: any, headers: Headers}} Answer
 * @typedef {"person" | "staff" | {token: string} | null} As whose call it is: of a signed-in browser, or by a client token
 */

/** @param {string} id @returns {any} */
export function data(id) {
  return JSON.parse(document.getElementById(id)?.textContent ?? "{}");
}

const SITE = data("site-words");

/** @param {As} as @param {Record<string, string>} [more] */
export function headersFor(as, more = {}) {
  const headers = new Headers(more);
  if (typeof as === "string") headers.set("Mien-Session", as);
  else if (as) headers.set("Authorization", `Bearer ${as.token}`);
  return headers;
}

/**
 * Calls the API. A JSON object is sent as JSON, anything else as it is. What cannot be reached has the status 0.
 * @param {As} as @param {string} method @param {string} path @param {any} [body]
 * @param {{headers?: Record<string, string>, signal?: AbortSignal, as?: "json" | "blob" | "text"}} [more]
 * @returns {Promise<Answer>}
 */
export async function call(as, method, path, body, more = {}) {
  const headers = headersFor(as, more.headers);
  const raw = body === undefined || body instanceof Blob || body instanceof ArrayBuffer || ArrayBuffer.isView(body);
  if (!raw) headers.set("Content-Type", "application/json");
  try {
    const answer = await fetch(path, {
      method, headers, body: raw ? body : JSON.stringify(body), signal: more.signal, credentials: "same-origin", cache: "no-store",
    });
    const kind = answer.headers.get("Content-Type") ?? "";
    const found = more.as === "blob" && answer.ok ? await answer.blob() : kind.includes("json") && answer.status !== 204 ? await answer.json() : await answer.text();
    return { status: answer.status, body: found, headers: answer.headers };
  } catch (error) { // also when the line breaks in the middle of an answer
    if (more.signal?.aborted) throw error;
    return { status: 0, body: { code: "offline" }, headers: new Headers() };
  }
}

/** @param {Answer} answer */
export const worked = (answer) => answer.status >= 200 && answer.status < 300;

/** What an answer that did not work means, in words. `own`: the page's words by code of the problem. @param {Answer} answer @param {Record<string, string>} [own] */
export function inWords(answer, own = {}) {
  const code = String(answer.body?.code ?? "");
  if (Object.hasOwn(own, code)) return own[code];
  const kinds = { 0: "call_offline", 401: "call_signed_out", 403: "call_forbidden", 404: "call_missing", 410: "call_missing", 429: "call_wait" };
  return SITE[/** @type {any} */ (kinds)[answer.status] ?? "call_failed"];
}

/** Says it where the page says things; screen readers hear it. @param {HTMLElement} place @param {string} text @param {"info" | "good" | "warn" | "bad"} [kind] */
export function saying(place, text, kind = "info") {
  place.replaceChildren();
  if (!text) return;
  const notice = make("div", { className: "notice", "data-kind": kind });
  notice.append(make("p", { textContent: text }));
  place.append(notice);
}

/**
 * An element; properties that start with data- or aria- and `role`, `for`, `type` are attributes.
 * @param {string} name @param {Record<string, any>} [properties] @param {...(Node | string)} children @returns {HTMLElement}
 */
export function make(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (/^(data-|aria-)|^(role|for|type|href|src|scope|colspan|datetime|lang)$/.test(key)) element.setAttribute(key, value);
    else /** @type {any} */ (element)[key] = value;
  }
  element.append(...children);
  return element;
}

/** Words with their {places} filled. @param {string} words @param {Record<string, unknown>} values */
export function filled(words, values) {
  return words.replace(/\{(\w+)\}/g, (whole, name) => (Object.hasOwn(values, name) ? String(values[name]) : whole));
}

/** While something is done, its button says so and cannot be pressed again. @template T @param {HTMLElement} button @param {() => Promise<T>} work @returns {Promise<T>} */
export async function busy(button, work) {
  button.setAttribute("aria-busy", "true");
  button.setAttribute("disabled", "");
  try {
    return await work();
  } finally {
    button.removeAttribute("aria-busy");
    button.removeAttribute("disabled");
  }
}

/** Goes to another page; what was pressed stays busy until it is there. @param {string | URL} href @returns {Promise<never>} */
export function leave(href) {
  location.assign(href);
  return new Promise(() => {});
}
addEventListener("pageshow", ({ persisted }) => { // who comes back finds the page as they left it, and may press again
  for (const button of persisted ? document.querySelectorAll("button[aria-busy]") : []) {
    button.removeAttribute("aria-busy");
    button.removeAttribute("disabled");
  }
});

/**
 * Of what is asked several times only the last counts, in whatever order the answers come: call what this gives whenever one is
 * asked, and what that gives when its answer is there.
 */
export function latest() {
  let last = 0;
  return () => {
    const mine = (last += 1);
    return () => mine === last;
  };
}

/** A key that makes a repeated write one write. */
export const idempotencyKey = () => crypto.randomUUID();

/** A time as people here write it. @param {string} at @param {Intl.DateTimeFormatOptions} [how] */
export function when(at, how = { dateStyle: "medium", timeStyle: "short" }) {
  return new Intl.DateTimeFormat(document.documentElement.lang, how).format(new Date(at));
}
