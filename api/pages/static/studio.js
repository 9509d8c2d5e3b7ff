// @ts-check
/** What every page of the studio needs: words, people by the names their creator gave them, and asking somebody. */
import { busy, call, data, filled, inWords, make, saying, when, worked } from "./api.js";

/**
 * @typedef {{consent_id: string, subject_id: string, session_id: string, state: string, purposes: string[], audience: string[],
 *   limits: any, makers: string[], approval: string, for_another: boolean, granted_at: string, expires_at: string, assurance: string}} Consent
 * @typedef {{session_id: string, link: string, until: number, name: string, ref: string}} Invitation
 */

const WORDS = /** @type {Record<string, string>} */ (data("words"));

/** Words of this page. @param {string} key @param {Record<string, unknown>} [values] */
export const say = (key, values = {}) => filled(WORDS[key] ?? key, values);
/** @param {string} key */
export const has = (key) => Object.hasOwn(WORDS, key);
/** @template {HTMLElement} T @param {string} id @returns {T} */
export const at = (id) => /** @type {T} */ (document.getElementById(id));

/** @param {string} method @param {string} path @param {any} [body] @param {any} [more] */
export const staff = (method, path, body, more) => call("staff", method, path, body, more);

/** What did not work, in words. @param {import("./api.js").Answer} answer */
export function trouble(answer) {
  const own = {
    scope_purpose: say("call_scope"), scope_audience: say("call_scope"), consent_revoked: say("call_consent_revoked"),
    consent_suspended: say("call_consent_suspended"), consent_expired: say("call_consent_expired"), media_expired: say("call_media_expired"),
    media_erased: say("call_media_expired"), remote_refused: say("call_remote_refused", { reason: answer.body?.reason ?? "" }),
    locked_out: say("ask_locked_out"), language_unavailable: say("ask_language_unavailable"),
    request_invalid: say("call_request_invalid", { detail: answer.body?.detail ?? "" }).trim(),
  };
  return inWords(answer, own);
}

// --- names: this browser's own, for Mien knows people by a pseudonym -------------------------------------------------

/** @param {string} key @returns {Record<string, any>} */
function kept(key) {
  try {
    return JSON.parse(localStorage.getItem(`mien-studio-${key}`) ?? "{}");
  } catch {
    return {};
  }
}
/** @param {string} key @param {Record<string, any>} value */
function keep(key, value) {
  try {
    localStorage.setItem(`mien-studio-${key}`, JSON.stringify(value));
  } catch {
    // a browser that keeps nothing: people are then called by their pseudonym
  }
}

/** How this creator calls somebody. @param {{subject_id: string, session_id?: string}} who */
export function nameOf(who) {
  const names = kept("names");
  return names[who.subject_id] ?? say("somebody", { mark: who.subject_id.slice(-4).toUpperCase() });
}
/** @param {string} subject @param {string} name */
export const callThem = (subject, name) => keep("names", { ...kept("names"), [subject]: name.trim() });
/** The reference under which somebody was asked before, so that they stay the same person. @param {string} subject @returns {string | undefined} */
const refOf = (subject) => kept("refs")[subject];

/** Gives who was asked from here the name that they were asked under. @param {Consent[]} found */
function recognise(found) {
  const asked = kept("asked");
  let changed = false;
  for (const consent of found) {
    const one = asked[consent.session_id];
    if (!one) continue;
    keep("names", { ...kept("names"), [consent.subject_id]: one.name });
    keep("refs", { ...kept("refs"), [consent.subject_id]: one.ref });
    if (one.me) keep("me", { ...kept("me"), [consent.subject_id]: true });
    delete asked[consent.session_id];
    changed = true;
  }
  if (changed) keep("asked", asked);
}

/** Whether this creator showed themself as this person, from here. @param {Consent} consent */
export const isMe = (consent) => kept("me")[consent.subject_id] === true;
/** The name under which people may say that this creator may ask. */
export const account = () => at("ask").dataset.account ?? "";
/** Who may ask, in words; empty: everyone. @param {Consent} consent */
export const mayAsk = (consent) => (consent.makers.includes("*") ? "" : listed(consent.makers.map((one) => (one !== "self" ? one : say(isMe(consent) ? "person_who_me" : "person_who_self")))));

export const settings = { read: () => kept("settings"), write: (/** @type {Record<string, any>} */ more) => keep("settings", { ...kept("settings"), ...more }) };

// --- people ----------------------------------------------------------------------------------------------------------

/** A page of consents. @param {{state?: string, cursor?: string | null, limit?: number}} [wanted] */
export async function consents(wanted = {}) {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(wanted)) if (value) query.set(key, String(value));
  const answer = await staff("GET", `/v1/consents?${query}`);
  if (worked(answer)) recognise(answer.body.results);
  return answer;
}

/** Everyone who can be chosen, one consent each: the latest. @returns {Promise<{answer: import("./api.js").Answer, people: Consent[]}>} */
export async function people() {
  const found = /** @type {Consent[]} */ ([]);
  let cursor = null;
  let answer;
  do {
    answer = await consents({ state: "valid", limit: 200, cursor });
    if (!worked(answer)) return { answer, people: [] };
    found.push(...answer.body.results);
    cursor = answer.body.next;
  } while (cursor && found.length < 1000);
  const latest = new Map();
  for (const consent of found) if (!latest.has(consent.subject_id)) latest.set(consent.subject_id, consent);
  return { answer, people: [...latest.values()] };
}

const ORDER = ["portrait", "story", "digital_double", "cameo", "advertising", "voice", "training"];
/** Purposes and kinds in the order in which they are always named. @param {string[]} names */
export const inOrder = (names) => [...names].sort((a, b) => ORDER.indexOf(a) - ORDER.indexOf(b));
/** Names with the commas of the language. @param {string[]} names */
export const listed = (names) => new Intl.ListFormat(document.documentElement.lang, { type: "conjunction" }).format(names);
/** @param {string} at */
export const day = (at) => when(at, { dateStyle: "medium" });
/** @param {number} seconds */
export const lasting = (seconds) => say("seconds", { n: seconds < 10 ? Math.round(seconds * 10) / 10 : Math.round(seconds) });

/** @param {string} state */
export function clipBadge(state) {
  const kinds = { done: "good", failed: "bad", withdrawn: "warn", running: "info", queued: "info" };
  return make("span", { className: "badge", "data-kind": /** @type {any} */ (kinds)[state], textContent: say(`state_${state}`) });
}

/** Asks whether it is meant. @param {{title: string, text: string, go: string}} words @returns {Promise<boolean>} */
export function sure(words) {
  const dialog = /** @type {HTMLDialogElement} */ (at("sure"));
  at("sure-title").textContent = words.title;
  at("sure-text").textContent = words.text;
  at("sure-yes").textContent = words.go;
  dialog.returnValue = "";
  dialog.showModal();
  return new Promise((done) => dialog.addEventListener("close", () => done(dialog.returnValue === "yes"), { once: true }));
}

/** Ends somebody's consent, if that is meant. @param {HTMLElement} button @param {Consent} consent @param {HTMLElement} place @returns {Promise<boolean>} */
export async function endConsent(button, consent, place) {
  const [name, end] = [nameOf(consent), isMe(consent) ? "end_me" : "end"];
  if (!(await sure({ title: say(`${end}_title`, { name }), text: say(`${end}_text`), go: say(`${end}_go`) }))) return false;
  const answer = await busy(button, () => staff("POST", `/v1/consents/${consent.consent_id}/revoke`, {}));
  saying(place, worked(answer) ? say(`${end}_done`) : trouble(answer), worked(answer) ? "good" : "bad");
  return worked(answer);
}

// --- asking somebody -------------------------------------------------------------------------------------------------

/** A live check of somebody. @param {string} name @param {{subject?: string, me?: boolean, signal?: AbortSignal}} [whom] the one who is asked again; the creator */
export async function invite(name, { subject, me = false, signal } = {}) {
  const ready = await call(null, "GET", "/readyz", undefined, { signal });
  if (ready.status === 0) return { answer: ready, invitation: null };
  const languages = /** @type {string[]} */ (ready.body?.languages ?? ["en"]);
  const own = document.documentElement.lang.startsWith("zh") ? "zh" : "en";
  const ref = (subject && refOf(subject)) || `studio-${crypto.randomUUID()}`;
  const body = { subject_ref: ref, language: languages.includes(own) ? own : (languages[0] ?? "en"), purpose: "digital_double" };
  const answer = await staff("POST", "/v1/liveness/sessions", body, { signal });
  if (!worked(answer)) return { answer, invitation: null };
  keep("asked", { ...kept("asked"), [answer.body.session_id]: { name, ref, me } });
  const link = answer.body.verify_url ?? `${location.origin}/verify/${answer.body.client_token}`;
  const until = Date.parse(answer.body.expires_at);
  return { answer, invitation: /** @type {Invitation} */ ({ session_id: answer.body.session_id, link, until, name, ref }) };
}

/**
 * Follows a live check until it ends or a consent stands on it. `tell` hears: waiting, doing, passed, given, failed, over, refused.
 * @param {Invitation} invitation @param {(state: string, consent?: Consent) => void} tell @param {AbortSignal} stop
 */
export async function follow(invitation, tell, stop) {
  let before = "";
  const path = `/v1/liveness/sessions/${invitation.session_id}`;
  while (!stop.aborted) {
    const found = await consents({ limit: 20 });
    const given = worked(found) && found.body.results.find((/** @type {Consent} */ one) => one.session_id === invitation.session_id);
    if (stop.aborted) return;
    if (given) return tell("given", given);
    const answer = await staff("GET", path);
    if (stop.aborted) return;
    if (answer.status === 404 || answer.status === 410) return tell(before === "passed" ? "refused" : "over");
    if (worked(answer)) {
      const { status, attempts_left: left } = answer.body;
      const state = { created: "waiting", challenged: "doing", judging: "doing", passed: "passed" }[/** @type {string} */ (status)];
      if (!state && status === "failed" && left > 0) {
        if (before !== "doing") tell("doing");
        before = "doing";
      } else if (!state) return tell(status === "failed" ? "failed" : before === "passed" ? "refused" : "over");
      else if (state !== before) {
        before = state;
        tell(state);
      }
    }
    await new Promise((done) => setTimeout(done, document.hidden ? 4000 : 1500));
  }
}

/** @type {AbortController | null} */
let following = null;

/** Opens the dialog in which somebody is asked. @param {{name?: string, subject?: string, me?: boolean, at_once?: boolean}} [whom] @param {(consent: Consent) => void} [then] */
export function ask(whom = {}, then = () => location.reload()) {
  const dialog = /** @type {HTMLDialogElement} */ (at("ask"));
  const form = /** @type {HTMLFormElement} */ (at("ask-form"));
  const field = /** @type {HTMLInputElement} */ (at("ask-name"));
  const status = at("ask-status");
  /** @type {Consent | undefined} */
  let given;
  let ticking = 0;

  function reset() {
    following?.abort();
    clearInterval(ticking);
    form.hidden = false;
    for (const id of ["ask-link", "ask-after", "ask-again"]) at(id).hidden = true;
    saying(status, "");
    at("ask-open").removeAttribute("href"); // it holds a secret: gone when nobody needs it
    URL.revokeObjectURL(/** @type {HTMLImageElement} */ (at("ask-qr")).src);
    field.value = whom.name ?? "";
    at("ask-account").hidden = whom.me === true;
  }

  async function go() {
    const name = field.value.trim();
    if (!name) return field.focus();
    following = new AbortController();
    const { signal } = following;
    try {
      await busy(at("ask-go"), async () => {
        const { answer, invitation } = await invite(name, { ...whom, signal });
        if (invitation) await show(invitation, signal);
        else saying(status, trouble(answer), "bad");
      });
    } catch (error) {
      if (!signal.aborted) throw error; // else the dialog was closed, and may be about somebody else by now
    }
  }

  async function show(/** @type {Invitation} */ invitation, /** @type {AbortSignal} */ signal) {
    const picture = await staff("POST", "/studio/qr", { link: invitation.link }, { as: "blob", signal });
    signal.throwIfAborted();
    saying(status, "");
    const image = /** @type {HTMLImageElement} */ (at("ask-qr"));
    if (worked(picture)) image.src = URL.createObjectURL(picture.body);
    else image.removeAttribute("src"); // its words stay, and the link
    image.alt = say("ask_show", { name: invitation.name });
    at("ask-show").textContent = say("ask_show", { name: invitation.name });
    /** @type {HTMLAnchorElement} */ (at("ask-open")).href = invitation.link;
    at("ask-copy").onclick = async () => {
      try {
        await navigator.clipboard.writeText(invitation.link);
        at("ask-copy").textContent = say("copied");
      } catch {
        saying(status, say("call_failed"), "warn"); // a browser that lets no page copy
      }
    };
    at("ask-copy").textContent = say("ask_copy");
    form.hidden = true;
    at("ask-link").hidden = false;
    at("ask-after").hidden = false;
    at("ask-local").hidden = location.hostname !== "localhost";
    at("ask-again").hidden = true;
    const left = () => {
      const s = Math.max(0, Math.round((invitation.until - Date.now()) / 1000));
      at("ask-left").textContent = s ? say("ask_left", { left: `${Math.floor(s / 60)}:${String(s % 60).padStart(2, "0")}` }) : "";
    };
    left();
    ticking = window.setInterval(left, 1000);
    const kinds = { given: "good", failed: "bad", over: "warn", refused: "warn" };
    void follow(invitation, (state, consent) => {
      saying(status, say(`ask_${state}`, { name: invitation.name }), /** @type {any} */ (kinds)[state] ?? "info");
      given = consent;
      if (state === "passed" || state in kinds) {
        clearInterval(ticking);
        at("ask-link").hidden = true;
      }
      at("ask-again").hidden = !["failed", "over", "refused"].includes(state);
    }, signal);
  }

  reset();
  form.onsubmit = (event) => {
    event.preventDefault();
    void go();
  };
  at("ask-again").onclick = () => {
    const name = field.value;
    reset();
    field.value = name;
    void go();
  };
  dialog.onclose = () => {
    reset();
    if (given) then(given);
  };
  dialog.showModal();
  if (whom.at_once) void go();
}

at("sign-out").addEventListener("click", async () => {
  const answer = await busy(at("sign-out"), () => staff("POST", "/v1/sign-out"));
  if (worked(answer) || answer.status === 401) location.assign("/sign-in?next=/studio");
  else saying(at("status"), trouble(answer), "bad");
});

for (const button of document.querySelectorAll("dialog [data-close]")) {
  button.addEventListener("click", () => /** @type {HTMLDialogElement} */ (button.closest("dialog")).close());
}
