// @ts-check
/**
 * The phone flow: agree to the check, get ready, do it, hear what came of it, decide, keep the receipt.
 * The client token is taken out of the address first, and from then on is only in this memory.
 */

import { busy, call, data, filled, inWords, latest, leave, make, saying, when, worked } from "./api.js";
import { CameraTrouble, Senses, closeCamera, openCamera, otherCameras, recorderMedia } from "./verify-camera.js";
import { Decision } from "./verify-decide.js";
import { runLive } from "./verify-live.js";
import { recordTake, sendTake } from "./verify-record.js";
import { canMakePasskeys, makePasskey } from "./verify-passkey.js";
import { Stage, byId } from "./verify-take.js";

/** @typedef {import("./api.js").Answer} Answer */

const [, TOKEN] = /** @type {[string, string]} */ (/^\/verify\/([^/]+)$/.exec(location.pathname) ?? ["", ""]);
const QUERY = location.search;
history.replaceState(null, "", "/verify");

const words = /** @type {Record<string, string>} */ (data("words"));
const visit = data("visit");
const me = { token: TOKEN };
const SESSION = `/v1/liveness/sessions/${visit.session}`;
const LOOK_EVERY_MS = 700, FOLLOW_EVERY_MS = 1500, LONG_MS = 20_000, CHECK_EVERY_MS = 250;
const AROUND_A_CHECK = new Set(["take", "sending", "judging", "receipt", "end"]);

const status = byId("status");
const preview = /** @type {HTMLVideoElement} */ (byId("preview"));
const stage = new Stage(words, visit.spoken);
const own = { offline: words.problem_offline };

const now = {
  screen: "",
  deadline: new Date(visit.deadline),
  live: true,
  following: false,
  /** @type {MediaStream | null} */
  stream: null,
  /** @type {Senses | null} */
  senses: null,
  /** @type {string | undefined} */
  deviceId: undefined,
  camera: "{}",
  taking: new AbortController(),
};

// --- one part at a time ----------------------------------------------------------------------------------------------

/** @param {string} name */
function show(name) {
  now.screen = name;
  document.body.dataset.screen = name;
  saying(status, "");
  for (const part of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-screen]"))) {
    if (part !== document.body) part.hidden = part.dataset.screen !== name;
  }
  if (name !== "ready" && name !== "take") putAwayCamera();
  if (name !== "phone") now.following = false;
  const heading = byId(`${name}-title`);
  document.title = `${heading.textContent?.trim()} · Mien`;
  heading.focus({ preventScroll: true });
  window.scrollTo(0, 0);
}

/** The end, with its words. @param {string} title @param {string} text @param {{link?: boolean, more?: string}} [more] */
function end(title, text, { link = false, more = words.close_page } = {}) {
  byId("end-title").textContent = title;
  byId("end-text").textContent = text;
  byId("end-more").textContent = more;
  byId("end-link").hidden = !link;
  show("end");
}

/** The app around this page, if there is one, hears that it is over: how, and which consent. Nothing else. @param {string} state @param {string | null} [consentId] */
function tellApp(state, consentId = null) {
  const message = { type: "mien.finished", state, consent_id: consentId };
  const outside = /** @type {any} */ (window);
  outside.ReactNativeWebView?.postMessage(JSON.stringify(message));
  outside.webkit?.messageHandlers?.mien?.postMessage(message);
  outside.MienAndroid?.postMessage(JSON.stringify(message));
}

function expired() {
  now.taking.abort();
  end(words.expired_title, words.expired_text);
  tellApp("expired");
}

/** What the service said no to, where nothing more particular is known. @param {Answer} answer */
function refused(answer) {
  const code = answer.body?.code;
  if (code === "session_expired" || answer.status === 401 || answer.status === 404) return expired();
  if (code === "locked_out") return failed([], 0, answer.body.locked_until);
  if (code === "no_attempts_left") return failed([], 0);
  if (code === "consent_exists" || code === "consent_refused") return end(words.answered_title, words.answered_text, { link: true });
  if (code === "session_not_ready") return void goOn();
  saying(status, inWords(answer, { ...own }), "bad");
}

/** @returns {Promise<Answer>} */
async function session() {
  const answer = await call(me, "GET", SESSION);
  if (worked(answer)) now.deadline = new Date(answer.body.expires_at);
  return answer;
}

/** On from wherever the session stands. */
async function goOn() {
  const answer = await session();
  if (answer.status === 0) {
    show("start");
    return saying(status, words.problem_offline, "warn");
  }
  if (!worked(answer)) return expired();
  const { status: state, advice, attempts_left: left, locked_until: until, answer: said } = answer.body;
  if (said === "given" || said === "refused") return end(words.answered_title, words.answered_text, { link: true });
  if (state === "judging") return judging();
  if (state === "passed") return passed();
  if (state === "failed") return failed(advice, left, until);
  if (state === "expired") return expired();
  show("start");
}

setInterval(() => {
  const minutes = (now.deadline.getTime() - Date.now()) / 60_000;
  byId("time-left").textContent = minutes > 1 ? filled(words.time_left, { minutes: Math.floor(minutes) }) : words.time_left_1;
  if (minutes <= 0 && !AROUND_A_CHECK.has(now.screen) && !now.following) expired();
}, 1000);

// --- 1. the first yes ------------------------------------------------------------------------------------------------

const agree = /** @type {HTMLFormElement} */ (byId("agree"));
const ticked = /** @type {HTMLInputElement} */ (agree.elements.namedItem("agree"));

function wish() {
  const chosen = new FormData(/** @type {HTMLFormElement} */ (byId("wish")));
  return { path: String(chosen.get("path") ?? "standard"), extra_time: chosen.get("extra_time") !== null };
}

ticked.addEventListener("change", () => agreed(ticked.checked ? "" : null));

/** @param {string | null} fault */
function agreed(fault) {
  byId("agree-fault").textContent = fault ?? "";
  if (fault) byId("agree-field").dataset.invalid = "";
  else byId("agree-field").removeAttribute("data-invalid");
}

agree.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (!ticked.checked) {
    agreed(words.agree_check_needed);
    return ticked.focus();
  }
  const button = /** @type {HTMLElement} */ (agree.querySelector("[type=submit]"));
  await busy(button, async () => {
    const answer = await call(me, "POST", `${SESSION}/check-consent`, { terms_sha256: visit.terms });
    if (now.screen !== "start") return; // left in the meantime: no camera is opened after that
    if (!worked(answer)) return refused(answer);
    void getReady();
  });
});

byId("leave").addEventListener("click", () => {
  end(words.left_title, words.left_text);
  tellApp("left");
});

const terms = /** @type {HTMLDialogElement} */ (byId("terms"));
for (const link of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-terms]"))) {
  link.addEventListener("click", () => {
    terms.showModal();
    const place = byId(link.dataset.terms ?? "terms-title");
    place.focus({ preventScroll: true });
    place.scrollIntoView({ block: "start" });
  });
}
byId("terms-close").addEventListener("click", () => terms.close());
for (const link of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-to]"))) {
  link.addEventListener("click", () => {
    show(link.dataset.to ?? "start");
    if (link.id === "failed-ways") /** @type {HTMLDetailsElement} */ (byId("ways")).open = true;
  });
}

// the language link would lose the token: it is not in the address any more
document.querySelector(".language")?.addEventListener("click", (event) => {
  event.preventDefault();
  if (now.screen === "take" || now.screen === "sending" || now.screen === "receipt") return;
  const query = new URLSearchParams(QUERY);
  query.set("lang", new URL(/** @type {HTMLAnchorElement} */ (event.currentTarget).href).searchParams.get("lang") ?? "en");
  location.replace(`/verify/${TOKEN}?${query}`);
});

// --- on the phone instead --------------------------------------------------------------------------------------------

for (const id of ["hand-over", "failed-phone"]) byId(id).addEventListener("click", () => handOver());
byId("phone-back").addEventListener("click", () => {
  now.following = false;
  void busy(byId("phone-back"), goOn);
});

async function handOver() {
  show("phone");
  now.following = true;
  byId("phone-code").hidden = byId("phone-keep").hidden = false;
  byId("phone-local").hidden = location.hostname !== "localhost";
  const state = byId("phone-state");
  state.textContent = words.phone_waiting;
  while (now.following) {
    await new Promise((resolve) => setTimeout(resolve, FOLLOW_EVERY_MS));
    if (!now.following) return;
    const answer = await session();
    if (!now.following) return;
    if (answer.status === 0) continue;
    if (!worked(answer) || answer.body.status === "expired") return expired();
    const { status: at, answer: said } = answer.body;
    if (said === "given") return end(words.receipt_title, words.phone_given, { link: true });
    if (said === "refused") return end(words.refused_title, words.phone_refused);
    if (said === "deferred") return end(words.deferred_title, words.phone_deferred);
    const text = /** @type {Record<string, string>} */ ({
      created: words.phone_waiting, challenged: words.phone_began, judging: words.phone_judging, failed: words.phone_failed,
      passed: visit.after === "double" ? words.phone_passed : words.signed_in_title,
    })[at];
    if (state.textContent !== text) state.textContent = text;
    byId("phone-code").hidden = byId("phone-keep").hidden = at !== "created";
  }
}

// --- 2. camera, microphone, light ------------------------------------------------------------------------------------

const start = /** @type {HTMLButtonElement} */ (byId("start"));
const openings = latest();

async function getReady() {
  const newest = openings();
  show("ready");
  byId("ready-place").append(stage.stage);
  stage.tell("");
  stage.progress(0, 1);
  start.disabled = true;
  start.hidden = false;
  byId("ready-trouble").hidden = true;
  byId("ready-place").hidden = byId("checks").hidden = byId("ready-lead").hidden = false;
  byId("ready-advice").hidden = true;
  for (const check of ["camera", "microphone", "light"]) mark(check, "wait");
  saying(status, words.camera_asking, "info");
  closeCamera(now.stream);
  now.senses?.close();
  const sound = wish().path !== "no_speech";
  let stream;
  try {
    stream = await openCamera({ sound, deviceId: now.deviceId });
  } catch (error) {
    if (!newest() || now.screen !== "ready") return;
    saying(status, "");
    return trouble(error instanceof CameraTrouble ? error.kind : "unsupported");
  }
  if (!newest() || now.screen !== "ready") return closeCamera(stream); // asked for once more since, or not any more
  now.stream = stream;
  saying(status, "");
  for (const track of stream.getTracks()) track.addEventListener("ended", () => trouble("gone"));
  preview.srcObject = stream;
  await preview.play().catch(() => {});
  if (!newest() || now.screen !== "ready") return;
  now.senses = new Senses(preview, stream);
  const others = await otherCameras(stream).catch(() => []);
  if (!newest() || now.senses === null) return;
  const another = byId("other-camera");
  another.hidden = others.length === 0;
  another.onclick = () => {
    now.deviceId = others[0].deviceId;
    void getReady();
  };
  void keepChecking(now.senses, sound);
}

/** @param {Senses} senses @param {boolean} sound */
async function keepChecking(senses, sound) {
  while (now.senses === senses && now.screen === "ready") {
    const light = senses.light(), heard = sound ? senses.microphone() : "not_needed";
    mark("camera", light === "wait" ? "wait" : light === "covered" ? "covered" : "good");
    mark("light", light === "covered" ? "wait" : light);
    mark("microphone", heard);
    const fine = light === "good" && (heard === "good" || heard === "not_needed");
    start.disabled = light === "wait" || light === "covered" || heard === "wait";
    start.textContent = fine || start.disabled ? words.ready_start : words.ready_anyway;
    const lying = matchMedia("(orientation: landscape) and (max-height: 30rem)").matches;
    byId("ready-advice").hidden = !lying;
    if (lying) byId("ready-advice").textContent = words.ready_landscape;
    await new Promise((resolve) => setTimeout(resolve, CHECK_EVERY_MS));
  }
}

/** @param {string} check @param {string} found */
function mark(check, found) {
  const badge = /** @type {HTMLElement} */ (document.querySelector(`[data-check=${check}] .badge`));
  const text = words[`ready_${found}`];
  if (badge.textContent !== text) badge.textContent = text;
  badge.dataset.kind = found === "good" ? "good" : found === "wait" || found === "not_needed" ? "" : "warn";
}

/** @param {string} kind */
function trouble(kind) {
  if (now.screen === "take") {
    now.taking.abort();
    show("ready");
  }
  if (now.screen !== "ready") return;
  putAwayCamera();
  byId("ready-place").hidden = byId("checks").hidden = byId("ready-lead").hidden = start.hidden = true;
  const notice = byId("ready-trouble");
  const title = kind === "microphone_none" ? "microphone_none" : `camera_${kind}`;
  /** @type {HTMLElement} */ (notice.querySelector("[data-slot=title]")).textContent = words[title];
  /** @type {HTMLElement} */ (notice.querySelector("[data-slot=text]")).textContent = words[`${title}_text`];
  const ways = /** @type {HTMLElement} */ (notice.querySelector("[data-slot=ways]"));
  const again = make("button", { className: "button", type: "button", textContent: words.try_again });
  again.addEventListener("click", () => getReady());
  const phone = make("button", { className: "button quiet", type: "button", textContent: words.phone_instead });
  phone.addEventListener("click", () => handOver());
  ways.replaceChildren(...(kind === "insecure" || kind === "unsupported" ? [] : [again]));
  if (kind === "microphone_none") {
    const silent = make("button", { className: "button quiet", type: "button", textContent: words.without_speaking });
    silent.addEventListener("click", () => {
      /** @type {HTMLInputElement} */ (document.querySelector("[name=path][value=no_speech]")).checked = true;
      void getReady();
    });
    ways.append(silent);
  }
  ways.append(phone);
  notice.hidden = false;
}

function putAwayCamera() {
  now.senses?.close();
  now.senses = null;
  closeCamera(now.stream);
  now.stream = null;
  preview.srcObject = null;
}

// --- 3. the check ----------------------------------------------------------------------------------------------------

start.addEventListener("click", () => take());
byId("stop").addEventListener("click", () => now.taking.abort());

async function take() {
  const { stream, senses } = now;
  const media = recorderMedia();
  if (!stream || !senses || !media) return trouble("gone");
  performance.mark("mien-start");
  now.camera = senses.statement();
  now.taking = new AbortController();
  const { signal } = now.taking;
  show("take");
  byId("take-place").append(stage.stage);
  await preview.play().catch(() => {});
  stage.position();
  const common = { session: visit.session, token: TOKEN, stream, media, wish: wish(), camera: now.camera, stage, signal };
  try {
    if (now.live) {
      const ending = await runLive({ ...common, onSealed: () => show("judging") });
      if (ending.kind !== "unavailable") return void (await liveEnded(ending));
      now.live = false;
    }
    const made = await recordTake(common);
    if ("problem" in made) {
      show("ready");
      return refused(made.problem);
    }
    await hand(made.recording);
  } catch (error) {
    if (!(error instanceof DOMException && error.name === "AbortError")) throw error;
    if (now.screen === "take") await stopped();
  }
}

/** @param {import("./verify-live.js").Ending} ending */
async function liveEnded(ending) {
  switch (ending.kind) {
    case "judging":
      return judging();
    case "verdict":
      return ending.status === "passed" ? passed() : looked();
    case "failed":
      if (ending.code === "connection_lost" || ending.code === "media_stalled") now.live = false;
      return ending.left < 0 ? looked() : failed([{ text: ending.text }], ending.left);
    case "stopped":
      return stopped();
    case "refused":
      show("ready");
      return refused(/** @type {Answer} */ ({ status: 409, body: { code: ending.code, locked_until: ending.until } }));
  }
}

/** Who stops goes back to where they can start again; an attempt may be gone. */
async function stopped() {
  await goBackToStart(words.take_stopped);
}

/** @param {string} text */
async function goBackToStart(text) {
  const answer = await session();
  if (worked(answer) && answer.body.attempts_left === 0) return failed(answer.body.advice, 0, answer.body.locked_until);
  show("start");
  saying(status, text, "info");
}

/** @param {Blob} recording */
async function hand(recording) {
  show("sending");
  const bar = /** @type {HTMLProgressElement} */ (byId("sent"));
  const text = byId("sending-text");
  performance.mark("mien-sent");
  const answer = await sendTake({
    session: visit.session, token: TOKEN, recording, camera: now.camera, signal: now.taking.signal,
    tell: (what, percent) => {
      if (percent > 0 || what !== "sending") bar.value = percent;
      const told = what === "sending" ? filled(words.sending_text, { percent }) : words[`sending_${what}`];
      if (text.textContent !== told) text.textContent = told;
      bar.dataset.what = what;
    },
  });
  if (answer.status === 202) return judging();
  const code = answer.body?.code;
  if (code === "challenge_expired" || code === "challenge_spent" || code === "challenge_missing") return goBackToStart(words.expired_take);
  refused(/** @type {Answer} */ (answer));
}

/** Waits for the verdict. @returns {Promise<void>} */
async function judging() {
  if (now.screen !== "judging") show("judging");
  const since = performance.now();
  const text = byId("judging-text");
  text.textContent = words.judging_text;
  for (;;) {
    const answer = await session();
    if (answer.status !== 0) {
      if (!worked(answer)) return refused(answer);
      if (answer.body.status !== "judging") return looked(answer);
    }
    text.textContent = answer.status === 0 ? words.problem_offline : performance.now() - since > LONG_MS ? words.judging_long : words.judging_text;
    await new Promise((resolve) => setTimeout(resolve, LOOK_EVERY_MS));
  }
}

/** What came of it. @param {Answer} [known] @returns {Promise<void>} */
async function looked(known) {
  let answer = known ?? (await session());
  while (answer.status === 0) {
    show("judging");
    byId("judging-text").textContent = words.problem_offline;
    await new Promise((resolve) => setTimeout(resolve, 2 * LOOK_EVERY_MS));
    answer = await session();
  }
  if (!worked(answer)) return refused(answer);
  const { status: state, advice, attempts_left: left, locked_until: until } = answer.body;
  if (state === "judging" || state === "challenged") return judging();
  if (state === "passed") return passed();
  return failed(advice, left, until);
}

/** @param {{text: string}[]} advice @param {number} left @param {string | null} [until] */
function failed(advice, left, until = null) {
  const over = left <= 0 || until !== null;
  byId("failed-title").textContent = over ? words.failed_last_title : words.failed_title;
  byId("failed-lead").textContent = over ? "" : words.failed_lead;
  const list = byId("advice");
  const texts = [...new Set(advice.map((each) => each.text).filter(Boolean))];
  list.replaceChildren(...texts.map((text) => make("li", { textContent: text })));
  list.hidden = texts.length === 0;
  const many = words[`failed_left_${left}`] ?? filled(words.failed_left, { count: left });
  byId("failed-left").textContent = until ? filled(words.failed_locked, { time: when(until, { timeStyle: "short" }) })
    : over ? `${words.failed_last} ${words.failed_deleted}` : `${many} ${words.failed_new}`;
  for (const id of ["again", "failed-ways", "failed-phone"]) byId(id).hidden = over;
  show("failed");
  if (over) tellApp("failed");
}

byId("again").addEventListener("click", () => getReady());

// --- 4. the second yes -----------------------------------------------------------------------------------------------

const decision = new Decision(words);

async function passed() {
  if (visit.after === "sign-in") {
    const answer = await call(null, "POST", "/v1/sign-in/with-live-check", me);
    tellApp("passed");
    return end(words.signed_in_title, worked(answer) ? words.signed_in_text : words.checked_text, { link: worked(answer), more: "" });
  }
  if (visit.after === "renew") {
    tellApp("passed");
    return leave(`/my/check?for=time&consent=${visit.consent}&session=${visit.session}`);
  }
  show("double");
  const answer = await session();
  if (worked(answer)) byId("later-text").textContent = filled(words.double_later_text, { time: when(answer.body.expires_at, { timeStyle: "short" }) });
}

byId("decide").addEventListener("submit", async (event) => {
  event.preventDefault();
  const wanted = decision.wanted(visit.session, visit.terms);
  if (wanted === null) return;
  await decided("yes", async () => {
    const answer = await call(me, "POST", "/v1/consents", wanted, { headers: { "Idempotency-Key": decisionKey } });
    if (answer.status === 201) return given(answer.body);
    if (answer.status !== 0) decisionKey = crypto.randomUUID();
    if ([401, 404, 409, 410].includes(answer.status)) return refused(answer);
    saying(byId("decide-status"), inWords(answer, own), "bad");
  });
});
let decisionKey = crypto.randomUUID();

const ANSWERS = ["yes", "no", "later"];
/** Only one of the answers is on its way at a time. @param {string} said @param {() => Promise<unknown>} work */
async function decided(said, work) {
  const others = ANSWERS.filter((one) => one !== said).map(byId);
  for (const other of others) other.setAttribute("disabled", "");
  try {
    await busy(byId(said), work);
  } finally {
    for (const other of others) other.removeAttribute("disabled");
  }
}

for (const [id, said] of [["no", "refused"], ["later", "deferred"]]) {
  byId(id).addEventListener("click", () => decided(id, async () => {
    const answer = await call(me, "POST", `${SESSION}/answer`, { answer: said });
    if (answer.status === 0) return saying(byId("decide-status"), words.problem_offline, "warn");
    if (!worked(answer)) return refused(answer);
    if (said === "refused") end(words.refused_title, words.refused_text);
    else end(words.deferred_title, filled(words.deferred_text, { time: when(now.deadline.toISOString(), { timeStyle: "short" }) }));
    tellApp(said);
  }));
}

// --- 5. the receipt --------------------------------------------------------------------------------------------------

/** @param {{consent_id: string, receipt: any, record: string, manage_token: string}} consent */
async function given(consent) {
  const person = { token: consent.manage_token };
  byId("consent-id").textContent = consent.consent_id;
  const save = /** @type {HTMLAnchorElement} */ (byId("save"));
  save.href = URL.createObjectURL(new Blob([JSON.stringify(consent.receipt, null, 2)], { type: "application/json" }));
  save.download = `${consent.consent_id}-receipt.json`;
  /** @type {HTMLImageElement} */ (byId("receipt-code")).src = `/verify/code/${consent.consent_id}.svg`;
  const state = await call(person, "GET", `/v1/consents/${consent.consent_id}`);
  byId("receipt-lead").textContent = filled(words.receipt_lead, { until: worked(state) ? when(state.body.expires_at, { dateStyle: "long" }) : "" });
  byId("go-back").hidden = !window.opener; // a page of ours that opened this one, and goes on there
  byId("go-back").onclick = () => window.close();
  show("receipt");
  tellApp("given", consent.consent_id);
  keepKey(person);
}

/** A passkey for this consent, and a way in without one. @param {{token: string}} person */
function keepKey(person) {
  byId("passkey").hidden = !canMakePasskeys();
  byId("make-passkey").addEventListener("click", () => busy(byId("make-passkey"), async () => {
    const made = await makePasskey(person, visit.language, words.passkey_name);
    saying(byId("passkey-status"), made ? words.passkey_made : words.passkey_not, made ? "good" : "warn");
    byId("make-passkey").hidden = byId("without-passkey").hidden = made;
  }));
  for (const link of /** @type {NodeListOf<HTMLAnchorElement>} */ (document.querySelectorAll("[data-screen=receipt] a[href='/my']"))) {
    link.addEventListener("click", async (event) => {
      event.preventDefault();
      const answer = await call(null, "POST", "/v1/sign-in/with-token", person);
      if (answer.status !== 0) return leave("/my");
      saying(status, words.problem_offline, "warn"); // the key to the consent is on this page alone
      status.scrollIntoView({ block: "nearest" });
    });
  }
}

// --- begin -----------------------------------------------------------------------------------------------------------

async function begin() {
  if (visit.state !== "created") return goOn();
  show("start");
  const devices = await navigator.mediaDevices?.enumerateDevices().catch(() => null);
  const able = devices?.some((device) => device.kind === "videoinput") && recorderMedia() !== null;
  if (!able && now.screen === "start") await handOver();
}

void begin();
