// @ts-check
/** "My likeness": one tap calls the API and leads to the page that shows what came of it; the rest is players and forms. */

import { busy, call, data, filled, inWords, latest, leave, make, saying, when, worked } from "./api.js";

/** @type {Record<string, string>} */
const WORDS = data("words");
const ERRORS = Object.fromEntries(
  Object.entries(WORDS).filter(([key]) => key.startsWith("s_error_")).map(([key, words]) => [key.slice("s_error_".length), words]),
);
const HERE = document.getElementById("mine");
const STATUS = document.getElementById("status");
const CONSENT = HERE?.dataset.consent ?? "";
const HOW = {
  date: /** @type {Intl.DateTimeFormatOptions} */ ({ dateStyle: "long" }),
  both: /** @type {Intl.DateTimeFormatOptions} */ ({ dateStyle: "medium", timeStyle: "short" }),
};

/** @param {string} method @param {string} path @param {any} [body] @param {{consent?: string, as?: "blob"}} [more] */
function ask(method, path, body, more = {}) {
  return call("person", method, path, body, { headers: { "Mien-Consent": more.consent ?? CONSENT }, as: more.as });
}

/** @param {string} text @param {"info" | "good" | "warn" | "bad"} [kind] */
function tell(text, kind = "bad") {
  if (!STATUS) return;
  saying(STATUS, text, kind);
  STATUS.scrollIntoView({ block: "nearest" });
}

/** @param {any} answer */
const fault = (answer) => inWords(answer, ERRORS);

// --- what the reader's browser writes better than we do --------------------------------------------------------------

for (const time of document.querySelectorAll("time[data-when]")) {
  const how = time.getAttribute("data-when") === "date" ? HOW.date : HOW.both;
  time.textContent = when(time.getAttribute("datetime") ?? "", how);
}

const PLACES = new Intl.DisplayNames([document.documentElement.lang], { type: "region", fallback: "code" });
for (const place of document.querySelectorAll("[data-place]")) {
  const code = place.getAttribute("data-place") ?? "";
  if (/^[A-Z]{2}$/.test(code)) place.textContent = PLACES.of(code) ?? code;
}

// --- what was said is said once --------------------------------------------------------------------------------------

const address = new URL(location.href);
if (address.searchParams.has("said")) {
  address.searchParams.delete("said");
  history.replaceState(null, "", address);
  const other = /** @type {HTMLAnchorElement | null} */ (document.querySelector("a.language"));
  if (other) other.search = other.search.replace(/([?&])said=[a-z_]*&?/, "$1");
  document.getElementById("said")?.scrollIntoView({ block: "nearest" });
}

for (const here of document.querySelectorAll(".nav [aria-current], .tabs [aria-current], .consents [aria-current]")) {
  const list = /** @type {HTMLElement} */ (here.parentElement);
  list.scrollLeft = /** @type {HTMLElement} */ (here).offsetLeft - (list.clientWidth - /** @type {HTMLElement} */ (here).offsetWidth) / 2;
}

// --- one tap ---------------------------------------------------------------------------------------------------------

document.addEventListener("click", async (event) => {
  const button = /** @type {HTMLElement | null} */ (/** @type {Element} */ (event.target).closest("button[data-call]"));
  if (!button) return;
  const { call: method = "POST", path = "", body = "{}", consent, then = "/my", show } = button.dataset;
  await busy(button, async () => {
    const answer = await ask(method, path, method === "DELETE" ? undefined : JSON.parse(body), { consent });
    if (!worked(answer)) return tell(fault(answer));
    const next = new URL(then, location.href);
    if (show) next.searchParams.set("show", show);
    await leave(next);
  });
});

// --- downloads and players -------------------------------------------------------------------------------------------

document.addEventListener("click", async (event) => {
  const button = /** @type {HTMLElement | null} */ (/** @type {Element} */ (event.target).closest("button[data-download]"));
  if (!button) return;
  const { download = "", name = "download", saying: during, said } = button.dataset;
  if (during) tell(WORDS[during], "info");
  const answer = await busy(button, () => ask("GET", download, undefined, { as: "blob" }));
  if (!worked(answer)) return tell(fault(answer));
  const url = URL.createObjectURL(answer.body);
  const link = make("a", { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
  if (said) tell(WORDS[said], "good");
});

document.addEventListener("click", async (event) => {
  const button = /** @type {HTMLElement | null} */ (/** @type {Element} */ (event.target).closest("button[data-play]"));
  const player = /** @type {HTMLElement | null} */ (button?.closest(".player"));
  if (!button || !player) return;
  const place = /** @type {HTMLElement} */ (player.querySelector(".status"));
  const waiting = make("div", { className: "skeleton", "aria-label": WORDS.s_loading, role: "img" });
  saying(place, "");
  button.before(waiting);
  const { clip, consent } = player.dataset;
  const answer = await busy(button, () => ask("GET", `/v1/clips/${clip}/content`, undefined, { consent, as: "blob" }));
  waiting.remove();
  if (!worked(answer)) return saying(place, fault(answer), "bad");
  const video = /** @type {HTMLVideoElement} */ (make("video", { controls: true, playsInline: true, src: URL.createObjectURL(answer.body) }));
  video.addEventListener("error", () => saying(place, WORDS.s_no_video, "bad"));
  button.replaceWith(video);
  video.focus();
  video.play().catch(() => undefined); // the reader presses play where a browser wants that
});

// --- the countdown ---------------------------------------------------------------------------------------------------

const opened = performance.now();
/** @param {Element} line */
function tick(line) {
  const left = Math.max(0, Number(line.getAttribute("data-left")) - Math.floor((performance.now() - opened) / 1000));
  const clock = line.querySelector(".clock");
  const words = { h: Math.floor(left / 3600), m: Math.floor(left / 60) % 60, s: left % 60 };
  if (clock) clock.textContent = left > 0 ? filled(WORDS.s_left, words) : WORDS.s_over;
  const bar = line.parentElement?.querySelector("progress");
  if (bar) bar.value = left;
}
const lines = [...document.querySelectorAll("[data-left]")];
if (lines.length > 0) {
  lines.forEach(tick);
  setInterval(() => lines.forEach(tick), 1000);
}

const ended = /** @type {HTMLElement | null} */ (document.getElementById("ended"));
if (ended && lines.length > 0) {
  const shown = () => [...document.querySelectorAll("#purges [data-id]")].map((one) => `${one.getAttribute("data-id")} ${one.getAttribute("data-purge")}`).sort().join();
  const look = async () => {
    if (document.visibilityState !== "visible") return;
    const answer = await ask("GET", ended.dataset.poll ?? "");
    if (!worked(answer)) return;
    /** @type {{purge_id: string, state: string}[]} */
    const purges = answer.body.purges;
    if (purges.map((one) => `${one.purge_id} ${one.state}`).sort().join() !== shown()) location.reload();
  };
  setInterval(look, 5000);
}

// --- less than now ---------------------------------------------------------------------------------------------------

/** @type {{max_seconds: number, uses: number | null, until: string, words: string[], places: string[], generators: Record<string, string>}} */
const SCOPE = data("scope");

/** @param {HTMLFormElement} form @param {any} body @returns {Promise<string>} what went wrong; otherwise the page is left */
async function narrow(form, body) {
  const button = /** @type {HTMLElement} */ (form.querySelector("button[type=submit]"));
  return busy(button, async () => {
    const answer = await ask("POST", form.dataset.path ?? "", body);
    if (!worked(answer)) return fault(answer);
    const next = new URL(location.href);
    next.searchParams.set("said", "narrowed");
    next.hash = "";
    return leave(next);
  });
}

const keep = /** @type {HTMLFormElement | null} */ (document.getElementById("keep-form"));
keep?.addEventListener("submit", async (event) => {
  event.preventDefault();
  tell(await narrow(keep, { audience: new FormData(keep).getAll("backend") }));
});

/** What of the form is stricter than now, or why it cannot be used. @param {FormData} form */
function stricter(form) {
  /** @type {any} */
  const body = {};
  /** @type {any} */
  const limits = {};
  const text = (/** @type {string} */ name) => String(form.get(name) ?? "").trim();
  /** @type {[string, number | null][]} */
  const numbers = [["max_seconds", SCOPE.max_seconds], ["uses", SCOPE.uses]];
  for (const [name, most] of numbers) {
    const said = text(name);
    if (said === "" || Number(said) === most) continue;
    if (!/^\d{1,7}$/.test(said) || Number(said) < 1 || (most !== null && Number(said) > most)) return WORDS.s_not_number;
    limits[name] = Number(said);
  }
  const words = text("words").split("\n").map((word) => word.trim()).filter(Boolean);
  const added = words.filter((word) => !SCOPE.words.includes(word));
  if (added.length > 0) limits.forbidden_words = [...SCOPE.words, ...added];
  const categories = form.getAll("category");
  if (categories.length > 0) {
    const already = [...document.querySelectorAll("input[name=category]:disabled")].map((box) => /** @type {HTMLInputElement} */ (box).value);
    limits.forbidden_categories = [...already, ...categories];
  }
  const places = SCOPE.places[0] === "*" ? text("places").toUpperCase().split(/[\s,;，、]+/).filter(Boolean) : form.getAll("place").map(String);
  if (places.some((place) => !/^[A-Z]{2}(-[A-Z0-9]{1,3})?$/.test(place))) return WORDS.s_not_country;
  if (SCOPE.places[0] === "*" ? places.length > 0 : places.length < SCOPE.places.length) {
    if (places.length === 0) return WORDS.s_not_country;
    limits.territories = places;
  }
  const day = text("until");
  if (day !== SCOPE.until.slice(0, 10)) {
    const end = new Date(`${day}T23:59:59Z`);
    if (Number.isNaN(end.getTime()) || end >= new Date(SCOPE.until)) return WORDS.s_not_date;
    body.expires_at = end.toISOString();
  }
  if (Object.keys(limits).length > 0) body.limits = limits;
  return Object.keys(body).length > 0 ? body : WORDS.s_nothing_changed;
}

const limitsForm = /** @type {HTMLFormElement | null} */ (document.getElementById("limits-form"));
limitsForm?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const place = document.getElementById("limits-fault");
  const body = stricter(new FormData(limitsForm));
  const wrong = typeof body === "string" ? body : await narrow(limitsForm, body);
  if (place) place.textContent = wrong;
});

// --- try it out ------------------------------------------------------------------------------------------------------

const trial = /** @type {HTMLFormElement | null} */ (document.getElementById("trial-form"));
const questions = latest();
trial?.addEventListener("input", () => {
  questions(); // an answer to what was asked before would be taken for one to this
  saying(/** @type {HTMLElement} */ (document.getElementById("trial-answer")), "");
});
trial?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const place = /** @type {HTMLElement} */ (document.getElementById("trial-answer"));
  const form = new FormData(trial);
  const text = (/** @type {string} */ name) => String(form.get(name) ?? "").trim();
  const where = text("place").toUpperCase();
  if (where && !/^[A-Z]{2}(-[A-Z0-9]{1,3})?$/.test(where)) return saying(place, WORDS.s_not_country, "bad");
  const seconds = Number(text("seconds"));
  if (text("seconds") && !(Number.isInteger(seconds) && seconds >= 1 && seconds <= 3600)) return saying(place, WORDS.s_not_number, "bad");
  const body = {
    purpose: text("purpose") || null,
    backend: text("backend") || null,
    seconds: seconds || null,
    script: text("script"),
    maker: text("maker") === "me" ? trial.dataset.me : text("maker") || null,
    categories: text("category") ? [text("category")] : [],
    territories: where ? [where] : null,
  };
  saying(place, WORDS.s_asking);
  const newest = questions();
  const button = /** @type {HTMLElement} */ (trial.querySelector("button"));
  const answer = await busy(button, () => ask("POST", trial.dataset.path ?? "", body));
  if (!newest()) return;
  if (!worked(answer)) return saying(place, fault(answer), "bad");
  answered(place, answer.body.cases);
});

/** @typedef {{purpose: string, backend: string, allowed: boolean, reasons: string[]}} Case */

/** @param {HTMLElement} place @param {Case[]} cases */
function answered(place, cases) {
  const asksFirst = (/** @type {Case} */ one) => one.reasons.length === 1 && one.reasons[0] === "approval_needed";
  const yes = cases.filter((one) => one.allowed), ask = cases.filter(asksFirst);
  const all = (/** @type {Case[]} */ some) => some.length === cases.length && cases.length > 0;
  const [words, kind] = all(yes) ? [WORDS.s_yes, "good"] : all(ask) ? [WORDS.s_yes_ask, "warn"] : yes.length + ask.length > 0 ? [WORDS.s_some, "warn"] : [WORDS.s_no, "bad"];
  const notice = make("div", { className: "notice", "data-kind": kind }, make("p", { className: "verdict", textContent: words }));
  place.replaceChildren(notice);
  const why = (/** @type {Case} */ one) => one.reasons.map((code) => WORDS[`s_why_${code}`] ?? WORDS.s_why_gate_error);
  if (cases.length === 1) {
    for (const reason of all(ask) ? [] : why(cases[0])) notice.append(make("p", { textContent: reason }));
    return;
  }
  const purposes = data("purpose-words");
  const list = make("ul", { className: "cases" });
  for (const one of [...yes, ...ask, ...cases.filter((one) => !one.allowed && !asksFirst(one))]) {
    const name = filled(WORDS.s_case, { purpose: purposes[`purpose_${one.purpose}`], backend: SCOPE.generators[one.backend] ?? one.backend });
    const line = make("li", {}, make("strong", { textContent: name }));
    const said = one.allowed ? [WORDS.s_yes] : why(one);
    line.append(...said.map((words) => make("span", { className: "small", textContent: words })));
    list.append(line);
  }
  place.append(list);
}

// --- a new live check ------------------------------------------------------------------------------------------------

const start = /** @type {HTMLElement | null} */ (document.getElementById("check-start"));
start?.addEventListener("click", async () => {
  await busy(start, async () => {
    const answer = await ask("POST", start.dataset.path ?? "", { language: start.dataset.language });
    if (!worked(answer)) return tell(fault(answer));
    const next = new URL(answer.body.verify_url, location.href);
    if (start.dataset.for === "time") {
      next.searchParams.set("for", "renew");
      next.searchParams.set("consent", CONSENT);
    }
    await leave(next);
  });
});

const renewal = /** @type {HTMLFormElement | null} */ (document.getElementById("renew-form"));
renewal?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const place = /** @type {HTMLElement} */ (document.getElementById("renew-fault"));
  const form = new FormData(renewal);
  place.textContent = form.get("agree") ? "" : WORDS.s_agree_first;
  if (!form.get("agree")) return;
  const day = String(form.get("until") ?? "");
  const { path = "", session, terms } = renewal.dataset;
  const body = { session_id: session, terms_sha256: terms, expires_at: day ? `${day}T23:59:59Z` : null };
  await busy(/** @type {HTMLElement} */ (renewal.querySelector("button")), async () => {
    const answer = await ask("POST", path, body);
    if (worked(answer)) await leave(`/my?consent=${CONSENT}&said=renewed`);
    place.textContent = fault(answer);
  });
});

// --- delete everything -----------------------------------------------------------------------------------------------

const deleting = /** @type {HTMLFormElement | null} */ (document.getElementById("delete-form"));
deleting?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const typed = /** @type {HTMLInputElement} */ (deleting.elements.namedItem("word"));
  const wrong = document.getElementById("delete-fault");
  const word = deleting.dataset.word ?? "";
  if (wrong) wrong.textContent = typed.value.trim() === word ? "" : filled(WORDS.s_type_word, { word });
  if (typed.value.trim() !== word) return typed.focus();
  const button = /** @type {HTMLElement} */ (deleting.querySelector("button"));
  const answer = await busy(button, () => ask("DELETE", "/v1/subject"));
  if (!worked(answer)) return tell(fault(answer));
  const done = /** @type {HTMLTemplateElement} */ (document.getElementById("deleted")).content.cloneNode(true);
  HERE?.replaceChildren(done);
  document.querySelector(".nav")?.remove();
  /** @type {HTMLElement | null} */ (HERE?.querySelector("h1"))?.focus();
  scrollTo(0, 0);
});
