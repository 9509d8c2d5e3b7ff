// Plays flow.ts with a command for a camera: node run.mjs URL COMMAND..., with {out}, {digits} and {turns} in the command.

import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Consent, Mien, Phone, beginSession } from "./flow.ts";

const [url, ...command] = process.argv.slice(2);

async function record(challenge) {
  for (const prompt of challenge.prompts) console.log("  ", prompt.text);
  const folder = mkdtempSync(join(tmpdir(), "mien-"));
  try {
    const said = { out: join(folder, "take.mp4"), digits: challenge.digits, turns: challenge.turns.join(",") };
    const [program, ...words] = command.map((word) => word.replace(/\{(\w+)\}/g, (_, name) => said[name]));
    execFileSync(program, words, { stdio: "ignore" });
    return new Blob([readFileSync(said.out)], { type: "video/mp4" });
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const session = await beginSession(new Mien(url, process.env.APP_KEY), `person-${crypto.randomUUID().slice(0, 8)}`);
const phone = new Phone(new Mien(url, session.client_token), session.session_id, (text) => console.log(text));
const terms = await phone.terms();
console.log(`Terms ${terms.version}, ${terms.text.length} characters. Agreed to the check.`);
await phone.agreeToCheck(terms);
const state = await phone.liveCheck(record);
if (state.status !== "passed") {
  console.log("Not shown live:", state.reasons.join(", "));
  process.exit(1);
}
console.log(`Shown live, assurance ${state.assurance}.`);

const choices = { purposes: ["digital_double"], audience: ["portrait"], limits: { max_seconds: 20 } };
const given = await phone.consent(terms, choices);
writeFileSync("receipt.json", JSON.stringify(given.receipt, null, 2), { mode: 0o600 });
console.log(`Consent ${given.consent_id}, receipt in receipt.json.`);

const mine = new Consent(new Mien(url, given.manage_token), given.consent_id);
const narrowed = await mine.narrow({ limits: { max_seconds: 10 } });
console.log("Narrowed to", narrowed.limits.max_seconds, "seconds.");
const over = await mine.revoke();
console.log("Taken back:", over.state, "with", (await mine.purges()).length, "deletions to confirm.");
