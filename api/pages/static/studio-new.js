// @ts-check
/** Making a clip: who, what, from which pictures, with which words; the gate's answer first, then the order. */
import { busy, call, idempotencyKey, leave, make, saying, worked } from "./api.js";
import { camera, figure, handIn, medium } from "./studio-media.js";
import { account, ask, at, day, has, inOrder, isMe, lasting, listed, mayAsk, nameOf, people, say, staff, trouble } from "./studio.js";

/** @typedef {import("./studio.js").Consent} Consent @typedef {import("./studio-media.js").Medium} Medium */

const LOCAL = ["portrait", "story", "cameo"];
const PURPOSES = ["digital_double", "cameo", "advertising"];
const SHAPES = { wide: [1280, 720], tall: [720, 1280], square: [720, 720] };
const FILMS = ["performance", "edit", "extend"];
const PEOPLE_MODES = ["first_frame", "first_last_frame", "keyframes", "reference", "speech_to_video", ...FILMS];
const TOKEN_S = 900;
const HANDED_IN = "mien-handed-in"; // the form hears it whenever a file arrived, or is not waited for any more

const form = /** @type {HTMLFormElement} */ (at("order"));
const asked = new URLSearchParams(location.search);

/** @type {Consent[]} */
let everyone = [];
/** @type {Set<string>} */
const chosen = new Set();
/** @type {Medium[]} */
let media = [];
/** @type {{sound: Medium | null, music: Medium | null}} */
const sounds = { sound: null, music: null };
/** @type {{who: string, text: string}[]} */
let lines = [];
/** @type {{seconds: number, caption: string}[]} */
const shots = [];
/** @type {any[]} */
let vendors = [];
/** @type {Record<string, string> | null} */
let categories = null;
/** @type {Map<string, {token: string, until: number}>} */
const tokens = new Map();
/** What the page still fetches of all that can be chosen; a press waits for it. @type {Promise<unknown>} */
let loading = Promise.resolve();
const there = { people: false, vendors: false };
let judged = ""; // the order that the question under way or the answer shown is about; empty: none
let asking = new AbortController(); // that question
let ordering = { body: "", key: "" }; // one order stays one, however often it is sent
let ordered = false;

// --- what is chosen --------------------------------------------------------------------------------------------------

/** @param {string} name */
const picked = (name) => /** @type {HTMLInputElement | null} */ (form.querySelector(`input[name="${name}"]:checked`))?.value ?? "";
const kind = () => picked("kind");
/** @param {string} id */
const value = (id) => /** @type {HTMLInputElement} */ (at(id)).value;
const chosenPeople = () => everyone.filter((one) => chosen.has(one.consent_id));
const vendor = () => vendors.find((one) => one.backend === value("vendor"));
const model = () => vendor()?.models.find((/** @type {any} */ one) => one.name === value("model"));
const backend = () => (kind() === "remote" ? value("vendor") : kind());
const speech = () => picked("speech");
/** @param {Consent} who @param {string} maker */
const covers = (who, maker) => who.audience.includes("*") || who.audience.includes(maker);

const handingIn = () => [...media, sounds.sound, sounds.music].some((one) => one && !one.media_id && !one.fault);

/** What is still missing, in words; empty when the gate can be asked. */
function missing() {
  const who = chosenPeople();
  if (media.some((one) => one.fault)) return media.find((one) => one.fault)?.fault ?? "";
  if (who.length && !picked("purpose")) return say("new_missing_purpose");
  const films = media.filter((one) => one.kind === "video").length;
  switch (kind()) {
    case "portrait":
      if (!who.length) return say("new_missing_people");
      if (films) return say("up_wrong_kind");
      if (who.length > 1 && media.length !== 1) return say("new_missing_group");
      if (media.length > 4) return say("new_missing_four");
      if (speech() === "words" && !value("script").trim()) return say("new_missing_words");
      if (speech() === "lines" && (!lines.length || lines.some((one) => !one.text.trim()))) return say("new_missing_lines");
      if (speech() === "sound" && !sounds.sound?.media_id) return say("new_missing_sound");
      return "";
    case "story":
      if (films) return say("up_wrong_kind");
      return media.length < 2 ? say("new_missing_two") : media.length > 10 ? say("new_missing_ten") : "";
    case "cameo":
      if (!who.length) return say("new_missing_people");
      if (media.length !== 1 || !films) return say("new_missing_film");
      return value("face-of") ? "" : say("new_missing_face_of");
    default:
      if (!model()) return say("new_missing_vendor");
      if (!who.length) return say("new_missing_people");
      if (media.length > 10) return say("new_missing_ten");
      if (value("mode") === "speech_to_video" && !sounds.sound?.media_id) return say("new_missing_sound");
      if (FILMS.includes(value("mode")) && !films) return say("new_missing_film");
      return "";
  }
}

/** The order, as the API takes it. @param {string[]} given the tokens of who is chosen, in order */
function order(given) {
  const [width, height] = /** @type {any} */ (SHAPES)[picked("shape")];
  const who = chosenPeople();
  /** @type {Record<string, any>} */
  const body = { kind: kind(), backend: backend(), tokens: given, media: media.map((one) => one.media_id), width, height };
  body.purpose = picked("purpose") || "digital_double";
  if (!at("maker-part").hidden && value("maker")) body.maker = value("maker");
  if (!at("about-part").hidden) body.categories = [...form.querySelectorAll('input[name="about"]:checked')].map((one) => /** @type {HTMLInputElement} */ (one).value);
  if (!at("where-part").hidden) body.territories = value("where").toUpperCase().split(/[\s,，、;]+/).filter(Boolean);
  if (kind() === "portrait") {
    if (speech() === "words") body.script = value("script").trim();
    else if (speech() === "sound") body.sound = sounds.sound?.media_id;
    else body.lines = lines.map((one) => (one.who === "*" ? { text: one.text.trim(), everyone: true } : { text: one.text.trim(), consent: one.who }));
  } else if (kind() === "story") {
    body.shots = shots.slice(0, media.length - 1);
    if (sounds.music?.media_id) body.music = sounds.music.media_id;
  } else if (kind() === "cameo") body.face_of = value("face-of");
  else {
    body.remote = { model: value("model"), mode: value("mode"), prompt: value("prompt").trim(), seconds: Number(value("length")) };
    if (value("ratio")) body.remote.ratio = value("ratio");
    if (value("resolution")) body.remote.resolution = value("resolution");
    body.remote.sound = model()?.sound === "always" || (model()?.sound === "choice" && /** @type {HTMLInputElement} */ (at("with-sound")).checked);
    if (value("mode") === "speech_to_video" && sounds.sound) {
      const place = who.findIndex((one) => one.consent_id === value("voice-of"));
      body.sound = sounds.sound.media_id;
      body.voices = [{ media_id: sounds.sound.media_id, token: place < 0 ? null : place }];
    }
  }
  return body;
}

/** The order as it stands in the form, with the people in place of their tokens. */
const wish = () => JSON.stringify(order(chosenPeople().map((one) => one.consent_id)));

/** A token of each chosen person for this generator and purpose. @param {AbortSignal} [signal] @returns {Promise<{tokens: string[], refused: {who: Consent, answer: import("./api.js").Answer}[]}>} */
async function tokensOf(signal) {
  const found = await Promise.all(
    chosenPeople().map(async (who) => {
      const body = { audience: backend(), purpose: picked("purpose"), ttl_s: TOKEN_S };
      const key = `${who.consent_id} ${body.audience} ${body.purpose}`;
      const known = tokens.get(key);
      if (known && known.until > Date.now()) return { who, token: known.token };
      const answer = await staff("POST", `/v1/consents/${who.consent_id}/tokens`, body, { signal });
      if (!worked(answer)) return { who, answer };
      tokens.set(key, { token: answer.body.token, until: Date.now() + (TOKEN_S - 300) * 1000 });
      return { who, token: answer.body.token };
    }),
  );
  const refused = found.filter((one) => one.answer).map((one) => ({ who: one.who, answer: /** @type {any} */ (one.answer) }));
  return { tokens: found.flatMap((one) => (one.token ? [one.token] : [])), refused };
}

// --- the gate --------------------------------------------------------------------------------------------------------

/** @param {"info" | "good" | "warn" | "bad"} kind @param {string} text */
const gateSays = (kind, text) => saying(at("gate"), text, kind);

/** What was judged, or is being judged, holds for what was asked and no longer. */
function changed() {
  if (!judged || judged === wish()) return;
  judged = "";
  asking.abort();
  at("make").hidden = true;
  at("check").hidden = false;
  at("gate-more").replaceChildren();
  gateSays("info", say("new_changed"));
  for (const one of media) {
    one.standing = one.faces.map((face) => (face.quality === "unjudged" ? "unjudged" : "open"));
    one.redraw();
  }
}

async function check() {
  if (!(await complete())) return gateSays("bad", say("people_failed"));
  while (handingIn()) {
    gateSays("info", say("new_uploading"));
    await new Promise((arrived) => form.addEventListener(HANDED_IN, arrived, { once: true }));
  }
  const lacks = missing();
  if (lacks) {
    gateSays("warn", lacks);
    return;
  }
  judged = wish();
  asking = new AbortController();
  const { signal } = asking;
  try {
    await askTheGate(signal);
  } catch (error) {
    if (!signal.aborted) throw error; // else it was changed in the meantime, and that is said
  }
}

/** @param {AbortSignal} signal */
async function askTheGate(signal) {
  gateSays("info", say("new_checking"));
  at("gate-more").replaceChildren();
  const given = await tokensOf(signal);
  signal.throwIfAborted();
  if (given.refused.length) return refuse(given.refused.map(({ who, answer }) => ({ code: codeOf(answer), who })));
  const answer = await staff("POST", "/v1/clips/estimate", order(given.tokens), { signal });
  signal.throwIfAborted();
  if (!worked(answer)) return gateSays("bad", trouble(answer));
  if (answer.body.decision) return permit(answer.body.cost);
  const reasons = answer.body.reasons.map(withWho);
  if (reasons.every((/** @type {any} */ one) => one.code === "approval_needed")) return needsYes(reasons);
  refuse(reasons);
}

/** @param {import("./api.js").Answer} answer */
function codeOf(answer) {
  const codes = { consent_revoked: "revoked", consent_suspended: "suspended", consent_expired: "expired" };
  return /** @type {any} */ (codes)[answer.body?.code] ?? answer.body?.code ?? "";
}

/** @param {any} reason */
const withWho = (reason) => ({ ...reason, who: reason.token === undefined ? undefined : chosenPeople()[reason.token] });

/** @param {any} cost */
function permit(cost) {
  gateSays("good", say(chosenPeople().length ? "new_yes" : "new_yes_nobody"));
  mark([], true);
  at("gate-more").replaceChildren(...costWords(cost));
  at("check").hidden = true;
  at("make").hidden = false;
  at("make").textContent = say("new_make");
}

/** @param {any} cost */
function costWords(cost) {
  if (!cost) return [make("p", { textContent: say("new_cost_vendor") })];
  return [
    make("p", { textContent: say("new_cost", { film: lasting(cost.film_s), work: lasting(cost.work_s) }) }),
    make("p", { className: "small muted", textContent: say("new_cost_memory", { mb: cost.memory_mb }) }),
  ];
}

/** @param {any[]} reasons */
function needsYes(reasons) {
  mark([], true);
  gateSays("warn", say("new_needs_yes"));
  at("gate-more").replaceChildren(...reasons.map((one) => make("p", { textContent: inTheirWords(one) })));
  at("check").hidden = true;
  at("make").hidden = false;
  at("make").textContent = say("new_make_asks");
}

/** @param {any} reason */
function inTheirWords(reason) {
  const names = reason.who ? nameOf(reason.who) : listed(chosenPeople().map(nameOf));
  return has(`gate_${reason.code}`) ? say(`gate_${reason.code}`, { name: names }) : say("gate_other", { code: reason.code });
}

const MISSING_FACES = ["unknown_face", "no_token"];
const ASK_AGAIN = ["expired", "revoked", "record_missing", "assurance_too_low", "scope_purpose", "scope_audience"];

/** @param {any[]} reasons */
function refuse(reasons) {
  gateSays("bad", say("new_no"));
  mark(reasons, false);
  const list = make("ul", { className: "reasons" });
  const told = new Set();
  for (const reason of reasons) {
    const place = media.findIndex((one) => one.media_id === reason.media_id && reason.media_id);
    const text = inTheirWords(reason);
    const where = place < 0 ? "" : `${say(media[place].kind === "video" ? "up_film" : "up_picture", { n: place + 1 })}: `;
    if (told.has(where + text)) continue;
    told.add(where + text);
    const entry = make("li", {}, make("p", { textContent: where + text }));
    if (reason.who && ASK_AGAIN.includes(reason.code)) {
      const name = nameOf(reason.who);
      const again = make("button", { className: "button quiet", type: "button", textContent: say("gate_ask_again", { name }) });
      again.addEventListener("click", () => ask({ name, subject: reason.who.subject_id }, joined));
      entry.append(again);
    }
    list.append(entry);
  }
  at("gate-more").replaceChildren(list);
  if (reasons.some((one) => MISSING_FACES.includes(one.code))) {
    const asking = make("button", { className: "button quiet block", type: "button", textContent: say("face_ask") });
    asking.addEventListener("click", () => ask({}, joined));
    at("gate-more").append(asking);
  }
  media.find((one) => one.standing.includes("no"))?.redraw();
}

/** Draws on the pictures who agreed and who did not. @param {any[]} reasons @param {boolean} permitted */
function mark(reasons, permitted) {
  const nowhere = reasons.some((one) => one.code === "no_token" && !one.media_id);
  for (const one of media) {
    const lacking = reasons.filter((reason) => reason.media_id === one.media_id && reason.box);
    one.standing = one.faces.map((face) => {
      const lacks = lacking.find(({ box }) => Math.abs(box.x - face.box.x) < 1 && Math.abs(box.y - face.box.y) < 1 && Math.abs(box.width - face.box.width) < 1);
      if (lacks?.code === "face_unjudged" || face.quality === "unjudged") return "unjudged";
      return lacks || nowhere ? "no" : permitted || chosen.size ? "yes" : "open";
    });
    one.redraw();
  }
}

/** Somebody said yes just now: they are chosen, and the gate can be asked again. @param {Consent} consent */
async function joined(consent) {
  await (loading = loading.then(loadPeople));
  chosen.add(everyone.find((one) => one.subject_id === consent.subject_id)?.consent_id ?? consent.consent_id);
  drawPeople();
}

async function makeIt() {
  const mine = judged;
  const given = await tokensOf();
  if (mine !== judged) return; // changed in the meantime, and that is said
  if (given.refused.length) return refuse(given.refused.map(({ who, answer }) => ({ code: codeOf(answer), who })));
  const body = order(given.tokens);
  if (ordering.body !== JSON.stringify(body)) ordering = { body: JSON.stringify(body), key: idempotencyKey() };
  const answer = await staff("POST", "/v1/clips", body, { headers: { "Idempotency-Key": ordering.key } });
  if (worked(answer)) {
    ordered = true;
    gateSays("good", say("new_ordered"));
    return leave(`/studio/clips/${answer.body.clip_id}${asked.has("first") ? "?first=1" : ""}`);
  }
  if (answer.status !== 0 && answer.body?.code !== "request_in_progress") ordering.body = ""; // answered: the next one is another
  if (answer.body?.code !== "gate_refused") return gateSays("bad", trouble(answer));
  const reasons = answer.body.reasons.map(withWho);
  if (!reasons.every((/** @type {any} */ one) => one.code === "approval_needed")) return refuse(reasons);
  gateSays("info", say("new_asked", { names: listed(reasons.map((/** @type {any} */ one) => nameOf(one.who ?? chosenPeople()[0]))) }));
  at("gate-more").replaceChildren();
}

// --- drawing the form ------------------------------------------------------------------------------------------------

function drawPeople() {
  const place = at("who");
  place.replaceChildren();
  for (const who of everyone) {
    const box = /** @type {HTMLInputElement} */ (make("input", { type: "checkbox", checked: chosen.has(who.consent_id) }));
    box.addEventListener("change", () => {
      if (box.checked) chosen.add(who.consent_id);
      else chosen.delete(who.consent_id);
      drawDependent();
    });
    const text = make("span", { className: "choice-text" }, make("strong", { textContent: nameOf(who) }));
    const allows = inOrder(who.purposes).map((one) => say(`purpose_${one}`));
    text.append(make("span", { className: "muted small", textContent: listed(allows) }));
    text.append(make("span", { className: "muted small", textContent: say("new_who_until", { day: day(who.expires_at) }) }));
    if (mayAsk(who)) text.append(make("span", { className: "muted small", textContent: `${say("person_who")}: ${mayAsk(who)}` }));
    place.append(make("label", { className: "choice boxed" }, box, text));
  }
  at("nobody").hidden = everyone.length > 0 || !there.people;
  drawDependent();
}

/** Whatever hangs on who is chosen and what it becomes. */
function drawDependent() {
  const who = chosenPeople();
  const now = kind();
  for (const label of document.querySelectorAll("#kinds label")) {
    const own = /** @type {HTMLInputElement} */ (label.querySelector("input")).value;
    const badge = /** @type {HTMLElement} */ (label.querySelector(".badge"));
    const without = LOCAL.includes(own) ? who.filter((one) => !covers(one, own)) : [];
    badge.hidden = without.length === 0;
    badge.textContent = without.length ? say("new_not_covered", { names: listed(without.map(nameOf)) }) : "";
  }
  at("remote-part").hidden = now !== "remote";
  at("shots-part").hidden = now !== "story";
  at("words-part").hidden = now !== "portrait" && !(now === "remote" && value("mode") === "speech_to_video");
  at("speech").hidden = now !== "portrait";
  for (const radio of /** @type {NodeListOf<HTMLInputElement>} */ (form.querySelectorAll('input[name="speech"]'))) {
    /** @type {HTMLElement} */ (radio.closest("label")).hidden = radio.value === "lines" && who.length < 2;
    if (radio.value === "lines" && who.length < 2 && radio.checked) /** @type {HTMLInputElement} */ (form.querySelector('input[name="speech"]')).checked = true;
  }
  const way = now === "remote" ? "sound" : speech();
  for (const part of /** @type {NodeListOf<HTMLElement>} */ (form.querySelectorAll("[data-speech]"))) part.hidden = part.dataset.speech !== way;
  at("voice-of-part").hidden = now !== "remote";
  at("face-of-part").hidden = now !== "cameo";
  for (const part of /** @type {NodeListOf<HTMLElement>} */ (form.querySelectorAll("[data-shape-part]"))) part.hidden = now === "remote";
  const film = now === "cameo" || (now === "remote" && FILMS.includes(value("mode")));
  const both = now === "remote" && (value("mode") === "reference" || value("mode") === "performance");
  at("files-name").textContent = say(both ? "new_add_media" : film ? "new_add_film" : "new_add");
  /** @type {HTMLInputElement} */ (at("files")).accept = both ? "image/*,video/*" : film ? "video/*" : "image/jpeg,image/png,image/webp";
  at("camera-open").hidden = film && !both;
  const hints = { portrait: who.length > 1 ? "new_pictures_group" : "new_pictures_portrait", story: "new_pictures_story", cameo: "new_pictures_cameo", remote: film ? "new_pictures_film" : "new_pictures_remote" };
  at("media-hint").textContent = say(/** @type {any} */ (hints)[now]);
  options("face-of", who.map((one) => [one.consent_id, nameOf(one)]));
  options("voice-of", [["", say("new_voice_nobody")], ...who.map((one) => [one.consent_id, nameOf(one)])]);
  drawPurposes(who);
  drawLimits(who);
  drawLines();
  drawShots();
  changed();
}

/** @param {string} id @param {string[][]} wanted */
function options(id, wanted) {
  const select = /** @type {HTMLSelectElement} */ (at(id));
  const before = select.value;
  select.replaceChildren(...wanted.map(([name, text]) => make("option", { value: name, textContent: text })));
  if (wanted.some(([name]) => name === before)) select.value = before;
}

/** @param {Consent[]} who */
function drawPurposes(who) {
  const before = picked("purpose");
  const allowed = PURPOSES.filter((one) => who.every((each) => each.purposes.includes(one)));
  const keep = allowed.includes(before) ? before : allowed[0];
  at("purposes").replaceChildren(
    ...allowed.map((one) => {
      const radio = make("input", { type: "radio", name: "purpose", value: one, checked: one === keep });
      return make("label", { className: "choice" }, radio, make("span", { textContent: say(`purpose_${one}`) }));
    }),
  );
  at("purpose-none").hidden = allowed.length > 0;
}

/** What must be stated because somebody limited it. @param {Consent[]} who */
function drawLimits(who) {
  const makers = who.filter((one) => !one.makers.includes("*"));
  at("maker-part").hidden = makers.length === 0;
  const named = makers.flatMap((one) => one.makers.map((id) => (id === "self" ? [one.subject_id, say("new_maker_self", { name: nameOf(one) })] : [id, id])));
  const known = [["", say("new_maker_none")], ...new Map(named.map((pair) => [pair[0], pair])).values()];
  const select = /** @type {HTMLSelectElement} */ (at("maker"));
  const before = select.value;
  options("maker", known);
  // who showed themself from here is the person; a name that people gave for this account is this creator
  const mine = makers.find((one) => isMe(one) && one.makers.includes("self"))?.subject_id ?? account();
  if (!before && known.some(([id]) => id === mine)) select.value = mine;
  const about = who.some((one) => one.limits.forbidden_categories?.length || one.limits.allowed_categories);
  at("about-part").hidden = !about;
  if (about && !categories) loading = Promise.all([loading, drawCategories()]);
  at("where-part").hidden = !who.some((one) => one.limits.territories?.length && !one.limits.territories.includes("*"));
}

async function drawCategories() {
  categories = {};
  const answer = await call(null, "GET", `/v1/content-categories/${document.documentElement.lang.startsWith("zh") ? "zh" : "en"}`);
  if (!worked(answer)) {
    categories = null; // asked for again as soon as anything is drawn
    return saying(at("status"), trouble(answer), "bad");
  }
  categories = answer.body;
  at("about").replaceChildren(
    ...Object.entries(answer.body).map(([name, text]) => make("label", { className: "choice" }, make("input", { type: "checkbox", name: "about", value: name }), make("span", { textContent: String(text) }))),
  );
}

function drawLines() {
  const who = chosenPeople();
  const possible = [...who.map((one) => [one.consent_id, nameOf(one)]), ["*", say("new_line_all")]];
  if (lines.length < who.length && !lines.some((line) => line.text)) lines = who.map((one) => ({ who: one.consent_id, text: "" }));
  lines = lines.map((line, place) => (possible.some(([id]) => id === line.who) ? line : { ...line, who: who[place % Math.max(who.length, 1)]?.consent_id ?? "*" }));
  at("lines").replaceChildren(
    ...lines.map((line, place) => {
      const n = place + 1;
      const select = /** @type {HTMLSelectElement} */ (make("select", { "aria-label": say("new_line_who", { n }) }, ...possible.map(([id, name]) => make("option", { value: id, textContent: name }))));
      select.value = line.who;
      select.addEventListener("change", () => {
        line.who = select.value;
      });
      const text = /** @type {HTMLInputElement} */ (make("input", { value: line.text, maxLength: 500, lang: "en", "aria-label": say("new_line_text", { n }) }));
      text.addEventListener("input", () => {
        line.text = text.value;
      });
      const remove = make("button", { className: "button quiet square", type: "button", textContent: "×", "aria-label": say("new_line_remove", { n }) });
      remove.addEventListener("click", () => {
        lines.splice(place, 1);
        drawDependent();
      });
      return make("li", { className: "line" }, select, text, remove);
    }),
  );
}

function drawShots() {
  const most = Math.max(0, media.length - 1);
  while (shots.length < most) shots.push({ seconds: 4, caption: "" });
  at("shots").replaceChildren(
    ...shots.slice(0, most).map((shot, place) => {
      const seconds = /** @type {HTMLInputElement} */ (make("input", { type: "number", min: "0.5", max: "20", step: "0.5", value: String(shot.seconds), id: `shot-${place}`, inputMode: "decimal" }));
      seconds.addEventListener("input", () => {
        shot.seconds = Math.min(20, Math.max(0.5, Number(seconds.value) || 4));
      });
      const caption = /** @type {HTMLInputElement} */ (make("input", { value: shot.caption, maxLength: 200, id: `caption-${place}` }));
      caption.addEventListener("input", () => {
        shot.caption = caption.value;
      });
      const field = (/** @type {string} */ key, /** @type {HTMLElement} */ input) => make("div", { className: "field" }, make("label", { for: input.id, textContent: say(key) }), input);
      const head = make("h3", { textContent: say("new_shot", { a: place + 1, b: place + 2 }) });
      return make("li", { className: "stack tight" }, head, make("div", { className: "shot" }, field("new_shot_seconds", seconds), field("new_shot_caption", caption)));
    }),
  );
}

function drawMedia() {
  const swap = (/** @type {number} */ a, /** @type {number} */ b) => () => {
    [media[a], media[b]] = [media[b], media[a]];
    drawMedia();
  };
  at("media").replaceChildren(
    ...media.map((one, place) =>
      figure(one, place + 1, {
        remove: () => {
          URL.revokeObjectURL(one.url);
          media = media.filter((each) => each !== one);
          drawMedia();
          form.dispatchEvent(new Event(HANDED_IN));
        },
        earlier: place > 0 ? swap(place - 1, place) : undefined,
        later: place < media.length - 1 ? swap(place, place + 1) : undefined,
        ask: () => ask({}, joined),
      }),
    ),
  );
  drawShots();
  changed();
}

/** @param {Iterable<File | Blob>} files */
async function take(files) {
  const taken = [...files].map((file) => ({ file, one: medium(file, file instanceof File ? file.name : say("up_photo_name")) }));
  media.push(...taken.map(({ one }) => one));
  drawMedia();
  for (const { file, one } of taken) {
    if (!media.includes(one)) continue; // taken away before its turn came
    await handIn(file, one, () => one.redraw());
    form.dispatchEvent(new Event(HANDED_IN));
    changed();
  }
}

/** @param {"sound" | "music"} which @param {File | undefined} file */
async function takeSound(which, file) {
  if (!file) return;
  const one = medium(file, file.name);
  sounds[which] = one;
  const place = at(`${which}-name`);
  place.hidden = false;
  await handIn(file, one, () => {
    if (sounds[which] !== one) return; // another one was chosen since
    place.textContent = one.fault ? `${say("up_failed", { name: one.name })} ${one.fault}` : one.media_id ? one.name : say("up_sending", { name: one.name, percent: one.percent });
  });
  form.dispatchEvent(new Event(HANDED_IN));
  changed();
}

// --- vendors ---------------------------------------------------------------------------------------------------------

/** @param {any} one */
const peopleModes = (one) => one.modes.filter((/** @type {string} */ mode) => PEOPLE_MODES.includes(mode));

function drawVendor() {
  const found = vendor();
  options("model", (found?.models ?? []).filter((/** @type {any} */ one) => peopleModes(one).length).map((/** @type {any} */ one) => [one.name, one.name]));
  drawModel();
}

function drawModel() {
  const found = model();
  options("mode", found ? peopleModes(found).map((/** @type {string} */ one) => [one, say(`mode_${one}`)]) : []);
  options("length", (found?.seconds ?? []).map((/** @type {number} */ one) => [String(one), lasting(one)]));
  for (const [id, list] of [["ratio", found?.ratios], ["resolution", found?.resolutions]]) {
    options(id, [["", say("new_as_model")], ...(list ?? []).map((/** @type {string} */ one) => [one, one])]);
    /** @type {HTMLElement} */ (at(id).closest(".field")).hidden = !list?.length;
  }
  at("with-sound-part").hidden = found?.sound !== "choice";
  at("model-note").hidden = found?.real_people !== "verified";
  at("model-note").textContent = say("why_verified");
  if (kind() === "remote") drawDependent(); // nothing else hangs on the model, and nobody is to be disturbed who is writing
}

async function loadVendors() {
  const answer = await staff("GET", "/v1/clips/backends");
  if (!worked(answer)) return saying(at("status"), trouble(answer), "bad");
  there.vendors = true;
  vendors = answer.body.backends.filter((/** @type {any} */ one) => one.ready);
  options("vendor", vendors.length ? vendors.map((one) => [one.backend, one.title]) : [["", say("new_not_ready")]]);
  at("unready").replaceChildren(
    ...answer.body.backends
      .filter((/** @type {any} */ one) => !one.ready)
      .map((/** @type {any} */ one) => {
        const why = `why_${one.why || "no_account"}`;
        return make("li", {}, make("strong", { textContent: one.title }), make("span", { className: "muted small", textContent: has(why) ? say(why) : one.why }));
      }),
  );
  drawVendor();
}

// --- the beginning ---------------------------------------------------------------------------------------------------

async function loadPeople() {
  const found = await people();
  if (!worked(found.answer)) return saying(at("status"), trouble(found.answer), "bad");
  there.people = true;
  everyone = found.people;
}

/** The people, and who of them is in it as long as nobody said otherwise. */
async function firstPeople() {
  await loadPeople();
  const wanted = asked.get("person");
  if (wanted && everyone.some((one) => one.consent_id === wanted)) chosen.add(wanted);
  else if (everyone.length === 1) chosen.add(everyone[0].consent_id);
  drawPeople();
  form.removeAttribute("aria-busy");
}

const load = () => Promise.all([there.people || firstPeople(), there.vendors || loadVendors()]);

/** All of it is there; what did not come is fetched once more. */
async function complete() {
  for (let before; before !== loading; ) await (before = loading);
  if (!there.people || !there.vendors) {
    saying(at("status"), "");
    await (loading = load());
  }
  return there.people && (there.vendors || kind() !== "remote");
}

async function begin() {
  if (asked.has("first") && !value("script")) /** @type {HTMLTextAreaElement} */ (at("script")).value = say("new_script_first");
  await (loading = load());
  const ready = await call(null, "GET", "/readyz");
  if (worked(ready) && ready.body.worker !== "there" && !at("status").hasChildNodes()) saying(at("status"), say("new_no_worker"), "warn");
}

for (const button of document.querySelectorAll("[data-ask]")) button.addEventListener("click", () => ask({}, (consent) => void joined(consent)));
form.addEventListener("submit", (event) => {
  event.preventDefault();
  void busy(at("check"), check);
});
form.addEventListener("input", changed);
form.addEventListener("change", (event) => {
  const input = /** @type {HTMLInputElement} */ (event.target);
  if (input.name === "kind" || input.name === "speech") drawDependent();
  else if (input.id === "vendor") drawVendor();
  else if (input.id === "model") drawModel();
  else if (input.id === "mode") drawDependent();
  else changed();
});
at("make").addEventListener("click", () => void busy(at("make"), makeIt));
at("line-add").addEventListener("click", () => {
  lines.push({ who: chosenPeople()[lines.length % Math.max(1, chosenPeople().length)]?.consent_id ?? "*", text: "" });
  drawDependent();
});
for (const id of ["files", "sound", "music"]) {
  const input = /** @type {HTMLInputElement} */ (at(id));
  const chosenFiles = () => {
    const files = [...(input.files ?? [])];
    input.value = "";
    if (id === "files") void take(files);
    else void takeSound(/** @type {any} */ (id), files[0]);
  };
  input.addEventListener("change", chosenFiles);
  if (input.files?.length) chosenFiles(); // before this script was there
}
at("camera-open").addEventListener("click", () => void camera((photograph) => void take([photograph])));
at("media-part").addEventListener("dragover", (event) => event.preventDefault());
at("media-part").addEventListener("drop", (event) => {
  event.preventDefault();
  void take([.../** @type {DragEvent} */ (event).dataTransfer?.files ?? []]);
});
addEventListener("beforeunload", (event) => { // these do not come along to another page
  if (!ordered && (media.length || sounds.sound || sounds.music || lines.some((one) => one.text))) event.preventDefault();
});
void begin();
