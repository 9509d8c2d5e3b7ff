// @ts-check
/** Two doors, and the step after an API key: a passkey. */

import { busy, call, data, inWords, saying, worked } from "./api.js";
import { NotDone, able, makePasskey, signIn } from "./passkeys.js";

const words = data("account-words");
const errors = Object.fromEntries(
  Object.entries(data("account-errors")).map(([key, text]) => [key.replace("error_", ""), /** @type {string} */ (text)]),
);
const where = data("where");
const $ = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
let offering = new AbortController();
let offered = Promise.resolve(); // a challenge of its own, which must not come after that of what is pressed meanwhile

async function offerNoMore() {
  offering.abort();
  await offered;
}

/** Where to go: where the reader was going, if it is for them. @param {any} me */
function home(me) {
  const mine = where.homes[me.kind === "person" ? "person" : me.role] ?? "/";
  return where.next && where.kind === me.kind ? where.next : mine;
}

/** What was pressed stays busy until the other page is there. @param {any} me @returns {Promise<never>} */
function go(me) {
  saying($("status"), words.script_welcome, "good");
  location.replace(home(me));
  return new Promise(() => {});
}

/** @param {unknown} error @param {HTMLElement} place @param {string} otherwise */
function notDone(error, place, otherwise) {
  if (!(error instanceof NotDone)) throw error;
  const known = errors[error.message] ?? (error.message === "unable" ? words.script_unable : otherwise);
  saying(place, known, "warn");
}

async function usePasskey() {
  await offerNoMore();
  saying($("status"), "");
  try {
    const answer = await signIn();
    if (worked(answer)) await go(answer.body);
    else saying($("status"), inWords(answer, errors), "bad");
  } catch (error) {
    notDone(error, $("status"), words.script_cancelled);
  }
}

/** @param {SubmitEvent} event */
async function useKey(event) {
  event.preventDefault();
  await offerNoMore();
  const field = /** @type {HTMLInputElement} */ ($("key"));
  const answer = await call(null, "POST", "/v1/sign-in/with-key", { key: field.value.trim() });
  if (!worked(answer)) {
    saying($("status"), inWords(answer, errors), "bad");
    field.focus();
    return;
  }
  field.value = "";
  await offerToMake(answer.body);
}

/** After a key: with a role that looks at people's data there is no way on without a passkey. @param {any} me */
async function offerToMake(me) {
  const needed = me.role !== "app";
  if (!needed && !able()) return go(me);
  if (!able()) saying($("make-status"), words.script_unable, "bad");
  for (const part of document.querySelectorAll("[data-needed]")) {
    /** @type {HTMLElement} */ (part).hidden = (part.getAttribute("data-needed") === "yes") !== needed;
  }
  const later = /** @type {HTMLAnchorElement} */ ($("make-later"));
  later.hidden = needed;
  later.href = home(me);
  $("doors").hidden = true;
  $("make").hidden = false;
  $("make-title").focus();
  $("make-form").onsubmit = (event) => { // one, also when this is called twice
    event.preventDefault();
    const button = /** @type {HTMLElement} */ ($("make-form").querySelector("button"));
    busy(button, async () => {
      try {
        const name = /** @type {HTMLInputElement} */ ($("make-name")).value;
        const answer = await makePasskey("staff", name);
        if (!worked(answer)) return saying($("make-status"), inWords(answer, errors), "bad");
        saying($("make-status"), words.script_made, "good");
        location.replace(home(me));
        await new Promise(() => {});
      } catch (error) {
        notDone(error, $("make-status"), words.script_not_made);
      }
    });
  };
}

/** Where the browser can, passkeys are offered in the field itself. */
async function offer() {
  offering = new AbortController(); // at once, so that whoever presses a door in the meantime can end it
  const { signal } = offering;
  if (!able() || !(await PublicKeyCredential.isConditionalMediationAvailable?.()) || signal.aborted) return;
  try {
    const answer = await signIn({ quietly: true, signal });
    if (worked(answer)) go(answer.body);
    else saying($("status"), inWords(answer, errors), "bad");
  } catch (error) {
    if (!(error instanceof NotDone)) throw error; // nothing was chosen, and nothing is said
  }
}

/** Who came here by a link from elsewhere is signed in all the same: strict cookies do not come along with the first page. */
async function alreadyHere() {
  if (!where.next || where.why) return;
  const before = sessionStorage.getItem("sent-on");
  sessionStorage.removeItem("sent-on");
  if (before === where.next) return;
  const me = await call(where.kind, "GET", "/v1/browser-sessions/here");
  if (!worked(me) || (me.body.weak && me.body.role !== "app")) return;
  sessionStorage.setItem("sent-on", where.next);
  location.replace(where.next);
}

for (const button of document.querySelectorAll("[data-passkey]")) {
  button.addEventListener("click", () => busy(/** @type {HTMLElement} */ (button), usePasskey));
}
$("key-form").addEventListener("submit", (event) => {
  const button = /** @type {HTMLElement} */ ($("key-form").querySelector("button"));
  event.preventDefault();
  busy(button, () => useKey(/** @type {SubmitEvent} */ (event)));
});
$("with-key").addEventListener("toggle", () => {
  if (/** @type {HTMLDetailsElement} */ ($("with-key")).open) offered = offer();
  else offerNoMore();
});
if (where.why === "passkey") {
  const me = await call("staff", "GET", "/v1/browser-sessions/here");
  if (worked(me) && me.body.weak && $("make").hidden) await offerToMake(me.body);
} else {
  await alreadyHere();
}
