// @ts-check
/** Photographs, films and recordings: handed in with progress, and every face in them drawn where it was found. */
import { headersFor, make, saying } from "./api.js";
import { at, say } from "./studio.js";

/**
 * @typedef {{face_id: string, box: {x: number, y: number, width: number, height: number}, at_ms: number | null, quality: string}} Face
 * @typedef {"open" | "yes" | "no" | "unjudged"} Standing
 * @typedef {{name: string, kind: "picture" | "video" | "sound", url: string, media_id: string | null, faces: Face[], percent: number,
 *   fault: string, standing: Standing[], redraw: () => void}} Medium
 */

const MOST_BYTES = 20_000_000;
const MOST_LABELS = 24;

/**
 * Hands a file in. @param {Blob} file @param {Medium} medium @param {() => void} changed
 * @returns {Promise<void>}
 */
export function handIn(file, medium, changed) {
  return new Promise((done) => {
    if (file.size > MOST_BYTES) {
      medium.fault = say("up_too_large");
      changed();
      return done();
    }
    const sending = new XMLHttpRequest();
    sending.open("POST", "/v1/media");
    headersFor("staff", { "Content-Type": file.type || "application/octet-stream" }).forEach((value, name) => sending.setRequestHeader(name, value));
    sending.responseType = "json";
    sending.upload.onprogress = (event) => {
      medium.percent = event.lengthComputable ? Math.floor((event.loaded / event.total) * 100) : medium.percent;
      changed();
    };
    sending.onloadend = () => {
      const body = sending.response ?? {};
      if (sending.status === 201) {
        medium.media_id = body.media_id;
        medium.kind = body.kind;
        medium.faces = body.faces;
        medium.standing = body.faces.map((/** @type {Face} */ face) => (face.quality === "unjudged" ? "unjudged" : "open"));
      } else {
        const own = `up_${body.code}`;
        const offline = sending.status === 0;
        medium.fault = say(offline ? "call_offline" : ["up_media_unreadable", "up_media_ambiguous"].includes(own) ? own : sending.status === 401 ? "call_signed_out" : "up_media_unreadable");
      }
      changed();
      done();
    };
    sending.send(file);
  });
}

/** @param {File | Blob} file @param {string} name @returns {Medium} */
export function medium(file, name) {
  const kind = file.type.startsWith("video/") ? "video" : file.type.startsWith("audio/") ? "sound" : "picture";
  return { name, kind, url: URL.createObjectURL(file), media_id: null, faces: [], percent: 0, fault: "", standing: [], redraw: () => {} };
}

/**
 * How it is shown: the picture with its faces, labels that can be reached with the keyboard, and what to do with it.
 * @param {Medium} one @param {number} number @param {{remove: () => void, earlier?: () => void, later?: () => void, ask: () => void}} acts
 */
export function figure(one, number, acts) {
  const name = say(one.kind === "video" ? "up_film" : "up_picture", { n: number });
  const item = make("li", { className: "medium card" });
  const frame = make("div", { className: "frame" });
  const marks = make("div", { className: "marks", "aria-hidden": "true" });
  const view = /** @type {HTMLImageElement | HTMLVideoElement} */ (
    one.kind === "video"
      ? make("video", { src: one.url, muted: true, playsInline: true, preload: "auto", "aria-label": name })
      : make("img", { src: one.url, alt: name })
  );
  frame.append(view, marks);
  const about = make("p", { className: "small about", role: "status" });
  const labels = make("ul", { className: "faces" });
  const buttons = make("div", { className: "row tight medium-acts" });
  /** @type {[string, string, (() => void) | undefined][]} */
  const wanted = [["up_earlier", "←", acts.earlier], ["up_later", "→", acts.later], ["up_remove", "×", acts.remove]];
  for (const [key, sign, act] of wanted) {
    if (!act) continue;
    const button = make("button", { className: "button quiet square", type: "button", "aria-label": say(key, { name }), textContent: sign });
    button.addEventListener("click", act);
    buttons.append(button);
  }
  item.append(make("div", { className: "row spread" }, make("h3", { textContent: name }), buttons), frame, about, labels);

  const size = () => (view instanceof HTMLVideoElement ? [view.videoWidth, view.videoHeight] : [view.naturalWidth, view.naturalHeight]);

  /** The faces of a moment, or of the picture. @param {number | null} at_ms @param {number} [lit] */
  function draw(at_ms, lit = -1) {
    marks.replaceChildren();
    const [width, height] = size();
    if (!width || !height) return;
    one.faces.forEach((face, place) => {
      if (face.at_ms !== at_ms) return;
      const mark = make("span", { className: "mark", "data-standing": one.standing[place] });
      mark.toggleAttribute("data-lit", place === lit);
      mark.append(make("b", { textContent: String(place + 1) }));
      mark.style.left = `${(face.box.x / width) * 100}%`;
      mark.style.top = `${(face.box.y / height) * 100}%`;
      mark.style.width = `${(face.box.width / width) * 100}%`;
      mark.style.height = `${(face.box.height / height) * 100}%`;
      marks.append(mark);
    });
  }

  /** @param {number} place */
  function show(place) {
    const face = one.faces[place];
    if (view instanceof HTMLVideoElement && face.at_ms !== null) view.currentTime = face.at_ms / 1000;
    draw(face.at_ms, place);
  }

  function label(/** @type {Face} */ face, /** @type {number} */ place) {
    const standing = one.standing[place];
    const what = face.at_ms === null ? say("face_name", { n: place + 1 }) : say("face_at", { n: place + 1, at: Math.round(face.at_ms / 100) / 10 });
    const button = make("button", { className: "face", type: "button", "data-standing": standing });
    button.append(make("strong", { textContent: what }), make("span", { textContent: say(standing === "unjudged" ? "face_unjudged" : `face_${standing}`) }));
    button.addEventListener("focus", () => show(place));
    button.addEventListener("pointerenter", () => show(place));
    button.addEventListener("click", () => show(place));
    const entry = make("li", {}, button);
    if (standing === "no") {
      const asking = make("button", { className: "button quiet", type: "button", textContent: say("face_ask"), "aria-label": `${what}: ${say("face_ask")}` });
      asking.addEventListener("click", acts.ask);
      entry.append(asking);
    }
    return entry;
  }

  one.redraw = () => {
    item.toggleAttribute("data-bad", one.fault !== "" || one.standing.some((each) => each === "no" || each === "unjudged"));
    if (one.fault) about.textContent = `${say("up_failed", { name })} ${one.fault}`;
    else if (!one.media_id) about.textContent = one.percent < 100 ? say("up_sending", { name, percent: one.percent }) : say("up_looking", { name });
    else if (one.kind === "video") about.textContent = one.faces.length ? say("faces_film", { n: new Set(one.faces.map((face) => face.at_ms)).size }) : say("faces_none");
    else about.textContent = one.faces.length === 0 ? say("faces_none") : one.faces.length === 1 ? say("faces_one") : say("faces_many", { n: one.faces.length });
    // of a film, faces that lack a yes come first: there are as many as moments were looked at
    const order = one.faces.map((_, place) => place).sort((a, b) => Number(one.standing[b] === "no") - Number(one.standing[a] === "no") || a - b);
    labels.replaceChildren(...order.slice(0, MOST_LABELS).map((place) => label(one.faces[place], place)));
    if (order.length > MOST_LABELS) labels.append(make("li", { className: "small muted", textContent: say("face_more", { n: order.length - MOST_LABELS }) }));
    if (order.length) show(order[0]);
    draw(one.faces.length ? one.faces[order[0]].at_ms : null);
  };
  view.addEventListener(view instanceof HTMLVideoElement ? "loadeddata" : "load", () => one.redraw());
  one.redraw();
  return item;
}

/** A photograph from the camera of this device. @param {(photograph: Blob) => void} take */
export async function camera(take) {
  const dialog = /** @type {HTMLDialogElement} */ (at("camera"));
  const view = /** @type {HTMLVideoElement} */ (at("camera-view"));
  const button = /** @type {HTMLButtonElement} */ (at("camera-take"));
  /** @type {MediaStream | null} */
  let stream = null;
  saying(at("camera-status"), "");
  button.disabled = true;
  const close = () => {
    for (const track of stream?.getTracks() ?? []) track.stop();
    if (view.srcObject === stream) view.srcObject = null;
  };
  const over = () => !dialog.open || dialog.onclose !== close; // closed, and perhaps opened once more since
  dialog.onclose = close;
  dialog.showModal();
  try {
    stream = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 1920 }, height: { ideal: 1080 } }, audio: false });
  } catch (error) {
    if (over()) return;
    const denied = error instanceof DOMException && error.name === "NotAllowedError";
    return saying(at("camera-status"), say(denied ? "camera_denied" : "camera_none"), "warn");
  }
  if (over()) return close();
  view.srcObject = stream;
  await view.play().catch(() => {}); // closed while it began
  if (over()) return;
  button.disabled = false;
  button.onclick = () => {
    button.disabled = true;
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [view.videoWidth, view.videoHeight];
    canvas.getContext("2d")?.drawImage(view, 0, 0);
    canvas.toBlob((photograph) => {
      if (photograph) take(photograph);
      dialog.close();
    }, "image/jpeg", 0.92);
  };
}
