// @ts-check
/** One clip: how far it is, the marked clip itself, and what it says of itself. */
import { busy, headersFor, make, saying, when, worked } from "./api.js";
import { at, clipBadge, consents, has, lasting, listed, nameOf, say, staff, sure, trouble } from "./studio.js";

const clipId = /** @type {string} */ (at("clip").dataset.clip);
const path = `/v1/clips/${clipId}`;
const LOOK_AGAIN_MS = 5000;
const FIRST = new URLSearchParams(location.search).has("first"); // the second of the three steps
const ENDED = ["done", "failed", "cancelled", "withdrawn"];
const OVER = ENDED.slice(1);
let shown = "";

/** @param {any} clip */
async function draw(clip) {
  if ((OVER.includes(shown) || (shown === "done" && !ENDED.includes(clip.state))) && clip.state !== shown) return; // an older answer
  const ended = ENDED.includes(clip.state);
  const badge = clipBadge(clip.state);
  badge.id = "clip-state";
  at("clip-state").replaceWith(badge);
  at("progress-part").hidden = ended;
  /** @type {HTMLProgressElement} */ (at("progress")).value = clip.progress;
  at("progress-text").textContent = `${Math.round(clip.progress * 100)} %`;
  if (clip.state === shown) return;
  const again = shown === "loading";
  shown = clip.state;
  const kind = ["portrait", "story", "cameo"].includes(clip.kind) ? say(`kind_${clip.kind}`) : clip.backend;
  at("clip-title").textContent = kind;
  at("says").hidden = true;
  if (clip.state === "done") at("acts").hidden = !again;
  else offer(clip.state);
  if (!ended) return stage(say(`clip_${clip.state}`));
  switch (clip.state) {
    case "done":
      return play(clip);
    case "failed": {
      const why = has(`fail_${clip.code}`) ? say(`fail_${clip.code}`) : has(`gate_${clip.code}`) ? say(`gate_${clip.code}`, { name: say("somebody", { mark: "" }).trim() }) : say("fail_other", { code: clip.code });
      saying(at("status"), `${say("clip_failed")} ${why}`, "bad");
      at("another").textContent = say("clip_retry");
      return stage(say("clip_failed_nothing"));
    }
    case "withdrawn":
      saying(at("status"), "");
      return stage(say("clip_withdrawn"));
    default:
      return stage(say("clip_cancelled"));
  }
}

/** @param {string} text */
function stage(text) {
  at("stage").replaceChildren(make("p", { className: "stage-text", textContent: text }));
}

/** What can be done with it, once all above has its place: nothing moves under a hand that presses. @param {string} state */
function offer(state) {
  const done = state === "done";
  at("cancel").hidden = ENDED.includes(state);
  at("third").hidden = !done || !FIRST;
  at("download").hidden = !done || !(/** @type {HTMLAnchorElement} */ (at("download")).href);
  at("download").classList.toggle("quiet", FIRST);
  at("another").hidden = !ENDED.includes(state);
  at("erase").hidden = !done;
  at("acts").hidden = false;
}

/** @param {any} clip */
async function play(clip) {
  const answer = await staff("GET", `${path}/content`, undefined, { as: "blob" });
  if (shown !== "done") return; // taken back or removed meanwhile
  if (!worked(answer)) {
    const paused = answer.body?.code === "consent_suspended";
    if (answer.status === 0) shown = "loading"; // fetched again when it is looked at again
    if (paused) stage(say("clip_paused"));
    else saying(at("status"), trouble(answer), "bad");
    return offer("done");
  }
  const url = URL.createObjectURL(answer.body);
  const player = make("video", { src: url, controls: true, playsInline: true, preload: "metadata", "aria-label": say("clip_player") });
  await sized(player);
  if (shown !== "done") return;
  at("stage").replaceChildren(player);
  const download = /** @type {HTMLAnchorElement} */ (at("download"));
  download.href = url;
  download.download = `mien-${clipId.slice(4, 12)}.mp4`;
  saying(at("status"), say("clip_done"), "good");
  if (clip.duration_ms) at("clip-about").textContent = lasting(clip.duration_ms / 1000);
  at("says").hidden = false;
  offer("done");
  await manifest();
}

/** Until it is known how large it is, or it is not to be learned: some phones tell only who presses play. @param {HTMLVideoElement} player */
const sized = (player) => new Promise((done) => {
  for (const event of ["loadedmetadata", "error"]) player.addEventListener(event, done, { once: true });
  setTimeout(done, 2000);
});

async function manifest() {
  const answer = await staff("GET", `${path}/manifest`);
  const place = at("facts");
  if (!worked(answer)) return place.replaceChildren(make("dd", { textContent: say("clip_says_failed") }));
  const said = answer.body;
  const rows = /** @type {[string, string | string[], string?][]} */ ([]);
  rows.push([say("says_manifest"), say(`says_manifest_${said.manifest}`, { issuer: said.issuer })]);
  const who = await namesOf(said.consents);
  rows.push([say("says_who"), said.people ? [who, say("says_who_public")] : say("says_who_none")]);
  if (said.people) rows.push([say("says_now"), say(`consent_${said.consent}`)]);
  if (said.permitted_at) rows.push([say("says_when"), when(said.permitted_at)]);
  rows.push([say("says_for"), say(`purpose_${said.purpose}`)]);
  rows.push([say("says_by"), said.producer]);
  rows.push([say("says_how"), say(said.edited ? "says_how_edited" : "says_how_made")]);
  rows.push([say("says_from"), said.inputs === 1 ? say("says_from_one") : said.inputs ? say("says_from_n", { n: said.inputs }) : say("says_from_none")]);
  rows.push([say("says_label"), said.label]);
  const marks = ["watermarked", "aigc", "training_refused"].filter((key) => said[key]);
  const words = { watermarked: "says_watermark", aigc: "says_aigc", training_refused: "says_training" };
  rows.push([say("says_marks"), marks.length ? marks.map((key) => say(/** @type {any} */ (words)[key])) : say("says_no_marks")]);
  rows.push([say("says_sha"), said.sha256, "mono"]);
  place.replaceChildren();
  for (const [name, text, how] of rows) {
    const value = make("dd", {}, ...(Array.isArray(text) ? text : [text]).map((each) => make("span", { textContent: each })));
    if (how === "mono") value.className = "mono";
    if (how) value.setAttribute("data-varies", ""); // another in every clip
    place.append(make("dt", { textContent: name }), value);
  }
}

/** @param {string[]} ids */
async function namesOf(ids) {
  const answer = await consents({ limit: 200 });
  const known = worked(answer) ? answer.body.results.filter((/** @type {any} */ one) => ids.includes(one.consent_id)) : [];
  return known.length ? listed(known.map(nameOf)) : String(ids.length);
}

// --- following it ----------------------------------------------------------------------------------------------------

/** Reads the stream of events; gives false when there is none to be had, so that the caller looks by itself. */
async function streamed() {
  let answer;
  try {
    answer = await fetch(`${path}/events`, { headers: headersFor("staff", { Accept: "text/event-stream" }), credentials: "same-origin", cache: "no-store" });
  } catch {
    return false;
  }
  if (!answer.ok || !answer.body) return false;
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    let part;
    try {
      part = await reader.read();
    } catch {
      return false;
    }
    if (part.done) return false;
    rest += part.value;
    const messages = rest.split("\n\n");
    rest = messages.pop() ?? "";
    for (const message of messages) {
      const line = message.split("\n").find((each) => each.startsWith("data: "));
      if (!line) continue;
      const clip = JSON.parse(line.slice(6));
      if (!clip.state) continue;
      await draw(clip);
      if (ENDED.includes(clip.state)) return true;
    }
  }
}

async function look() {
  const answer = await staff("GET", path);
  if (answer.status === 404) {
    stage(say("clip_missing"));
    at("acts").hidden = false;
    return true;
  }
  if (!worked(answer)) {
    at("acts").hidden = false;
    if (shown !== "done") saying(at("status"), trouble(answer), "bad"); // what is there can be seen on
    return answer.status === 401;
  }
  if (!ENDED.includes(answer.body.state)) saying(at("status"), "");
  await draw(answer.body);
  return ENDED.includes(answer.body.state);
}

async function begin() {
  stage(say("clip_loading"));
  while (!(await look())) {
    if (await streamed()) break;
    await new Promise((done) => setTimeout(done, 2000));
  }
  // somebody may take their consent back while the clip is shown
  while (shown === "done" || shown === "loading") {
    await new Promise((done) => setTimeout(done, LOOK_AGAIN_MS));
    if (!document.hidden) await look();
  }
}

/** @param {"cancel" | "erase"} act */
async function remove(act) {
  const words = { title: say(`clip_${act}_title`), text: say(`clip_${act}_text`), go: say(`clip_${act}_go`) };
  if (!(await sure(words))) return;
  const answer = await busy(at(act), () => staff("DELETE", path));
  if (!worked(answer)) return saying(at("status"), trouble(answer), "bad");
  saying(at("status"), "");
  await draw(answer.body);
}

at("cancel").addEventListener("click", () => void remove("cancel"));
at("erase").addEventListener("click", () => void remove("erase"));
void begin();
