// @ts-check
/** The camera and the microphone: opening them, what is wrong when they do not open, and how good what they give is. */

/** @typedef {"denied" | "none" | "busy" | "insecure" | "unsupported" | "microphone_none"} Trouble */

export class CameraTrouble extends Error {
  /** @param {Trouble} kind */
  constructor(kind) {
    super(kind);
    this.kind = kind;
  }
}

const WEBM = ["video/webm;codecs=vp8,opus", "video/webm;codecs=vp9,opus", "video/webm"];
const MP4 = ["video/mp4;codecs=avc1.42E01E,mp4a.40.2", "video/mp4"];

/** What this browser records: mp4 on Apple's, which do it in hardware, webm elsewhere; `null` where it cannot. */
export function recorderMedia() {
  if (typeof MediaRecorder === "undefined") return null;
  const apple = navigator.vendor.startsWith("Apple");
  return (apple ? [...MP4, ...WEBM] : [...WEBM, ...MP4]).find((media) => MediaRecorder.isTypeSupported(media)) ?? null;
}

/**
 * @param {{sound: boolean, deviceId?: string}} wanted
 * @returns {Promise<MediaStream>} Rejects with CameraTrouble.
 */
export async function openCamera({ sound, deviceId }) {
  if (!window.isSecureContext) throw new CameraTrouble("insecure");
  if (!navigator.mediaDevices?.getUserMedia || recorderMedia() === null) throw new CameraTrouble("unsupported");
  const video = { width: { ideal: 960 }, height: { ideal: 720 }, frameRate: { ideal: 30 }, ...(deviceId ? { deviceId: { exact: deviceId } } : { facingMode: "user" }) };
  // a voice as it is: what cancels noise also cuts what a room sounds like between the digits
  const audio = { echoCancellation: false, noiseSuppression: false, autoGainControl: true, channelCount: 1 };
  try {
    return await navigator.mediaDevices.getUserMedia({ video, audio: sound && audio });
  } catch (error) {
    throw new CameraTrouble(await troubleOf(/** @type {DOMException} */ (error), sound));
  }
}

/** @param {DOMException} error @param {boolean} sound @returns {Promise<Trouble>} */
async function troubleOf(error, sound) {
  switch (error.name) {
    case "NotAllowedError":
    case "SecurityError":
      return "denied";
    case "NotReadableError":
    case "AbortError":
      return "busy";
    case "NotFoundError":
    case "OverconstrainedError": {
      const devices = await navigator.mediaDevices.enumerateDevices().catch(() => []);
      return sound && devices.some((device) => device.kind === "videoinput") ? "microphone_none" : "none";
    }
    default:
      return "unsupported";
  }
}

/** Cameras besides the one in use. @param {MediaStream} stream */
export async function otherCameras(stream) {
  const used = stream.getVideoTracks()[0]?.getSettings().deviceId;
  const devices = await navigator.mediaDevices.enumerateDevices();
  return devices.filter((device) => device.kind === "videoinput" && device.deviceId && device.deviceId !== used);
}

/** @param {MediaStream | null} stream */
export const closeCamera = (stream) => stream?.getTracks().forEach((track) => track.stop());

// As the judge sees it: luma of the face from 35 to 225, and a little inside of both.
const DARK = 47, BRIGHT = 213, COVERED = 10;
const QUIET_DB = -72;
const STILL_HEARD_MS = 3000;

/** Looks and listens for as long as it is open. */
export class Senses {
  /** @param {HTMLVideoElement} video @param {MediaStream} stream */
  constructor(video, stream) {
    this.video = video;
    this.stream = stream;
    this.canvas = document.createElement("canvas");
    this.canvas.width = 48;
    this.canvas.height = 64;
    this.frames = 0;
    this.since = performance.now();
    this.heardAt = -Infinity;
    this.open = true;
    /** @type {AudioContext | null} */
    this.context = null;
    const sound = stream.getAudioTracks()[0];
    if (sound && typeof AudioContext !== "undefined") {
      this.context = new AudioContext();
      this.context.resume().catch(() => {});
      this.analyser = this.context.createAnalyser();
      this.analyser.fftSize = 2048;
      this.context.createMediaStreamSource(new MediaStream([sound])).connect(this.analyser);
    }
    const count = () => {
      this.frames += 1;
      if (this.open) video.requestVideoFrameCallback?.(count);
    };
    video.requestVideoFrameCallback?.(count);
  }

  /** @returns {"wait" | "good" | "dark" | "bright" | "covered"} */
  light() {
    const { video, canvas } = this;
    const drawing = canvas.getContext("2d", { willReadFrequently: true });
    if (!drawing || video.readyState < 2 || !video.videoWidth) return "wait";
    // the middle third of the picture, where the oval is
    const height = video.videoHeight * 0.6, width = Math.min(video.videoWidth, height * 0.75);
    drawing.drawImage(video, (video.videoWidth - width) / 2, (video.videoHeight - height) / 2, width, height, 0, 0, 48, 64);
    const { data } = drawing.getImageData(0, 0, 48, 64);
    let sum = 0, most = 0;
    for (let at = 0; at < data.length; at += 4) {
      const luma = 0.299 * data[at] + 0.587 * data[at + 1] + 0.114 * data[at + 2];
      sum += luma;
      most = Math.max(most, luma);
    }
    const mean = sum / (data.length / 4);
    if (mean < COVERED && most < 3 * COVERED) return "covered";
    return mean < DARK ? "dark" : mean > BRIGHT ? "bright" : "good";
  }

  /** @returns {"wait" | "good" | "quiet"} */
  microphone() {
    const track = this.stream.getAudioTracks()[0];
    if (!this.analyser || !this.context || this.context.state !== "running") return track && !track.muted ? "good" : "quiet";
    const samples = new Float32Array(this.analyser.fftSize);
    this.analyser.getFloatTimeDomainData(samples);
    const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
    if (power > 0 && 10 * Math.log10(power) > QUIET_DB) this.heardAt = performance.now();
    if (performance.now() - this.heardAt < STILL_HEARD_MS) return "good";
    return performance.now() - this.since < STILL_HEARD_MS ? "wait" : "quiet";
  }

  /** What is known of the camera, for auditors; no verdict depends on it. */
  statement() {
    const track = this.stream.getVideoTracks()[0];
    const said = track?.getSettings() ?? {};
    const seconds = (performance.now() - this.since) / 1000;
    return JSON.stringify({
      label: track?.label.slice(0, 200) ?? null,
      width: said.width ?? null,
      height: said.height ?? null,
      fps: said.frameRate ?? null,
      delivered_width: this.video.videoWidth || null,
      delivered_height: this.video.videoHeight || null,
      delivered_fps: seconds > 1 && this.frames > 10 ? Math.round((10 * this.frames) / seconds) / 10 : null,
      automated: navigator.webdriver === true,
    });
  }

  close() {
    this.open = false;
    this.context?.close().catch(() => {});
  }
}
