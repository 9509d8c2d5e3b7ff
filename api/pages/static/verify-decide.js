// @ts-check
/** The second yes: what may be made, by what, asked for by whom, and within which limits. Everything begins as a no. */

import { filled, when } from "./api.js";
import { byId } from "./verify-take.js";

const NAME = /^[A-Za-z0-9][A-Za-z0-9_.:@/+-]{0,99}$/;

export class Decision {
  /** @param {Record<string, string>} words */
  constructor(words) {
    this.words = words;
    this.form = /** @type {HTMLFormElement} */ (byId("decide"));
    this.form.addEventListener("input", () => this.#changed());
    this.#changed();
  }

  /** @param {string} name @returns {string[]} */
  #chosen(name) {
    return new FormData(this.form).getAll(name).map(String);
  }

  /** @param {string} name @returns {string[]} one a line */
  #lines(name) {
    return String(new FormData(this.form).get(name) ?? "").split("\n").map((line) => line.trim()).filter(Boolean);
  }

  #changed() {
    const { form, words } = this;
    const every = this.#chosen("audience").includes("*");
    for (const box of /** @type {NodeListOf<HTMLInputElement>} */ (form.querySelectorAll("[name=audience]:not([value='*'])"))) {
      box.disabled = every;
      box.closest(".choice")?.classList.toggle("included", every);
    }
    byId("names").hidden = this.#chosen("makers")[0] !== "named";
    const uses = this.#titles("purposes");
    const by = every ? [words.sum_every] : this.#titles("audience");
    const join = new Intl.ListFormat(document.documentElement.lang, { type: "conjunction" });
    const who = { self: words.sum_self, named: words.sum_named, "*": words.sum_everyone }[this.#chosen("makers")[0] ?? "self"];
    byId("sum").textContent = uses.length && by.length
      ? filled(words.double_sum, { what: join.format(uses), by: join.format(by), who, until: when(`${this.#until()}T12:00:00Z`, { dateStyle: "long" }) })
      : words.double_sum_none;
    for (const fault of form.querySelectorAll("[data-invalid]")) fault.removeAttribute("data-invalid");
    for (const fault of form.querySelectorAll(".fault")) fault.textContent = "";
  }

  /** @param {string} name */
  #titles(name) {
    const boxes = /** @type {NodeListOf<HTMLInputElement>} */ (this.form.querySelectorAll(`[name=${name}]:checked`));
    return [...boxes].map((box) => (box.closest(".choice")?.querySelector(".said-title")?.firstChild?.textContent ?? "").trim().split(/[:：]/)[0]);
  }

  #until() {
    const field = /** @type {HTMLInputElement} */ (byId("until"));
    return field.value || field.defaultValue;
  }

  /** What is asked of the service, or `null` after saying what is missing. @param {string} session @param {string} terms */
  wanted(session, terms) {
    const { words } = this;
    const purposes = this.#chosen("purposes"), audience = this.#chosen("audience");
    if (!purposes.length) return this.#fault("purposes", words.double_purpose_needed);
    if (!audience.length) return this.#fault("generators", words.double_generator_needed);
    const choice = this.#chosen("makers")[0], names = this.#lines("names");
    if (choice === "named") {
      const odd = names.find((name) => !NAME.test(name) || name === "self");
      if (!names.length) return this.#fault("names", words.who_names_needed);
      if (odd) return this.#fault("names", filled(words.who_name_wrong, { name: odd }));
    }
    const odd = /** @type {HTMLInputElement | null} */ (this.form.querySelector("#limits input:invalid"));
    if (odd) {
      /** @type {HTMLDetailsElement} */ (byId("limits")).open = true;
      odd.reportValidity();
      return null;
    }
    const values = new FormData(this.form);
    const until = /** @type {HTMLInputElement} */ (byId("until"));
    return {
      session_id: session,
      terms_sha256: terms,
      purposes,
      audience: audience.includes("*") ? ["*"] : audience,
      makers: choice === "named" ? names : [choice],
      approval: values.get("each_time") ? "always" : "never",
      limits: {
        max_seconds: Number(values.get("max_seconds")) || 60,
        forbidden_words: this.#lines("forbidden_words").slice(0, 200),
        ...(values.get("uses") ? { uses: Number(values.get("uses")) } : {}),
      },
      ...(until.value && until.value !== until.defaultValue ? { expires_at: `${until.value}T23:59:59Z` } : {}),
    };
  }

  /** @param {string} id @param {string} text @returns {null} */
  #fault(id, text) {
    const field = byId(id);
    field.dataset.invalid = "";
    const place = field.querySelector(".fault");
    if (place) place.textContent = text;
    /** @type {HTMLElement | null} */ (field.querySelector("input:not(:disabled), textarea"))?.focus();
    field.scrollIntoView({ block: "start" });
    return null;
  }
}
