// @ts-check
/** The overview: three steps for who is new, and every clip with what became of it. */
import { busy, latest, make, saying, when, worked } from "./api.js";
import { ask, at, clipBadge, consents, endConsent, follow, invite, lasting, listed, nameOf, say, settings, staff, trouble } from "./studio.js";

/** @typedef {import("./studio.js").Consent} Consent */

const PAGE = 24, MOST = 200; // clips in one answer
const RENEW_MS = 3000;
/** @type {string | null} */
let next = null;
let shown = 0;
const lists = latest(), overviews = latest();
let renewing = 0;
/** @type {Map<string, Consent>} */
const known = new Map();

// --- clips -----------------------------------------------------------------------------------------------------------

/** @param {any} clip */
function card(clip) {
  const who = clip.consents.map((/** @type {string} */ id) => known.get(id)).filter(Boolean).map(nameOf);
  const about = clip.consents.length === 0 ? say("nobody_in_it") : who.length ? listed(who) : "";
  const kind = ["portrait", "story", "cameo"].includes(clip.kind) ? say(`kind_${clip.kind}`) : clip.backend;
  const link = make("a", { className: "clip-link", href: `/studio/clips/${clip.clip_id}` }, make("strong", { textContent: kind }));
  const facts = make("p", { className: "small muted" });
  facts.append(make("time", { datetime: clip.created_at, textContent: when(clip.created_at) }));
  if (clip.duration_ms) facts.append(` · ${lasting(clip.duration_ms / 1000)}`);
  const item = make("li", { className: "card clip-card" }, make("div", { className: "row spread" }, link, clipBadge(clip.state)), make("p", { textContent: about }), facts);
  if (clip.state === "running") item.append(make("progress", { max: 1, value: clip.progress, "aria-label": say("clip_progress") }));
  return item;
}

const filter = () => /** @type {HTMLSelectElement} */ (at("filter")).value;

/** The list, as long as it is wanted, or what comes after it. @param {{more?: boolean, most?: number}} [wanted] */
async function load({ more = false, most = PAGE } = {}) {
  const newest = lists();
  const query = new URLSearchParams({ limit: String(most) });
  if (filter()) query.set("state", filter());
  if (more && next) query.set("cursor", next);
  const answer = await staff("GET", `/v1/clips?${query}`);
  if (!newest()) return;
  const list = at("clips");
  list.removeAttribute("aria-busy");
  for (const one of list.querySelectorAll(".skeleton")) one.remove();
  if (!worked(answer)) return saying(at("status"), `${say("home_failed")} ${trouble(answer)}`, "bad");
  saying(at("status"), "");
  if (!more) list.replaceChildren();
  list.append(...answer.body.results.map(card));
  shown = list.childElementCount;
  next = answer.body.next;
  at("more").hidden = next === null;
  at("none").hidden = shown > 0 || filter() !== "";
  at("none-of-this").hidden = shown > 0 || filter() === "";
  at("filter").hidden = shown === 0 && filter() === "";
}

// --- the three steps -------------------------------------------------------------------------------------------------

/** @param {number} number @param {"open" | "good" | "wait" | "later"} state @param {string} [words] */
function step(number, state, words = "") {
  const item = at(`step${number}`);
  item.toggleAttribute("data-later", state === "later");
  if (state === "good") item.setAttribute("data-kind", "good");
  else item.removeAttribute("data-kind");
  const acts = /** @type {HTMLElement} */ (item.querySelector("[data-act]"));
  acts.hidden = state !== "open" && state !== "wait";
  /** @type {HTMLElement} */ (item.querySelector(".said")).textContent = words;
}

/** @param {Consent[]} given @param {any[]} clips */
function steps(given, clips) {
  if (settings.read().steps === "hidden" || (clips.length > 3 && settings.read().steps !== "shown")) return false;
  at("steps").hidden = false;
  const valid = given.find((one) => one.state === "valid");
  const taken = given.some((one) => one.state === "revoked");
  const done = clips.find((one) => one.state === "done" || one.state === "withdrawn");
  const running = clips.find((one) => one.state === "queued" || one.state === "running");
  step(1, given.length ? "good" : "open", given.length ? say("step1_done") : "");
  step(2, done ? "good" : given.length ? "open" : "later", done ? say("step2_done") : running ? say("step2_running") : "");
  const go = /** @type {HTMLAnchorElement} */ (at("step2-go"));
  if (valid) go.href = `/studio/new?person=${valid.consent_id}&first=1`;
  if (running && !done) {
    go.href = `/studio/clips/${running.clip_id}?first=1`;
    go.textContent = say("step2_look");
  }
  step(3, taken ? "good" : done ? "open" : "later", taken ? say("step3_done") : "");
  at("step3-go").hidden = !valid;
  at("step3-go").onclick = async () => {
    if (valid && (await endConsent(at("step3-go"), valid, at("status")))) await all();
  };
  at("steps-all").hidden = !(taken && done);
  if (location.hash === "#step3" && done) {
    at("step3").scrollIntoView({ block: "center" });
    history.replaceState(null, "", location.pathname);
  }
  return true;
}

/** @type {AbortController | null} */
let watching = null;

async function begin() {
  const tab = window.open("about:blank", "_blank");
  const { answer, invitation } = await invite(say("myself"), { me: true });
  if (!invitation) {
    tab?.close();
    return step(1, "open", trouble(answer));
  }
  if (tab) tab.location.href = invitation.link;
  else location.href = invitation.link;
  step(1, "wait", say("step1_waiting"));
  at("step1-go").textContent = say("step1_again");
  watching?.abort();
  watching = new AbortController();
  void follow(invitation, (state) => {
    if (state === "given") void all();
    else if (["failed", "over", "refused"].includes(state)) {
      at("step1-go").textContent = say("step1_go");
      step(1, "open", say(`step1_${state}`));
    }
  }, watching.signal);
}

async function all() {
  clearTimeout(renewing);
  const newest = overviews();
  const [answer, clips] = await Promise.all([consents({ limit: 200 }), staff("GET", `/v1/clips?limit=${PAGE}`)]);
  if (!newest()) return;
  if (worked(answer)) for (const one of answer.body.results) known.set(one.consent_id, one);
  await load({ most: Math.min(MOST, Math.max(PAGE, shown)) });
  if (!newest()) return;
  if (worked(answer) && worked(clips)) {
    const stepping = steps(answer.body.results, clips.body.results);
    at("new").hidden = stepping && clips.body.results.length === 0;
  }
  const going = worked(clips) && clips.body.results.some((/** @type {any} */ one) => one.state === "queued" || one.state === "running");
  if (going || clips.status === 0) renewing = window.setTimeout(renew, RENEW_MS);
}

/** Not under the hands of who is in the list just now, or asks for more of it. */
function renew() {
  if (at("clips").contains(document.activeElement) || at("more").hasAttribute("aria-busy")) renewing = window.setTimeout(renew, RENEW_MS);
  else void all();
}

at("step1-go").addEventListener("click", () => void busy(at("step1-go"), begin));
at("step1-phone").addEventListener("click", () => ask({ name: say("myself"), me: true, at_once: true }, () => void all()));
at("steps-hide").addEventListener("click", () => {
  settings.write({ steps: "hidden" });
  at("steps").hidden = true;
});
at("filter").addEventListener("change", () => void load());
at("more").addEventListener("click", () => void busy(at("more"), () => load({ more: true })));
void all();
