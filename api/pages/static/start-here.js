// @ts-check
/** The first browser: spends the code of the address, which leaves the address at once. */

import { call, data, inWords, saying, worked } from "./api.js";

const where = data("where");
const errors = data("account-errors");
const AGAIN_MS = 2000;
const $ = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));

history.replaceState(null, "", "/start");
let answer = null;
while (where.code) {
  answer = await call(null, "POST", "/v1/sign-in/with-code", { code: where.code });
  if (answer.status !== 0) break;
  /** @type {HTMLElement} */ ($("opening").querySelector("[role=status]")).textContent = inWords(answer); // the code is in no address any more
  await new Promise((again) => setTimeout(again, AGAIN_MS));
}
if (answer && worked(answer)) {
  location.replace(where.home);
} else {
  const here = await call("staff", "GET", "/v1/browser-sessions/here"); // the same address opened twice in one browser
  if (worked(here) && here.body.role === "app") {
    location.replace(where.home);
  } else {
    $("opening").hidden = true;
    $("over").hidden = false;
    $("over-title").focus();
    if (answer && answer.body?.code !== "start_code_invalid") {
      const own = { too_many_requests: errors.error_too_many_requests, https_needed: errors.error_https_needed, cross_site: errors.error_cross_site };
      saying($("status"), inWords(answer, own), "bad");
    }
  }
}
