// @ts-check
/** Looking at media and papers: each is fetched when its button is pressed, lives in this page only, and is told. */
import { busy, call, latest, make, saying, worked } from "./api.js";
import { place, refresh, said, told } from "./console.js";

const looking = /** @type {HTMLElement} */ (document.getElementById("looking"));
const media = /** @type {HTMLElement} */ (document.getElementById("media"));
const title = /** @type {HTMLElement} */ (looking.querySelector("h2, h3"));
let address = "";
const looks = latest();

const KINDS = /** @type {const} */ ([
  ["image/jpeg", [0xff, 0xd8, 0xff], 0], ["image/png", [0x89, 0x50, 0x4e, 0x47], 0], ["image/webp", [0x57, 0x45, 0x42, 0x50], 8],
  ["video/mp4", [0x66, 0x74, 0x79, 0x70], 4], ["video/webm", [0x1a, 0x45, 0xdf, 0xa3], 0], ["application/pdf", [0x25, 0x50, 0x44, 0x46], 0],
]);

/** What the bytes are, by how they begin. @param {Blob} blob */
async function kindOf(blob) {
  const head = new Uint8Array(await blob.slice(0, 16).arrayBuffer());
  return KINDS.find(([, sign, at]) => sign.every((byte, number) => head[at + number] === byte))?.[0] ?? "";
}

function lookAway() {
  looks(); // what is still on its way is not wanted any more
  if (address) URL.revokeObjectURL(address);
  address = "";
  media.replaceChildren();
  looking.hidden = true;
}

/** @param {HTMLElement} button @param {string} path @param {string} name */
async function look(button, path, name) {
  await busy(button, async () => {
    const newest = looks();
    const answer = await call("staff", "GET", path, undefined, { as: "blob" });
    if (!newest()) return;
    if (!worked(answer)) {
      saying(place, told(answer), "bad");
      place.scrollIntoView({ block: "center" });
      return;
    }
    const kind = await kindOf(answer.body);
    if (!newest()) return;
    lookAway();
    address = URL.createObjectURL(new Blob([answer.body], { type: kind || "application/octet-stream" }));
    const isPaper = button.dataset.open !== undefined;
    saying(place, said(isPaper ? (kind.startsWith("image/") ? "paper" : "paper_saved") : "look"), "info");
    if (kind.startsWith("video/")) media.append(make("video", { src: address, controls: true, playsInline: true, "aria-label": name }));
    else if (kind.startsWith("image/")) media.append(make("img", { src: address, alt: name }));
    else {
      const link = make("a", { href: address, download: path.split("/").slice(-1)[0], textContent: name });
      media.append(link);
      link.click();
    }
    if (isPaper) title.textContent = name;
    looking.hidden = false;
    title.focus();
  });
  await refresh();
}

document.addEventListener("click", (event) => {
  const button = /** @type {HTMLElement} */ (event.target).closest?.("[data-look], [data-open]");
  if (!(button instanceof HTMLElement)) return;
  void look(button, button.dataset.look ?? button.dataset.open ?? "", button.dataset.name ?? title.textContent ?? "");
});
document.getElementById("look-away")?.addEventListener("click", lookAway);

/** @type {WeakMap<Element, number>} */
const ends = new WeakMap();

function count() {
  for (const clock of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("[data-seconds-left]"))) {
    if (!ends.has(clock)) ends.set(clock, performance.now() + Number(clock.dataset.secondsLeft) * 1000);
    const left = Math.max(0, Math.floor(((ends.get(clock) ?? 0) - performance.now()) / 1000));
    clock.textContent = `${Math.floor(left / 60)}:${String(left % 60).padStart(2, "0")}`;
    if (left === 0 && clock.closest("[data-state='open']")) {
      lookAway();
      clock.textContent = said("over");
      clock.removeAttribute("data-seconds-left");
    }
  }
}
count();
setInterval(count, 1000);
document.addEventListener("refreshed", count);
