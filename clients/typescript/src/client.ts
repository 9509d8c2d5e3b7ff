/**
 * Every call of the service, typed, with the rules for trying again.
 *
 * What may be lost is never sent twice as two: a GET is repeated, and a write only with the `Idempotency-Key` that it had the first
 * time, under which the service carries it out once and gives the same answer again. A proof of the key is made anew each time.
 */

import type { Bytes, Operations } from "./api.js";
import { base64, type ProofKey, sha256 } from "./proof.js";

export type Operation = keyof Operations;
type Part<K extends Operation, P extends string> = P extends keyof Operations[K] ? { [Q in P]: Operations[K][Q] } : object;
type Optional<K extends Operation, P extends string> = Operations[K] extends { [Q in P]?: infer T } ? { [Q in P]?: T } : object;
export type Answer<K extends Operation> = Operations[K]["answer"];

/** What a call takes, by its type; and what may be said to each. */
export type Asked<K extends Operation> = Part<K, "path"> &
  (Operations[K] extends { query: unknown } ? Part<K, "query"> : Optional<K, "query">) &
  (Operations[K] extends { body: unknown } ? Part<K, "body"> : Optional<K, "body">) &
  Options;

export interface Options {
  /** Consent tokens or the permit that the proof of the key is for. */
  tokens?: readonly string[];
  /** `false`: no key of its own; a write is then sent once, whatever happens. */
  idempotencyKey?: string | false;
  signal?: AbortSignal;
  withinMs?: number;
  headers?: Record<string, string>;
}

export interface Settings {
  /** As in `MIEN_PUBLIC_URL`: proofs are for addresses under it. */
  url: string;
  /** An API key, or a person's token. */
  key: string;
  proofKey?: ProofKey;
  /** How often a call is sent at most. */
  tries?: number;
  withinMs?: number;
  fetch?: typeof fetch;
  sleep?: (ms: number) => Promise<void>;
}

/** The service would not take a call. `status` 0: no answer came; what was asked for may have happened or not. */
export class Problem extends Error {
  override readonly name = "Problem";

  constructor(
    readonly code: string,
    readonly status: number,
    readonly more: Readonly<Record<string, unknown>> = {},
  ) {
    super(typeof more["detail"] === "string" ? `${code}: ${more["detail"]}` : code);
  }
}

export const GATE_UNAVAILABLE = "gate_unavailable";
const AGAIN = new Set([0, 425, 429, 502, 503, 504]);
const LONGEST_WAIT_MS = 20_000;

export class Mien {
  private readonly settings: Required<Omit<Settings, "proofKey">> & Pick<Settings, "proofKey">;

  constructor(settings: Settings) {
    this.settings = {
      tries: 4,
      withinMs: 30_000,
      fetch: (...asked) => fetch(...asked),
      sleep: (ms) => new Promise((done) => setTimeout(done, ms)),
      ...settings,
      url: settings.url.replace(/\/+$/, ""),
    };
  }

  /** One call, for example `call("GET /v1/clips/{clip_id}", { path: { clip_id } })`. Throws {@link Problem}. */
  async call<K extends Operation>(operation: K, asked: Asked<K>): Promise<Answer<K>> {
    const [method = "", template = ""] = operation.split(" ", 2);
    const said = asked as Options & { path?: object; query?: object; body?: unknown };
    const address = this.settings.url + filled(template, said.path ?? {});
    const headers: Record<string, string> = { ...said.headers, Authorization: `Bearer ${this.settings.key}` };
    let body: BodyInit | undefined;
    if (said.body !== undefined && isBytes(said.body)) {
      const bytes = await bytesOf(said.body);
      headers["Content-Digest"] = `sha-256=:${base64(await sha256(bytes))}:`;
      headers["Content-Type"] ??= "application/octet-stream";
      body = bytes as Uint8Array<ArrayBuffer>;
    } else if (said.body !== undefined) {
      headers["Content-Type"] = "application/json";
      body = JSON.stringify(said.body);
    }
    const reads = method === "GET";
    const key = said.idempotencyKey ?? crypto.randomUUID();
    if (!reads && key !== false) headers["Idempotency-Key"] = key;
    const most = reads || key !== false ? this.settings.tries : 1;
    for (let number = 1; ; number += 1) {
      try {
        return (await this.sent(method, address, said, headers, body)) as Answer<K>;
      } catch (error) {
        if (!(error instanceof Problem) || number >= most || said.signal?.aborted === true) throw error;
        const busy = error.code === "request_in_progress"; // the first sending of this very call
        if (!AGAIN.has(error.status) && !busy) throw error;
        const asked = Number(error.more["retry_after"] ?? 0) * 1000;
        const pause = Math.max(asked, 250 * 2 ** (number - 1) * (0.5 + Math.random() / 2));
        await this.settings.sleep(Math.min(pause, LONGEST_WAIT_MS));
      }
    }
  }

  private async sent(
    method: string,
    address: string,
    said: Options & { query?: object },
    headers: Record<string, string>,
    body: BodyInit | undefined,
  ): Promise<unknown> {
    const proved = { ...headers };
    if (this.settings.proofKey !== undefined) {
      proved["DPoP"] = await this.settings.proofKey.prove(method, address, said.tokens ?? []);
    }
    const limit = AbortSignal.timeout(said.withinMs ?? this.settings.withinMs);
    const signal = said.signal === undefined ? limit : AbortSignal.any([said.signal, limit]);
    let answer: Response;
    let content: Uint8Array;
    try {
      const whole = address + queryOf(said.query ?? {});
      answer = await this.settings.fetch(whole, { method, headers: proved, body: body ?? null, signal, redirect: "error" });
      content = new Uint8Array(await answer.arrayBuffer());
    } catch (error) {
      throw new Problem(GATE_UNAVAILABLE, 0, { detail: error instanceof Error ? error.name : "no answer" });
    }
    const kind = answer.headers.get("Content-Type")?.split(";")[0]?.trim() ?? "";
    if (!answer.ok) throw problemOf(answer, kind, content);
    if (answer.status === 204 || content.length === 0) return undefined;
    if (kind === "application/json" || kind.endsWith("+json")) return parsed(content, answer.status);
    return kind.startsWith("text/") ? new TextDecoder().decode(content) : content;
  }
}

function problemOf(answer: Response, kind: string, content: Uint8Array): Problem {
  let more: Record<string, unknown> = {};
  if (kind.endsWith("json")) {
    try {
      const said: unknown = JSON.parse(new TextDecoder().decode(content));
      if (typeof said === "object" && said !== null) more = said as Record<string, unknown>;
    } catch {
      // no problem document: the status says enough
    }
  }
  const after = answer.headers.get("Retry-After");
  if (after !== null && /^\d+$/.test(after)) more["retry_after"] = Number(after);
  return new Problem(typeof more["code"] === "string" ? more["code"] : GATE_UNAVAILABLE, answer.status, more);
}

function parsed(content: Uint8Array, status: number): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(content));
  } catch {
    throw new Problem(GATE_UNAVAILABLE, status, { detail: "not the answer of a gate" });
  }
}

function filled(template: string, path: object): string {
  return template.replace(/\{(\w+)\}/g, (_, name: string) => {
    const value = (path as Record<string, unknown>)[name];
    if (value === undefined || value === "" || value === "." || value === "..") throw new TypeError(`${name} is missing`);
    return encodeURIComponent(String(value));
  });
}

function queryOf(query: object): string {
  const said = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of Array.isArray(value) ? value : [value]) {
      if (one !== undefined && one !== null) said.append(name, String(one));
    }
  }
  return said.size > 0 ? `?${said}` : "";
}

function isBytes(body: unknown): body is Bytes {
  return body instanceof Uint8Array || body instanceof ArrayBuffer || body instanceof Blob;
}

async function bytesOf(body: Bytes): Promise<Uint8Array> {
  if (body instanceof Uint8Array) return body;
  return new Uint8Array(body instanceof Blob ? await body.arrayBuffer() : body);
}
