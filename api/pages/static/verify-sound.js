// @ts-check
/** Brings sound to 16 kHz, 16 bit, a tenth of a second at a time. Runs beside the page, as an audio worklet. */

/** What a worklet has and a page has not. @type {any} */
const here = globalThis;
const RATE = 16000;

class Ear extends here.AudioWorkletProcessor {
  constructor() {
    super();
    this.kept = new Int16Array(RATE / 10);
    this.count = 0;
    this.sum = 0;
    this.summed = 0;
    this.due = 0;
  }

  /** @param {Float32Array[][]} inputs */
  process([[samples]]) {
    for (const sample of samples ?? []) {
      this.sum += sample;
      this.summed += 1;
      this.due += RATE / here.sampleRate;
      if (this.due < 1) continue;
      this.due -= 1;
      this.kept[this.count] = Math.round(32767 * Math.max(-1, Math.min(1, this.sum / this.summed)));
      this.sum = this.summed = 0;
      this.count += 1;
      if (this.count < this.kept.length) continue;
      /** @type {any} */ (this).port.postMessage(this.kept.slice().buffer);
      this.count = 0;
    }
    return true;
  }
}

here.registerProcessor("mien-ear", Ear);
