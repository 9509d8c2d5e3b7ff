// @ts-check
/**
 * Runs before anything of a page is seen. The other scripts come later, on a slow line much later: what is pressed until then is
 * kept, its button says so, and it is done once they are there. And who goes on in the other language keeps what they wrote.
 */
(() => {
  // --- pressed before the scripts are there ----------------------------------------------------------------------------

  /** @type {Map<HTMLElement, () => void>} */
  const pressed = new Map();

  /** @param {HTMLElement} what @param {() => void} again */
  function keep(what, again) {
    pressed.set(what, again);
    what.setAttribute("aria-busy", "true");
  }
  /** @param {MouseEvent} event */
  function click(event) {
    const button = /** @type {HTMLElement | null} */ (/** @type {Element} */ (event.target).closest("button[type=button]"));
    if (button) keep(button, () => button.click());
  }
  /** @param {SubmitEvent} event */
  function submit(event) {
    event.preventDefault();
    const form = /** @type {HTMLFormElement} */ (event.target), button = event.submitter;
    keep(button ?? form, () => form.requestSubmit(button));
  }
  document.addEventListener("click", click);
  document.addEventListener("submit", submit);
  document.addEventListener("DOMContentLoaded", () => {
    document.removeEventListener("click", click);
    document.removeEventListener("submit", submit);
    for (const [what, again] of pressed) {
      what.removeAttribute("aria-busy");
      again();
    }
  });

  /** A script that does not come leaves a page on which nothing can be done: that is said. */
  addEventListener("error", ({ target }) => {
    const place = document.getElementById("content"), words = document.getElementById("site-words")?.textContent;
    if (!(target instanceof HTMLScriptElement) || !place || !words || document.getElementById("unloaded")) return;
    const notice = document.createElement("p");
    notice.id = "unloaded";
    notice.className = "notice";
    notice.dataset.kind = "warn";
    notice.setAttribute("role", "alert");
    notice.textContent = JSON.parse(words).call_unloaded;
    place.prepend(notice);
  }, true);

  // --- the other language ----------------------------------------------------------------------------------------------

  const TYPED = "mien-typed"; // kept by the browser from this page to the next, and no longer
  /** @typedef {HTMLInputElement | HTMLTextAreaElement | HTMLSelectElement} Field */

  /** @returns {Field[]} what somebody may have filled in and may be kept */
  const fields = () => [.../** @type {NodeListOf<Field>} */ (document.querySelectorAll("input, textarea, select"))]
    .filter((field) => (field.id || field.name) && !["hidden", "password", "file"].includes(field.type));
  /** @param {Field} field @returns {field is HTMLInputElement} */
  const ticks = (field) => field.type === "checkbox" || field.type === "radio";
  /** @param {Field} field */
  const nameOf = (field) => [field.form?.id, field.id || field.name, ticks(field) ? field.value : ""].join(" ");
  /** @param {Field} field */
  function touched(field) {
    if (ticks(field)) return field.checked !== field.defaultChecked;
    if (!(field instanceof HTMLSelectElement)) return field.value !== field.defaultValue;
    return field.selectedIndex !== Math.max(0, [...field.options].findIndex((option) => option.defaultSelected));
  }

  document.addEventListener("click", (event) => {
    if (!(/** @type {Element} */ (event.target).closest("a.language"))) return;
    const typed = fields().filter(touched).map((field) => [nameOf(field), ticks(field) ? field.checked : field.value]);
    try {
      sessionStorage.setItem(TYPED, JSON.stringify(typed));
    } catch {
      // a browser that keeps nothing
    }
  }, true);

  document.addEventListener("readystatechange", () => {
    const typed = new Map();
    try {
      for (const [name, value] of JSON.parse(sessionStorage.getItem(TYPED) ?? "[]")) typed.set(name, value);
      sessionStorage.removeItem(TYPED);
    } catch {
      return;
    }
    for (const field of typed.size ? fields() : []) {
      const value = typed.get(nameOf(field));
      if (value === undefined) continue;
      if (ticks(field)) field.checked = value;
      else field.value = value;
      field.closest("details")?.setAttribute("open", "");
    }
  }, { once: true }); // all of the page is read, and no other script has run
})();
