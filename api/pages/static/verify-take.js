// @ts-check
/** What a person sees while they are recorded: the oval, one step at a time, and how far they are. */

import { filled, make } from "./api.js";

/**
 * @typedef {{step: "say" | "turn" | "nod", digits?: string, turn?: "left" | "right", nods?: number}} Step
 */

export class Stage {
  /** @param {Record<string, string>} words @param {string} spoken the language in which digits are said */
  constructor(words, spoken) {
    this.words = words;
    this.spoken = spoken;
    this.stage = byId("stage");
    this.cue = byId("cue");
    this.guide = byId("guide");
    this.step = byId("take-step");
    this.done = /** @type {SVGElement} */ (this.stage.querySelector(".oval-done"));
  }

  /** Nothing is asked yet. */
  position() {
    this.#say(this.words.take_position, "", "");
    this.cue.dataset.index = "-1";
    this.progress(0, 1);
    this.tell("");
  }

  /** One step, alone. @param {Step} step @param {number} index @param {number} of */
  show(step, index, of) {
    const { words } = this;
    if (step.step === "say") this.#say(this.#sayWords(), step.digits ?? "", words.take_look);
    else if (step.step === "turn") this.#say(words[`take_turn_${step.turn}`], "", words.take_turn_then);
    else this.#say(step.nods === 1 ? words.take_nod_once : filled(words.take_nod_times, { times: step.nods }), "", words.take_nod_then);
    this.stage.dataset.turn = step.step === "turn" ? step.turn ?? "" : "";
    this.cue.dataset.index = String(index);
    this.step.textContent = filled(words.take_step, { number: index + 1, of });
    this.progress(index, of);
    this.tell("");
    navigator.vibrate?.(30);
  }

  /** @param {number} index @param {number} of how many steps are behind */
  progress(index, of) {
    this.done.setAttribute("stroke-dasharray", `${Math.round((100 * index) / Math.max(of, 1))} 100`);
  }

  finished() {
    this.#say(this.words.take_done, "", "");
    this.stage.dataset.turn = "";
    this.step.textContent = "";
    this.progress(1, 1);
    this.tell("");
  }

  /** A short hint over the picture. @param {string} text @param {"good" | ""} [kind] */
  tell(text, kind = "") {
    if (this.guide.textContent !== text) this.guide.textContent = text;
    this.guide.dataset.kind = kind;
  }

  /** @param {string} code of live guidance */
  guidance(code) {
    this.tell(this.words[`guide_${code}`] ?? "", code === "ok" ? "good" : "");
  }

  #sayWords() {
    const page = document.documentElement.lang.slice(0, 2);
    return page === this.spoken ? this.words.take_say : this.words[`take_say_language_${this.spoken}`] ?? this.words.take_say;
  }

  /** @param {string} what @param {string} digits @param {string} then */
  #say(what, digits, then) {
    const [whatPlace, digitsPlace, thenPlace] = /** @type {HTMLElement[]} */ ([...this.cue.children]);
    whatPlace.textContent = what;
    // a word each, so that screen readers say digits and no number; the style sheet sets them together
    digitsPlace.replaceChildren(...[...digits].map((digit) => make("span", { textContent: `${digit} ` })));
    digitsPlace.hidden = digits === "";
    thenPlace.textContent = then;
    this.stage.dataset.turn = "";
  }
}

/** @param {string} id @returns {HTMLElement} */
export function byId(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(id);
  return found;
}

/**
 * Records until stopped; `chunk` hears each piece as it is made.
 * @param {MediaStream} stream @param {string} media @param {(piece: Blob) => void} chunk
 */
export function record(stream, media, chunk) {
  const recorder = new MediaRecorder(stream, { mimeType: media, videoBitsPerSecond: 2_500_000, audioBitsPerSecond: 64_000 });
  recorder.ondataavailable = (event) => {
    if (event.data.size > 0) chunk(event.data);
  };
  const ended = new Promise((resolve, reject) => {
    recorder.onstop = () => resolve(undefined);
    recorder.onerror = () => reject(new Error("recorder"));
  });
  recorder.start(200);
  return {
    /** Ends it; everything was heard when this resolves. */
    async stop() {
      if (recorder.state !== "inactive") recorder.stop();
      await ended;
    },
  };
}

/** @param {number} ms @param {AbortSignal} signal */
export function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    const stop = () => {
      clearTimeout(timer);
      reject(new DOMException("stopped", "AbortError"));
    };
    if (signal.aborted) return stop();
    timer = setTimeout(() => {
      signal.removeEventListener("abort", stop);
      resolve(undefined);
    }, ms);
    signal.addEventListener("abort", stop, { once: true });
  });
}
