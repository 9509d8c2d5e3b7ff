// @ts-check
/** The search form becomes the page's address, so that a search can be kept, sent and gone back to. */
import { busy, call, data, filled, make, saying, worked } from "./api.js";
import { place, said, told } from "./console.js";

const form = /** @type {HTMLFormElement | null} */ (document.getElementById("search"));
form?.addEventListener("submit", (event) => {
  event.preventDefault();
  const terms = new URLSearchParams();
  for (const [name, value] of new FormData(form)) if (String(value).trim()) terms.set(name, String(value).trim());
  terms.set("go", "1");
  location.search = terms.toString();
});

const saved = document.getElementById("saved");
const list = saved?.querySelector("ul");

const save = /** @type {HTMLFormElement | null} */ (document.getElementById("save"));
save?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const name = String(new FormData(save).get("name"));
  const query = data("asked");
  await busy(/** @type {HTMLElement} */ (event.submitter ?? save), async () => {
    const answer = await call("staff", "PUT", `/v1/audit/views/${encodeURIComponent(name)}`, { query });
    saying(place, worked(answer) ? said("saved") : told(answer), worked(answer) ? "good" : "bad");
    if (worked(answer)) keep(name, query);
    place.scrollIntoView({ block: "center" });
  });
});

/** One more in the list above. @param {string} name @param {Record<string, string>} query */
function keep(name, query) {
  if (!saved || !list) return;
  list.querySelector(`[data-forget="${CSS.escape(name)}"]`)?.closest("li")?.remove();
  const forget = make("button", { type: "button", className: "chip-forget", "data-forget": name, textContent: "×" });
  forget.setAttribute("aria-label", filled(said("forget"), { name }));
  list.append(make("li", { className: "chip" }, make("a", { href: `?${new URLSearchParams({ go: "1", ...query })}`, textContent: name }), forget));
  saved.hidden = false;
}

list?.addEventListener("click", async (event) => {
  const button = /** @type {HTMLElement} */ (event.target).closest("[data-forget]");
  if (!(button instanceof HTMLElement)) return;
  const answer = await busy(button, () => call("staff", "DELETE", `/v1/audit/views/${encodeURIComponent(button.dataset.forget ?? "")}`));
  if (worked(answer)) {
    button.closest("li")?.remove();
    if (saved && !list.children.length) saved.hidden = true;
  }
  saying(place, worked(answer) ? said("forgotten") : told(answer), worked(answer) ? "good" : "bad");
});
