// @ts-check
/** A recording without guidance: the steps are shown at an even pace, and the whole take is sent afterwards. */

import { call, idempotencyKey, worked } from "./api.js";
import { pause, record } from "./verify-take.js";

const FIRST_MS = 1800; // looks at the camera before the first step
const SAY_MS = 1400, DIGIT_MS = 850, TURN_MS = 3400, NOD_MS = 1500, NOD_EACH_MS = 900, LAST_MS = 700;
const TRY_AGAIN_MS = [1000, 2000, 4000, 8000];
const NO_ANSWER_MS = 60_000;

/** How long a step is shown, ms. @param {import("./verify-take.js").Step} step */
export function pace(step) {
  if (step.step === "say") return SAY_MS + DIGIT_MS * (step.digits?.length ?? 0);
  return step.step === "turn" ? TURN_MS : NOD_MS + NOD_EACH_MS * (step.nods ?? 1);
}

/**
 * @param {{session: string, token: string, stream: MediaStream, media: string, wish: {path: string, extra_time: boolean},
 *   stage: import("./verify-take.js").Stage, signal: AbortSignal}} take
 * @returns {Promise<{problem: import("./api.js").Answer} | {recording: Blob}>} Rejects with AbortError when stopped.
 */
export async function recordTake(take) {
  const { stage, signal } = take;
  const drawn = await call({ token: take.token }, "POST", `/v1/liveness/sessions/${take.session}/challenge`, {
    ...take.wish,
    interleaved: true,
  }, { signal });
  signal.throwIfAborted();
  if (!worked(drawn)) return { problem: drawn };
  const slow = take.wish.extra_time ? 2 : 1;
  /** @type {Blob[]} */
  const pieces = [];
  stage.position();
  performance.mark("mien-recording");
  const recording = record(take.stream, take.media, (piece) => pieces.push(piece));
  try {
    await pause(FIRST_MS, signal);
    const steps = drawn.body.prompts;
    for (const [index, step] of steps.entries()) {
      stage.show(step, index, steps.length);
      await pause(pace(step) * slow, signal);
    }
    stage.finished();
    await pause(LAST_MS, signal);
  } finally {
    await recording.stop();
  }
  return { recording: new Blob(pieces, { type: take.media.split(";")[0] }) };
}

/**
 * Sends it until it arrived or the service says no. A lost network is waited out; the same key makes it one hand-in.
 * @param {{session: string, token: string, recording: Blob, camera: string, signal: AbortSignal,
 *   tell: (what: "sending" | "lost" | "again" | "slow", percent: number) => void}} sending
 * @returns {Promise<{status: number, body: any}>}
 */
export async function sendTake({ session, token, recording, camera, signal, tell }) {
  const bytes = await recording.arrayBuffer();
  const digest = btoa(String.fromCharCode(...new Uint8Array(await crypto.subtle.digest("SHA-256", bytes))));
  const headers = {
    "Content-Type": recording.type,
    "Content-Digest": `sha-256=:${digest}:`,
    "Idempotency-Key": idempotencyKey(),
    "Mien-Camera": camera.replace(/[^\x20-\x7e]/g, "?"),
    Authorization: `Bearer ${token}`,
  };
  let again = false;
  for (let round = 0; ; round += 1) {
    tell(again ? "again" : "sending", 0);
    const answer = await put(`/v1/liveness/sessions/${session}/capture?mirrored=false`, bytes, headers, signal, (percent) => tell("sending", percent));
    const unfinished = answer.status === 0 || answer.status >= 500 || answer.body?.code === "request_in_progress";
    if (!unfinished) return answer.body?.code === "challenge_spent" && again ? { status: 202, body: {} } : answer;
    again = true;
    tell(answer.status === 0 || !navigator.onLine ? "lost" : "slow", 0);
    await untilWorthTrying(TRY_AGAIN_MS[Math.min(round, TRY_AGAIN_MS.length - 1)], signal);
  }
}

/** Waits so long, or until the network is back. @param {number} ms @param {AbortSignal} signal */
async function untilWorthTrying(ms, signal) {
  const back = new AbortController();
  const wake = () => back.abort();
  signal.addEventListener("abort", wake, { once: true });
  window.addEventListener("online", wake, { once: true });
  await pause(ms, back.signal).catch(() => {});
  window.removeEventListener("online", wake);
  signal.throwIfAborted();
}

/**
 * @param {string} path @param {ArrayBuffer} bytes @param {Record<string, string>} headers @param {AbortSignal} signal
 * @param {(percent: number) => void} sent
 * @returns {Promise<{status: number, body: any}>}
 */
function put(path, bytes, headers, signal, sent) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest(); // fetch does not say how much was sent
    request.open("PUT", path);
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value);
    request.timeout = NO_ANSWER_MS;
    request.upload.onprogress = (event) => sent(Math.round((100 * event.loaded) / event.total));
    request.onload = () => {
      let body = {};
      try {
        body = JSON.parse(request.responseText);
      } catch {
        /* no JSON: a proxy answered */
      }
      resolve({ status: request.status, body });
    };
    request.onerror = request.ontimeout = () => resolve({ status: 0, body: {} });
    request.onabort = () => reject(new DOMException("stopped", "AbortError"));
    signal.addEventListener("abort", () => request.abort(), { once: true });
    request.send(bytes);
  });
}
