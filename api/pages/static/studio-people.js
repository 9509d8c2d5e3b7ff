// @ts-check
/** Everyone who said yes, what they allow, and how to ask again or end it. */
import { busy, latest, make, saying, worked } from "./api.js";
import { ask, at, callThem, consents, day, endConsent, inOrder, lasting, listed, mayAsk, nameOf, say, trouble } from "./studio.js";

/** @typedef {import("./studio.js").Consent} Consent */

const KINDS = { valid: "good", suspended: "warn", expired: undefined, revoked: undefined };
/** @type {string | null} */
let next = null;
const lists = latest();

/** @param {Consent} consent */
function facts(consent) {
  const made = (/** @type {string} */ one) => (one === "*" ? say("everyone_backend") : one);
  const known = (/** @type {string} */ one) => (["portrait", "story", "cameo"].includes(one) ? say(`kind_${one}`) : made(one));
  const rows = [
    [say("person_allows"), listed(inOrder(consent.purposes).map((one) => say(`purpose_${one}`)))],
    [say("person_by"), listed(inOrder(consent.audience).map(known))],
    [say("person_until"), day(consent.expires_at)],
  ];
  if (mayAsk(consent)) rows.push([say("person_who"), mayAsk(consent)]);
  if (consent.limits.max_seconds) rows.push([say("person_longest"), lasting(consent.limits.max_seconds)]);
  if (consent.limits.forbidden_words?.length) rows.push([say("person_words"), listed(consent.limits.forbidden_words)]);
  const list = make("dl", { className: "facts" });
  for (const [name, text] of rows) list.append(make("dt", { textContent: name }), make("dd", { textContent: text }));
  return list;
}

/** @param {Consent} consent */
function card(consent) {
  const name = make("h2", { className: "person-name", textContent: nameOf(consent) });
  const badges = make("div", { className: "row tight" });
  badges.append(make("span", { className: "badge", "data-kind": /** @type {any} */ (KINDS)[consent.state], textContent: say(`consent_${consent.state}`) }));
  if (consent.approval === "always") badges.append(make("span", { className: "badge", textContent: say("person_asks") }));
  if (consent.for_another) badges.append(make("span", { className: "badge", textContent: say("person_for_another") }));
  if (consent.assurance === "simulated") badges.append(make("span", { className: "badge", "data-kind": "warn", textContent: say("person_weak") }));
  const acts = make("div", { className: "row" });
  const renaming = make("form", { className: "row rename", hidden: true });
  const field = make("input", { value: nameOf(consent), maxLength: 60, required: true, autocomplete: "off", "aria-label": say("person_name") });
  renaming.append(field, make("button", { className: "button quiet", type: "submit", textContent: say("person_save") }));
  renaming.addEventListener("submit", (event) => {
    event.preventDefault();
    callThem(consent.subject_id, /** @type {HTMLInputElement} */ (field).value);
    name.textContent = nameOf(consent);
    renaming.hidden = true;
    name.hidden = false;
  });
  const rename = make("button", { className: "link", type: "button", textContent: say("person_rename") });
  rename.addEventListener("click", () => {
    renaming.hidden = false;
    name.hidden = true;
    field.focus();
  });
  if (consent.state === "valid") {
    acts.append(make("a", { className: "button", href: `/studio/new?person=${consent.consent_id}`, textContent: say("person_make") }));
  } else {
    const again = make("button", { className: "button", type: "button", textContent: say("person_again") });
    again.addEventListener("click", () => ask({ name: nameOf(consent), subject: consent.subject_id }));
    acts.append(again);
  }
  acts.append(rename);
  if (consent.state === "valid" || consent.state === "suspended") {
    const end = make("button", { className: "link danger", type: "button", textContent: say("person_end") });
    end.addEventListener("click", async () => {
      if (await endConsent(end, consent, at("status"))) await load();
    });
    acts.append(end);
  }
  const head = make("div", { className: "row spread" }, make("div", { className: "stack tight" }, name, renaming), badges);
  return make("li", { className: "card stack person-card" }, head, facts(consent), acts);
}

/** Everyone anew, or who comes after those that are shown. @param {{more?: boolean}} [wanted] */
async function load({ more = false } = {}) {
  const newest = lists();
  const answer = await consents({ limit: 50, cursor: more ? next : null });
  if (!newest()) return;
  at("people").removeAttribute("aria-busy");
  for (const one of at("people").querySelectorAll(".skeleton")) one.remove();
  if (!worked(answer)) return saying(at("status"), `${say("people_failed")} ${trouble(answer)}`, "bad");
  if (!more) {
    at("people").replaceChildren();
    at("ended-people").replaceChildren();
  }
  for (const consent of answer.body.results) {
    const over = consent.state === "revoked" || consent.state === "expired";
    at(over ? "ended-people" : "people").append(card(consent));
  }
  next = answer.body.next;
  at("more").hidden = next === null;
  at("none").hidden = at("people").childElementCount > 0;
  at("ended").hidden = at("ended-people").childElementCount === 0;
}

for (const button of document.querySelectorAll("[data-ask]")) button.addEventListener("click", () => ask({}, () => void load()));
at("more").addEventListener("click", () => void busy(at("more"), () => load({ more: true })));
void load();
