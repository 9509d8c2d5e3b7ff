// @ts-check
/** A live session: what is recorded goes out while it is made, and one step at a time comes back. */

import { byId, record } from "./verify-take.js";

/**
 * How it ended. `unavailable`: nothing was begun and the recording can be made without guidance. `refused`: nothing was begun,
 * for the reason in `code`. `failed`: an attempt was spent. `judging`: look at the session for the verdict.
 * @typedef {{kind: "unavailable"} | {kind: "refused", code: string, until?: string} | {kind: "stopped"}
 *   | {kind: "failed", code: string, text: string, left: number} | {kind: "judging"}
 *   | {kind: "verdict", status: string, advice: {text: string}[], left: number}} Ending
 */

const OPENING_MS = 6000;
const PREVIEW_EVERY_MS = 250;
const PREVIEW_SIDE = 360;
const LONG_ENOUGH_MS = 2500; // a hint about light or place keeps nobody out
const HINTS = new Set(["move_closer", "move_back", "more_light", "less_light", "keep_still", "into_picture"]);
const WITHOUT_GUIDANCE = new Set(["live_busy", "live_unavailable", "live_in_progress"]);

/**
 * @param {{session: string, token: string, stream: MediaStream, media: string, wish: {path: string, extra_time: boolean},
 *   camera: string, stage: import("./verify-take.js").Stage, signal: AbortSignal, onSealed: () => void}} take
 * @returns {Promise<Ending>}
 */
export function runLive(take) {
  const { stage, stream, media, signal } = take;
  const address = `${location.origin.replace(/^http/, "ws")}/v1/liveness/sessions/${take.session}/live`;
  return new Promise((resolve) => {
    const socket = new WebSocket(address, ["mien.live.v1", `mien.token.${take.token}`]);
    /** @type {ReturnType<typeof record> | null} */
    let recording = null;
    /** @type {(() => void)[]} */
    const closing = [];
    let begun = false, sealed = false, over = false, hintSince = 0;

    /** @param {Ending} ending */
    const end = (ending) => {
      if (over) return;
      over = true;
      clearTimeout(opening);
      closing.forEach((close) => close());
      recording?.stop().catch(() => {});
      if (socket.readyState <= WebSocket.OPEN) socket.close();
      resolve(ending);
    };
    const opening = setTimeout(() => end({ kind: "unavailable" }), OPENING_MS);
    signal.addEventListener("abort", () => end({ kind: "stopped" }), { once: true });

    /** @param {number} kind @param {Blob | ArrayBuffer} payload */
    const send = (kind, payload) => {
      if (socket.readyState === WebSocket.OPEN) socket.send(new Blob([new Uint8Array([kind]), payload]));
    };

    const preview = () => {
      const stop = previews((jpeg) => send(2, jpeg));
      closing.push(stop);
      return stop;
    };
    let stopPreview = () => {};

    const begin = () => {
      if (recording) return;
      performance.mark("mien-recording");
      recording = record(stream, media, (piece) => send(1, piece));
      // where the container cannot be read while it grows, pictures and sound beside it go on guiding
      if (media.startsWith("video/mp4")) closing.push(listening(stream, (sound) => send(3, sound)));
      else stopPreview();
    };

    socket.onopen = () => {
      socket.send(JSON.stringify({ type: "start", media, mirrored: false, camera: take.camera, ...take.wish }));
    };
    socket.onerror = () => {
      if (!begun) end({ kind: "unavailable" });
    };
    socket.onclose = () => {
      if (sealed) end({ kind: "judging" });
      else end(begun ? { kind: "failed", code: "connection_lost", text: "", left: -1 } : { kind: "unavailable" });
    };
    socket.onmessage = async ({ data }) => {
      const said = JSON.parse(data);
      switch (said.type) {
        case "ready":
          begun = true;
          clearTimeout(opening);
          stage.position();
          stopPreview = preview();
          break;
        case "guidance": {
          stage.guidance(said.code);
          if (recording) break;
          const now = performance.now();
          hintSince = HINTS.has(said.code) ? hintSince || now : 0;
          if (said.code === "ok" || (hintSince && now - hintSince > LONG_ENOUGH_MS)) begin();
          break;
        }
        case "cue":
          stage.show(said, said.index, said.of);
          break;
        case "finishing":
          stage.finished();
          await recording?.stop();
          socket.send(JSON.stringify({ type: "done" }));
          break;
        case "judging":
          sealed = true;
          performance.mark("mien-sent");
          take.onSealed();
          break;
        case "verdict":
          end({ kind: "verdict", status: said.status, advice: said.advice, left: said.attempts_left });
          break;
        case "later":
          end({ kind: "judging" });
          break;
        case "failed":
          end({ kind: "failed", code: said.code, text: said.text, left: said.attempts_left });
          break;
        case "refused":
          end(WITHOUT_GUIDANCE.has(said.code) ? { kind: "unavailable" } : { kind: "refused", code: said.code, until: said.locked_until });
          break;
      }
    };
  });
}

/** Small pictures of what the camera sees, a few a second. @param {(jpeg: Blob) => void} give @returns {() => void} */
function previews(give) {
  const video = /** @type {HTMLVideoElement} */ (byId("preview"));
  const canvas = document.createElement("canvas");
  const timer = setInterval(() => {
    const scale = PREVIEW_SIDE / Math.min(video.videoWidth, video.videoHeight);
    if (!Number.isFinite(scale)) return;
    canvas.width = Math.round(video.videoWidth * scale);
    canvas.height = Math.round(video.videoHeight * scale);
    canvas.getContext("2d")?.drawImage(video, 0, 0, canvas.width, canvas.height);
    canvas.toBlob((jpeg) => jpeg && give(jpeg), "image/jpeg", 0.75);
  }, PREVIEW_EVERY_MS);
  return () => clearInterval(timer);
}

/** What the microphone hears, as 16 kHz PCM. @param {MediaStream} stream @param {(pcm: ArrayBuffer) => void} give @returns {() => void} */
function listening(stream, give) {
  const context = new AudioContext();
  const address = /** @type {HTMLElement} */ (document.getElementById("sound-worklet")).dataset.src ?? "";
  context.audioWorklet.addModule(address).then(() => {
    const ear = new AudioWorkletNode(context, "mien-ear", { numberOfOutputs: 0 });
    ear.port.onmessage = ({ data }) => give(data);
    context.createMediaStreamSource(new MediaStream(stream.getAudioTracks())).connect(ear);
  }).catch(() => {});
  return () => void context.close().catch(() => {});
}
