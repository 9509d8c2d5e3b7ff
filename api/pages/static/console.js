// @ts-check
/** What every page of the console does: forms that call the API, and parts of the page that are shown anew. */
import { busy, call, data, inWords, latest, leave, saying, worked } from "./api.js";

/** @type {Record<string, string>} */
const WORDS = data("words");

/** @param {string} key */
export const said = (key) => WORDS[`say_${key}`] ?? WORDS.say_failed;

export const place = /** @type {HTMLElement} */ (document.getElementById("status"));

/** What did not work, in words. @param {import("./api.js").Answer} answer */
export function told(answer) {
  const own = Object.fromEntries(Object.entries(WORDS).map(([key, text]) => [key.replace(/^say_/, ""), text]));
  const reasons = answer.body?.reasons;
  const more = Array.isArray(reasons) ? ` ${reasons.map((each) => each.text ?? each.code).join(" ")}` : "";
  return inWords(answer, own) + more;
}

/** This page as it is now. The browser parses it; nothing in it runs. @returns {Promise<Document | null>} */
function pageNow() {
  return new Promise((resolve) => {
    const request = new XMLHttpRequest();
    request.responseType = "document";
    request.timeout = 15_000;
    request.onload = () => resolve(request.status === 200 ? request.responseXML : null);
    request.onerror = request.ontimeout = () => resolve(null);
    request.open("GET", location.href);
    request.send();
  });
}

const pages = latest();

/** Shows anew what changed, and only that: nothing moves that stayed the same. False when it cannot be had. @param {() => boolean} [wanted] asked when it is there */
export async function refresh(wanted = () => true) {
  const newest = pages();
  const found = await pageNow();
  if (!found) return false;
  if (!newest() || !wanted()) return true;
  for (const old of document.querySelectorAll("[data-live]")) {
    const fresh = found.getElementById(old.id);
    if (!fresh || old.isEqualNode(fresh)) continue;
    const open = [...old.querySelectorAll("details")].map((each) => each.open);
    const at = [...old.querySelectorAll(REACHED)].indexOf(/** @type {Element} */ (document.activeElement));
    const put = document.adoptNode(fresh);
    old.replaceWith(put);
    for (const [number, each] of [...put.querySelectorAll("details")].entries()) each.open ||= open[number] ?? false;
    keepWritten(old, put);
    if (at >= 0) /** @type {HTMLElement | undefined} */ (put.querySelectorAll(REACHED)[at])?.focus({ preventScroll: true });
  }
  document.dispatchEvent(new Event("refreshed"));
  return true;
}

const REACHED = "a, button, input, textarea, select, summary"; // with the keyboard

/** What somebody wrote and has not sent yet stays theirs. @param {Element} old @param {Element} put */
function keepWritten(old, put) {
  for (const field of /** @type {NodeListOf<HTMLInputElement>} */ (old.querySelectorAll("input, textarea"))) {
    const ticks = field.type === "checkbox" || field.type === "radio";
    const same = ticks ? `[name="${CSS.escape(field.name)}"][value="${CSS.escape(field.value)}"]` : field.id && `#${CSS.escape(field.id)}`;
    const again = same && /** @type {HTMLInputElement | null} */ (put.querySelector(same));
    if (again && ticks) again.checked = field.checked;
    else if (again && field.value !== field.defaultValue) again.value = field.value;
  }
}

/**
 * The fields of a form as the API takes them: `name[]` is a list, a local time is UTC, and what a button says is yes or no.
 * @param {HTMLFormElement} form @param {HTMLElement | null} button
 */
function fieldsOf(form, button) {
  /** @type {Record<string, any>} */
  const body = {};
  for (const field of /** @type {HTMLInputElement[]} */ ([...form.querySelectorAll("input, textarea, select")])) {
    if (!field.name) continue;
    if (field.name.endsWith("[]")) {
      const list = (body[field.name.slice(0, -2)] ??= []);
      if (field.checked) list.push(field.value);
    } else body[field.name] = field.type === "datetime-local" ? new Date(`${field.value}Z`).toISOString() : field.value;
  }
  if (button instanceof HTMLButtonElement && button.name) body[button.name] = button.value === "true";
  return body;
}

document.addEventListener("submit", async (event) => {
  const form = /** @type {HTMLFormElement} */ (event.target);
  const [method, path] = (form.dataset.call ?? "").split(" ");
  if (!path) return;
  event.preventDefault();
  const button = /** @type {HTMLElement | null} */ (event.submitter);
  const fields = fieldsOf(form, button);
  const empty = Object.keys(fields).length === 0;
  await busy(button ?? form, async () => {
    const answer = await call("staff", method, path, empty ? undefined : fields);
    if (!worked(answer)) {
      saying(place, told(answer), "bad");
    } else {
      const words = said((button?.dataset.say ?? form.dataset.say ?? "").replace(/^say_/, ""));
      form.reset();
      if (!form.closest("[data-live]")) form.closest("details")?.removeAttribute("open");
      await refresh();
      saying(place, words, "good");
      const next = form.dataset.next;
      if (next && next !== location.pathname) linkTo(next);
    }
    place.scrollIntoView({ block: "center" });
  });
});

/** After what was said, where it goes on. @param {string} href */
function linkTo(href) {
  const link = document.querySelector(`.nav a[href="${href}"]`);
  if (!link) return;
  const go = document.createElement("a");
  go.href = href;
  go.textContent = link.textContent;
  place.firstElementChild?.append(go);
}

const signOut = document.getElementById("sign-out");
signOut?.addEventListener("click", () => busy(signOut, async () => {
  const answer = await call("staff", "POST", "/v1/sign-out");
  if (worked(answer) || answer.status === 401) await leave("/sign-in");
  saying(place, told(answer), "bad");
}));

const here = document.querySelector(".nav [aria-current]");
here?.parentElement?.scrollTo({ left: /** @type {HTMLElement} */ (here).offsetLeft - here.parentElement.offsetLeft - 48 });
