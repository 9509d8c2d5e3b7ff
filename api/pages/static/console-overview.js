// @ts-check
/** Renews the figures while somebody looks, without flicker, until they want them to stand still. */
import { saying } from "./api.js";
import { place, refresh, said } from "./console.js";

const EVERY_MS = 5000;
const NOBODY_AFTER_MS = 15 * 60_000; // a screen that nobody sits at must not keep its session alive
const button = /** @type {HTMLButtonElement} */ (document.getElementById("pause"));
let paused = false;
let renewing = false;
let moved = performance.now();
for (const sign of ["pointermove", "keydown", "touchstart", "scroll"]) addEventListener(sign, () => (moved = performance.now()), { passive: true });

button.addEventListener("click", () => pause(!paused));

/** @param {boolean} wanted */
function pause(wanted) {
  paused = wanted;
  button.setAttribute("aria-pressed", String(paused));
  button.textContent = said(paused ? "resume" : "pause");
  if (!paused) void renew();
}

async function renew() {
  if (paused || renewing || document.hidden) return;
  if (performance.now() - moved > NOBODY_AFTER_MS) return pause(true);
  renewing = true;
  const fresh = await refresh(() => !paused);
  renewing = false;
  if (paused) return;
  const stale = place.hasChildNodes();
  if (!fresh && !stale) saying(place, said("stale"), "warn");
  else if (fresh && stale) saying(place, "");
}

setInterval(renew, EVERY_MS);
document.addEventListener("visibilitychange", renew);
