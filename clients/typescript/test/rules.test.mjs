// What the client does by itself: hashes, proofs, when it tries again, and what it takes for a yes.

import assert from "node:assert/strict";
import { createHash, createPublicKey, verify } from "node:crypto";
import { test } from "node:test";

import { Gate, jobOfRequest, jobSha256, Mien, Problem, ProofKey, spelled } from "../dist/index.js";

const KEY = "key";

/** A service that answers from a list; `null` is an answer that was lost. */
function service(...answers) {
  const seen = [];
  const fetch = async (address, asked) => {
    seen.push({ address, ...asked });
    const next = answers.shift();
    if (next === null) throw new TypeError("fetch failed");
    const [status, body, headers] = next ?? [200, {}];
    const said = { "Content-Type": status < 400 ? "application/json" : "application/problem+json", ...headers };
    return new Response(status === 204 ? null : JSON.stringify(body), { status, headers: said });
  };
  return { seen, settings: { url: "https://mien.example/", key: KEY, fetch, sleep: async () => {} } };
}

const ORDER = { body: { kind: "portrait", backend: "portrait", tokens: ["t"], script: "Hello." } };

test("a job has one hash, whatever its order and spelling of numbers", async () => {
  const text = '{"media":[],"parameters":{"a":[true,null],"b":1,"é":1e+21},"prompt":"\\n\\u001f€","schema":"mien-job-1"}';
  const job = { prompt: "\n\u001f€", parameters: { é: 1e21, b: 1.0, a: [true, null] } };
  await assert.rejects(jobSha256(job), RangeError, "no safe integer");
  job.parameters.é = 0.5;
  const expected = createHash("sha256").update(text.replace("1e+21", "0.5")).digest("hex");
  assert.equal(await jobSha256(job), expected);
  assert.notEqual(await jobSha256({ ...job, prompt: "x" }), expected);
  assert.deepEqual(jobOfRequest("post", "/v1/x?a=1", { b: 2 }).parameters, { method: "POST", path: "/v1/x?a=1", body: { b: 2 } });
});

test("what has no one spelling has no hash", () => {
  for (const value of [NaN, Infinity, 2 ** 53, "\ud800", undefined]) assert.throws(() => spelled(value));
  assert.equal(spelled({ "\ufb33": 1, "😀": 2, "1": 3, ö: 4 }), '{"1":3,"ö":4,"😀":2,"\ufb33":1}');
});

test("a proof is signed by the key that it shows, for one call and its tokens", async () => {
  const key = await ProofKey.generate(true);
  const proof = await key.prove("post", "https://mien.example/v1/x?y=1", ["b", "a", "b"], 1_700_000_000_999);
  const [head, claims] = proof.split(".", 2).map((part) => JSON.parse(Buffer.from(part, "base64url").toString()));
  assert.deepEqual([head.typ, head.alg, claims.htm, claims.htu, claims.iat], ["dpop+jwt", "ES256", "POST", "https://mien.example/v1/x", 1_700_000_000]);
  assert.equal(claims.ath, createHash("sha256").update("b a").digest("base64url"));
  assert.equal(head.jwk.d, undefined);
  const signed = Buffer.from(proof.slice(0, proof.lastIndexOf(".")));
  const signature = Buffer.from(proof.split(".")[2], "base64url");
  const shown = createPublicKey({ key: head.jwk, format: "jwk" });
  assert.ok(verify("sha256", signed, { key: shown, dsaEncoding: "ieee-p1363" }, signature));
  const again = await ProofKey.fromJwk(await key.export());
  assert.equal(await again.thumbprint(), await key.thumbprint());
  await assert.rejects(ProofKey.fromJwk(head.jwk), TypeError);
});

test("an order whose answer was lost is sent again with the key that it had, and only so", async () => {
  const { seen, settings } = service(null, [503, {}], [202, { clip_id: "clp_1" }]);
  const answer = await new Mien(settings).call("POST /v1/clips", ORDER);
  assert.equal(answer.clip_id, "clp_1");
  const keys = seen.map((one) => one.headers["Idempotency-Key"]);
  assert.equal(keys.length, 3);
  assert.ok(keys[0].length > 20);
  assert.equal(new Set(keys).size, 1);
  assert.equal(new Set(seen.map((one) => one.body)).size, 1);
});

test("without such a key a write is sent once", async () => {
  const { seen, settings } = service(null, [202, {}]);
  await assert.rejects(new Mien(settings).call("POST /v1/clips", { ...ORDER, idempotencyKey: false }), { status: 0 });
  assert.equal(seen.length, 1);
});

test("what was refused is not tried again, and nothing is for ever", async () => {
  for (const [status, code] of [[403, "gate_refused"], [409, "permit_spent"], [422, "request_invalid"], [500, "internal_error"]]) {
    const { seen, settings } = service([status, { code }], [202, {}]);
    await assert.rejects(new Mien(settings).call("POST /v1/clips", ORDER), { code, status });
    assert.equal(seen.length, 1);
  }
  const { seen, settings } = service(null, null, null, null, null, null);
  await assert.rejects(new Mien(settings).call("GET /v1/clips/{clip_id}", { path: { clip_id: "clp_1" } }), Problem);
  assert.equal(seen.length, 4);
});

test("while the first sending is worked on the second waits", async () => {
  const { seen, settings } = service(null, [409, { code: "request_in_progress" }], [202, { clip_id: "clp_1" }]);
  assert.equal((await new Mien(settings).call("POST /v1/clips", ORDER)).clip_id, "clp_1");
  assert.equal(seen.length, 3);
});

test("each sending has a proof of its own", async () => {
  const { seen, settings } = service(null, [200, { permit_id: "p", obligations: { manifest: true } }]);
  const gate = new Gate("studio", { ...settings, proofKey: await ProofKey.generate() });
  const permitted = { permitted: true, permit: "a.b.c", permitId: "p", jobSha256: "00", expiresAt: "" };
  assert.deepEqual(await gate.redeem(permitted), { manifest: true });
  assert.equal(new Set(seen.map((one) => one.headers.DPoP)).size, 2);
});

test("a path member cannot lead elsewhere", async () => {
  const { seen, settings } = service([200, {}]);
  await new Mien(settings).call("GET /v1/clips/{clip_id}", { path: { clip_id: "../keys?x#y" } });
  assert.equal(seen[0].address, "https://mien.example/v1/clips/..%2Fkeys%3Fx%23y");
  for (const clip_id of ["..", ".", "", undefined]) {
    await assert.rejects(new Mien(settings).call("GET /v1/clips/{clip_id}", { path: { clip_id } }), TypeError);
  }
});

const YES = { decision: true, context: { permit: "a.b.c", permit_id: "prm_1", expires_at: "later" } };

test("only what is plainly a yes is one", async () => {
  const ask = async (...answer) => {
    const { settings } = service(answer.length === 1 ? answer[0] : answer);
    return new Gate("studio", settings).ask({ prompt: "x" }, { purpose: "cameo", tokens: ["t"] });
  };
  const yes = await ask(200, YES);
  assert.ok(yes.permitted);
  assert.equal(yes.jobSha256, await jobSha256({ prompt: "x" }));
  for (const [status, body] of [
    [200, "yes"],
    [200, []],
    [200, null],
    [200, { ...YES, decision: "true" }],
    [200, { ...YES, decision: 1 }],
    [200, { decision: true }],
    [200, { decision: true, context: { permit_id: "prm_1" } }],
    [500, YES],
    [503, YES],
    [429, YES],
  ]) {
    const answer = await ask(status, body);
    assert.deepEqual([answer.permitted, answer.reasons[0].code], [false, "gate_unavailable"], JSON.stringify(body));
  }
  assert.equal((await ask(null)).permitted, false);
  const no = await ask(200, { decision: false, context: { reasons: [{ code: "unknown_face", face: 1 }] } });
  assert.deepEqual(no.reasons, [{ code: "unknown_face", face: 1 }]);
  await assert.rejects(ask(401, { code: "unauthenticated" }), { code: "unauthenticated" });
});
