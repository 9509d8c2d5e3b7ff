// @ts-check
/** Lists of passkeys and sign-ins, as account.html lays them out, on whatever page they are. */

import { busy, call, data, filled, inWords, latest, leave, make, saying, when, worked } from "./api.js";
import { NotDone, makePasskey } from "./passkeys.js";

const words = data("account-words");
const errors = Object.fromEntries(
  Object.entries(data("account-errors")).map(([key, text]) => [key.replace("error_", ""), /** @type {string} */ (text)]),
);
delete errors.unauthenticated;
delete errors.forbidden;

/** @typedef {"person" | "staff"} As */
/** @param {Element} root @param {string} selector @returns {any} */
const inside = (root, selector) => root.querySelector(selector);

/** @param {any} one */
function device(one) {
  if (one.browser && one.system) return filled(words.script_device, one);
  return one.browser || one.system || words.script_device_none;
}

/** @param {string} name @param {string[]} details @param {string | null} badge @param {HTMLElement | null} action */
function entry(name, details, badge, action) {
  const title = make("p", { className: "entry-name" }, make("span", { textContent: name }));
  if (badge) title.append(make("span", { className: "badge", "data-kind": "info", textContent: badge }));
  const text = make("div", {}, title, make("p", { className: "muted small", "data-varies": "", textContent: details.join(" · ") }));
  const line = make("div", { className: "entry" }, text);
  if (action) line.append(action);
  return make("li", {}, line);
}

/** Waits for the dialog; true when it was agreed to. @param {HTMLDialogElement} dialog @returns {Promise<boolean>} */
function agreed(dialog) {
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((done) => dialog.addEventListener("close", () => done(dialog.returnValue === "yes"), { once: true }));
}

/** @param {HTMLElement} root */
function passkeys(root) {
  const as = /** @type {As} */ (root.dataset.passkeys);
  const list = inside(root, "[data-list]");
  const status = inside(root, ".status");
  const removing = inside(root, "[data-removing]");
  const adding = inside(root, "[data-adding]");
  const lists = latest();

  /** @param {any[]} found */
  function show(found) {
    list.replaceChildren(...found.map((one) => {
      const details = [filled(words.script_added, { at: when(one.created_at, { dateStyle: "medium" }) })];
      details.push(one.last_used_at ? filled(words.script_used, { at: when(one.last_used_at) }) : words.script_never);
      if (one.synced) details.push(words.script_synced);
      const button = make("button", { className: "button quiet", type: "button", textContent: words.script_remove,
        "aria-label": `${words.script_remove}: ${one.name}` });
      button.addEventListener("click", () => remove(button, one));
      return entry(one.name, details, one.here ? words.script_this : null, button);
    }));
    inside(root, "[data-add]").classList.toggle("quiet", found.length > 0);
    if (!found.length) {
      const why = as === "person" ? words.script_none_what : words.script_none_staff;
      list.replaceChildren(make("li", { className: "empty" },
        make("p", { className: "empty-title", textContent: words.script_none }), make("p", { textContent: why })));
    }
  }

  /** @param {HTMLElement} button @param {any} one */
  async function remove(button, one) {
    inside(removing, "[data-of]").textContent = filled(removing.dataset.what, one);
    if (!(await agreed(removing))) return;
    const answer = await busy(button, () => call(as, "DELETE", `/v1/passkeys/${one.passkey_id}`));
    if (!worked(answer)) return saying(status, inWords(answer, errors), "bad");
    lists(); // what is still on its way is older
    show(answer.body.passkeys);
    saying(status, words.script_removed, "good");
    document.dispatchEvent(new CustomEvent("mien-sessions"));
  }

  inside(root, "[data-add]").addEventListener("click", async (/** @type {Event} */ event) => {
    if (!(await agreed(adding))) return;
    await busy(/** @type {HTMLElement} */ (event.target), async () => {
      try {
        const answer = await makePasskey(as, inside(adding, "input").value);
        if (!worked(answer)) return saying(status, inWords(answer, errors), "bad");
        await load();
        saying(status, words.script_made, "good");
        document.dispatchEvent(new CustomEvent("mien-sessions"));
      } catch (error) {
        if (!(error instanceof NotDone)) throw error;
        const known = errors[error.message] ?? (error.message === "unable" ? words.script_unable : words.script_not_made);
        saying(status, known, "warn");
      }
    });
  });

  async function load() {
    const newest = lists();
    const answer = await call(as, "GET", "/v1/passkeys");
    if (!newest()) return;
    if (worked(answer)) show(answer.body.passkeys);
    else {
      list.replaceChildren();
      saying(status, inWords(answer, errors), "bad");
    }
  }
  return load();
}

/** @param {HTMLElement} root */
function sessions(root) {
  const as = /** @type {As} */ (root.dataset.sessions);
  const list = inside(root, "[data-list]");
  const status = inside(root, ".status");
  const others = inside(root, "[data-end-others]");
  const lists = latest();

  /** @param {any[]} found */
  function show(found) {
    list.replaceChildren(...found.map((one) => {
      const details = [words[`script_began_${one.began}`] ?? ""];
      details.push(one.here ? filled(words.script_since, { at: when(one.created_at) }) : filled(words.script_seen, { at: when(one.last_seen_at) }));
      const button = make("button", { className: "button quiet", type: "button", textContent: words.script_sign_out,
        "aria-label": `${words.script_sign_out}: ${device(one)}` });
      button.addEventListener("click", () => end(button, `/v1/browser-sessions/${one.session_id}`, words.script_ended));
      return entry(device(one), details, one.here ? words.script_here : null, one.here ? null : button);
    }));
    others.hidden = found.length < 2;
  }

  /** @param {HTMLElement} button @param {string} path @param {string} said */
  async function end(button, path, said) {
    const answer = await busy(button, () => call(as, "DELETE", path));
    if (!worked(answer)) return saying(status, inWords(answer, errors), "bad");
    lists();
    show(answer.body.sessions);
    saying(status, said, "good");
  }

  others.addEventListener("click", () => end(others, "/v1/browser-sessions?others=true", words.script_ended_others));
  inside(root, "[data-end-here]").addEventListener("click", async (/** @type {Event} */ event) => {
    await busy(/** @type {HTMLElement} */ (event.target), async () => {
      const answer = await call(as, "POST", "/v1/sign-out");
      if (worked(answer) || answer.status === 401) await leave("/sign-in");
      saying(status, inWords(answer, errors), "bad");
    });
  });

  async function load() {
    const newest = lists();
    const answer = await call(as, "GET", "/v1/browser-sessions");
    if (!newest()) return;
    if (worked(answer)) show(answer.body.sessions);
    else {
      list.replaceChildren();
      saying(status, inWords(answer, errors), "bad");
    }
  }
  document.addEventListener("mien-sessions", load);
  return load();
}

await Promise.all([
  ...[...document.querySelectorAll("[data-passkeys]")].map((root) => passkeys(/** @type {HTMLElement} */ (root))),
  ...[...document.querySelectorAll("[data-sessions]")].map((root) => sessions(/** @type {HTMLElement} */ (root))),
]);
