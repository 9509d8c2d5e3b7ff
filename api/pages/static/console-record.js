// @ts-check
/**
 * "Verify now": the server checks, this shows each step with its values. What this browser saw last of the log stays in it,
 * out of the reach of whoever holds the service's database: a log that was changed since is noticed here.
 */
import { busy, call, data, filled, make, saying, worked } from "./api.js";

/** @type {Record<string, string>} */
const WORDS = data("verify-words");
const SEEN = "mien-log-seen";
const SAID = ["remembered_by", "state", "says", "record_says"]; // values that are words
const panel = /** @type {HTMLElement} */ (document.getElementById("verify"));
const verdict = /** @type {HTMLElement} */ (document.getElementById("verdict"));

/** @returns {{size: number, root: string} | null} */
function remembered() {
  const kept = document.cookie.split("; ").find((each) => each.startsWith(`${SEEN}=`));
  const [size, root] = decodeURIComponent(kept?.slice(SEEN.length + 1) ?? "").split(" ");
  return root && Number.isSafeInteger(Number(size)) ? { size: Number(size), root } : null;
}

/** For a year, for this page alone. The log is public, so this is no secret. @param {{size: number, root: string}} checkpoint */
function remember({ size, root }) {
  const secure = location.protocol === "https:" ? "; secure" : "";
  document.cookie = `${SEEN}=${encodeURIComponent(`${size} ${root}`)}; path=/console; max-age=31536000; samesite=strict${secure}`;
}

/** @param {string} name */
const stepOf = (name) => /** @type {HTMLElement} */ (panel.querySelector(`[data-step="${name}"]`));

/** @param {{name: string, outcome: string, why: string | null, values: Record<string, any>}} step */
function show(step) {
  const item = stepOf(step.name);
  item.dataset.kind = { holds: "good", fails: "bad" }[step.outcome] ?? "plain";
  const found = /** @type {HTMLElement} */ (item.querySelector(".found"));
  const badge = /** @type {HTMLElement} */ (item.querySelector(".badge"));
  badge.dataset.kind = item.dataset.kind;
  badge.textContent = WORDS[`verify_step_${step.outcome}`];
  badge.hidden = false;
  found.replaceChildren();
  if (step.why) found.append(make("p", { lang: "en", textContent: step.why }));
  const facts = make("dl", { className: "facts" });
  for (const [name, value] of Object.entries(step.values)) {
    const words = SAID.includes(name) ? WORDS[`verify_said_${value}`] : undefined;
    const shown = words ?? (Array.isArray(value) ? value.join("\n") : String(value));
    facts.append(make("dt", { textContent: WORDS[`verify_value_${name}`] ?? name }), make("dd", { textContent: shown, "data-varies": "" }));
  }
  if (facts.childElementCount) found.append(facts);
}

/** @param {boolean} all */
async function verify(all) {
  const steps = /** @type {HTMLElement[]} */ ([...panel.querySelectorAll("[data-step]")]).filter((each) => all || each.dataset.step !== "log");
  for (const step of steps) step.dataset.kind = "busy";
  saying(verdict, WORDS.verify_busy);
  await busy(now, () => busy(whole, async () => { // one after the other: what is remembered never becomes older
    const seen = remembered();
    const path = `/v1/audit/consents/${panel.dataset.consent}/verify`;
    const answer = await call("staff", "POST", path, seen ? { seen, whole_log: all } : { whole_log: all });
    if (!worked(answer)) {
      for (const step of steps) delete step.dataset.kind;
      saying(verdict, WORDS.verify_error, "bad");
      return;
    }
    answer.body.steps.forEach(show);
    const failed = answer.body.steps.filter((/** @type {any} */ step) => step.outcome === "fails");
    if (failed.length) {
      const names = failed.map((/** @type {any} */ step) => WORDS[`verify_name_${step.name}`]).join(", ");
      saying(verdict, `${filled(WORDS.verify_fails, { steps: names })} ${WORDS.verify_next}`, "bad");
    } else saying(verdict, WORDS.verify_holds, "good");
    const consistent = answer.body.steps.some((/** @type {any} */ step) => step.name === "consistency" && step.outcome !== "fails");
    if (consistent && answer.body.now) remember(answer.body.now);
  }));
}

const now = /** @type {HTMLElement} */ (document.getElementById("verify-now"));
const whole = /** @type {HTMLElement} */ (document.getElementById("verify-all"));
now.addEventListener("click", () => verify(false));
whole.addEventListener("click", () => verify(true));
