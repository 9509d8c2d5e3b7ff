// Against a running service. The one who starts it says where it is in MIEN_CLIENT_TEST (JSON), with people's media and tokens.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { Gate, Mien, ProofKey } from "../dist/index.js";

const world = JSON.parse(readFileSync(process.env.MIEN_CLIENT_TEST, "utf8"));
const photo = Buffer.from(world.photo, "base64");
const proofKey = await ProofKey.fromJwk(world.proof_key);

/** A fetch that carries a call out and then loses the answer, once for each address named. */
function losing(...paths) {
  const lost = [];
  const carry = async (address, asked) => {
    const answer = await fetch(address, asked);
    const path = new URL(address).pathname;
    if (paths.includes(path) && !lost.includes(path)) {
      lost.push(path);
      throw new TypeError("fetch failed");
    }
    return answer;
  };
  return { carry, lost };
}

const settings = { url: world.url, key: world.backend_key, proofKey, sleep: async () => {} };

test("the whole road, with answers lost on the way", async () => {
  const { carry, lost } = losing("/v1/media", "/v1/permits/redeem", "/v1/permits/complete");
  const gate = new Gate("studio", { ...settings, fetch: carry });
  const taken = await gate.handIn(photo);
  assert.equal(taken.faces.length, 1);
  const job = { prompt: "She waves.", media: [taken.sha256], parameters: { ratio: "16:9", guidance: 7.5 } };
  const asked = { purpose: "digital_double", tokens: [world.token], media: [taken.media_id], seconds: 5 };
  const other = await gate.ask({ ...job, prompt: "like asset://somebody" }, asked);
  assert.deepEqual([other.permitted, other.reasons[0].code], [false, "hidden_face"]);
  const answer = await gate.ask(job, asked);
  assert.ok(answer.permitted, JSON.stringify(answer));
  const obligations = await gate.redeem(answer);
  assert.equal(obligations.max_seconds, 30);
  const [found] = await gate.references(answer);
  assert.equal(found.reference.consent_id, world.consent_id);
  assert.ok(found.content.length > 0);
  const noted = await gate.complete(answer, Buffer.from("no clip"), { handles: ["gen-1"] });
  assert.deepEqual([noted.release, noted.code], [false, "output_unreadable"]);
  assert.deepEqual(lost, ["/v1/media", "/v1/permits/redeem", "/v1/permits/complete"]);
  await assert.rejects(gate.redeem(answer), { code: "permit_spent" });
});

test("without the generator's own key there is no permit", async () => {
  const taken = await new Gate("studio", settings).handIn(photo);
  const bare = new Gate("studio", { ...settings, proofKey: undefined });
  const answer = await bare.ask({ media: [taken.sha256] }, { purpose: "digital_double", tokens: [world.token], media: [taken.media_id] });
  assert.deepEqual([answer.permitted, answer.reasons[0].code], [false, "dpop_missing"]);
});

test("an app's calls, typed by method and path", async () => {
  const app = new Mien({ url: world.url, key: world.app_key, sleep: async () => {} });
  const consent = await app.call("GET /v1/consents/{consent_id}", { path: { consent_id: world.consent_id } });
  assert.equal(consent.consent_id, world.consent_id);
  const words = await app.call("GET /v1/terms/{language}", { path: { language: "en" }, query: {} });
  assert.match(words.sha256, /^[0-9a-f]{64}$/);
  await assert.rejects(app.call("GET /v1/clips/{clip_id}", { path: { clip_id: "clp_none" } }), { code: "not_found", status: 404 });
  const nobody = new Mien({ url: world.url, key: "nobody" });
  await assert.rejects(nobody.call("GET /v1/consents/{consent_id}", { path: { consent_id: "x" } }), { code: "unauthenticated" });
});
