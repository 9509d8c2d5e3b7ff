/**
 * The mobile flow from end to end: live check, consent, receipt, and taking it back. `fetch` and WebCrypto only: for web views,
 * React Native with a WebCrypto, browsers, and Node 22.18 or newer, which runs it as it is, with a command for a camera:
 *
 *     export APP_KEY=...      # of your server: mien keys create --role app --name my-app
 *     node run.mjs http://127.0.0.1:8000 mien simulate {out} --digits {digits} --turns {turns}
 *
 * Two parties are played here. `beginSession` is what your server does with its API key. All else is what the phone does with the
 * client token, and later the person with their manage token. The command stands for the camera: it leaves the recording in {out}.
 */

export interface Prompt {
  step: "say" | "turn" | "nod";
  text: string;
  digits?: string | null;
  turn?: "left" | "right" | null;
  nods?: number | null;
}
export interface Challenge {
  challenge_id: string;
  digits: string;
  turns: ("left" | "right")[];
  prompts: Prompt[];
  nonce: string;
  expires_at: string;
  attempts_left: number;
}
export interface SessionState {
  status: "created" | "challenged" | "judging" | "passed" | "failed" | "expired";
  reasons: string[];
  advice: { code: string; text: string; place?: number | null }[];
  attempts_left: number;
  assurance?: string | null;
  locked_until?: string | null;
}
export interface Terms {
  version: string;
  text: string;
  sha256: string;
}
export interface Given {
  consent_id: string;
  record: string;
  receipt: Record<string, unknown>;
  manage_token: string;
}
export interface Choices {
  purposes: string[];
  audience: string[];
  limits?: { max_seconds?: number; forbidden_words?: string[] };
  approval?: "always" | "never";
}
export interface ConsentState {
  state: string;
  purposes: string[];
  audience: string[];
  limits: { max_seconds: number };
}
export interface Purge {
  backend: string;
  state: string;
  due_at: string;
  seconds_left: number;
}

/** The service would not do it. `code` is stable; `status` 0 means that no answer came. */
export class Problem extends Error {
  readonly code: string;
  readonly status: number;
  readonly more: Readonly<Record<string, unknown>>;
  readonly waitMs: number;

  constructor(code: string, status: number, more: Readonly<Record<string, unknown>> = {}, waitMs = 0) {
    super(code);
    this.code = code;
    this.status = status;
    this.more = more;
    this.waitMs = waitMs;
  }
}

export interface Asked {
  body?: object;
  recording?: Blob;
  query?: Record<string, string>;
  headers?: Record<string, string>;
  /** Its `Idempotency-Key`, where the call must be gone on with after the app was restarted. */
  key?: string;
}

const TRIES = 4;
const JUDGING_MS = 120_000;
const AGAIN = new Set([0, 425, 429, 502, 503, 504]);
const pause = (ms: number) => new Promise<void>((done) => setTimeout(done, ms));

/** The service as one caller sees it: `secret` is an API key, a client token or a manage token. */
export class Mien {
  private readonly url: string;
  private readonly secret: string;

  constructor(url: string, secret: string) {
    this.url = url.replace(/\/+$/, "");
    this.secret = secret;
  }

  /**
   * One call. A write is sent again under its first `Idempotency-Key`: it is carried out once, however often it arrives.
   * Throws {@link Problem}.
   */
  async call<T>(method: "GET" | "POST" | "PUT", path: string, asked: Asked = {}): Promise<T> {
    const headers: Record<string, string> = { ...asked.headers, Authorization: `Bearer ${this.secret}` };
    if (method !== "GET") headers["Idempotency-Key"] = asked.key ?? crypto.randomUUID();
    let body: BodyInit | null = null;
    if (asked.recording !== undefined) {
      headers["Content-Type"] = asked.recording.type || "video/mp4";
      headers["Content-Digest"] = `sha-256=:${await sha256(asked.recording)}:`;
      body = asked.recording;
    } else if (asked.body !== undefined) {
      headers["Content-Type"] = "application/json";
      body = JSON.stringify(asked.body);
    }
    const query = asked.query === undefined ? "" : `?${new URLSearchParams(asked.query)}`;
    for (let number = 1; ; number += 1) {
      try {
        return await this.sent<T>(this.url + path + query, { method, headers, body });
      } catch (error) {
        if (!(error instanceof Problem) || number === TRIES || !mayPass(error)) throw error;
        await pause(Math.max(error.waitMs, 250 * 2 ** number));
      }
    }
  }

  private async sent<T>(address: string, init: RequestInit): Promise<T> {
    let answer: Response;
    let content: string;
    try {
      answer = await fetch(address, { ...init, signal: AbortSignal.timeout(60_000) });
      content = await answer.text();
    } catch {
      throw new Problem("no_answer", 0);
    }
    let said: unknown;
    try {
      said = JSON.parse(content);
    } catch {
      throw new Problem("no_answer", answer.ok ? 0 : answer.status); // of a proxy, not of the service
    }
    if (answer.ok) return said as T;
    const more = said as Record<string, unknown>;
    const waitMs = Number(answer.headers.get("Retry-After") ?? 0) * 1000;
    throw new Problem(String(more["code"] ?? "no_answer"), answer.status, more, waitMs);
  }
}

function mayPass(problem: Problem): boolean {
  if (problem.code === "request_in_progress") return true; // our own first sending is still being worked on
  return problem.code !== "locked_out" && AGAIN.has(problem.status);
}

async function sha256(recording: Blob): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", await recording.arrayBuffer());
  return btoa(String.fromCharCode(...new Uint8Array(digest)));
}

// --- your server -----------------------------------------------------------------------------------------------------

export interface Session {
  session_id: string;
  client_token: string;
  expires_at: string;
}

/** Your server, with its API key. The phone gets `session_id` and `client_token`, and nothing else. */
export function beginSession(app: Mien, subjectRef: string, deviceRef?: string, language = "en"): Promise<Session> {
  const device = deviceRef === undefined ? {} : { device_ref: deviceRef };
  const body = { subject_ref: subjectRef, language, purpose: "digital_double", ...device };
  return app.call<Session>("POST", "/v1/liveness/sessions", { body });
}

// --- the phone -------------------------------------------------------------------------------------------------------

/** Shows the prompts of a challenge and gives the recording, in the recorder's own type. */
export type Recorder = (challenge: Challenge) => Promise<Blob>;

/** What the person's phone does in one session. */
export class Phone {
  private readonly mien: Mien;
  private readonly sessionId: string;
  private readonly show: (text: string) => void;

  constructor(mien: Mien, sessionId: string, show: (text: string) => void) {
    this.mien = mien;
    this.sessionId = sessionId;
    this.show = show;
  }

  private get path(): string {
    return `/v1/liveness/sessions/${this.sessionId}`;
  }

  terms(language = "en"): Promise<Terms> {
    return this.mien.call<Terms>("GET", `/v1/terms/${language}`);
  }

  /** The person read `terms.text` and agrees to be checked. It is no consent to a double. */
  async agreeToCheck(terms: Terms): Promise<void> {
    await this.mien.call("POST", `${this.path}/check-consent`, { body: { terms_sha256: terms.sha256 } });
  }

  /** Attempts until one passes or none is left: the session as it ended. Throws {@link Problem}, for instance `locked_out`. */
  async liveCheck(record: Recorder, wish: { path?: string; extra_time?: boolean } = {}): Promise<SessionState> {
    for (;;) {
      const challenge = await this.mien.call<Challenge>("POST", `${this.path}/challenge`, { body: wish });
      try {
        await this.handIn(await record(challenge), challenge.challenge_id);
      } catch (error) {
        if (!(error instanceof Problem) || error.code !== "challenge_expired" || challenge.attempts_left === 0) throw error;
        this.show("Time ran out. Here are new digits.");
        continue;
      }
      const state = await this.verdict();
      if (state.status === "passed" || state.attempts_left === 0) return state;
      for (const advice of state.advice) this.show(advice.text); // written for the person, in the language of the session
    }
  }

  /** `key`: the challenge's id. A challenge takes one recording, so it names this upload also after a restart. */
  async handIn(recording: Blob, key: string, mirrored = false, attestation?: string): Promise<void> {
    const headers: Record<string, string> = attestation === undefined ? {} : { "Mien-Attestation": attestation };
    await this.mien.call("PUT", `${this.path}/capture`, { recording, query: { mirrored: String(mirrored) }, headers, key });
  }

  /** Asks until the recording is judged. */
  async verdict(): Promise<SessionState> {
    const until = Date.now() + JUDGING_MS;
    while (Date.now() < until) {
      const state = await this.mien.call<SessionState>("GET", this.path);
      if (state.status !== "judging") return state;
      await pause(1000);
    }
    throw new Problem("judging_timeout", 0);
  }

  /**
   * `choices`: what the person turned on; every purpose is off unless named. `receipt` and `manage_token` of the answer are the
   * person's: keep both where only they can read.
   */
  consent(terms: Terms, choices: Choices): Promise<Given> {
    const body = { session_id: this.sessionId, terms_sha256: terms.sha256, ...choices };
    return this.mien.call<Given>("POST", "/v1/consents", { body });
  }
}

// --- the person, later -----------------------------------------------------------------------------------------------

/** A consent in the hands of its person: `mien` has the manage token. */
export class Consent {
  private readonly mien: Mien;
  private readonly path: string;

  constructor(mien: Mien, consentId: string) {
    this.mien = mien;
    this.path = `/v1/consents/${consentId}`;
  }

  look(): Promise<ConsentState> {
    return this.mien.call<ConsentState>("GET", this.path);
  }

  /** What is left out stays as it is. It can only become less. */
  narrow(less: Partial<Choices>): Promise<ConsentState> {
    return this.mien.call<ConsentState>("POST", `${this.path}/narrow`, { body: less });
  }

  /** Ends it at once. Twice changes nothing. */
  revoke(): Promise<ConsentState> {
    return this.mien.call<ConsentState>("POST", `${this.path}/revoke`, { body: {} });
  }

  /** Which generators still have to confirm that they deleted what they held, and until when. */
  async purges(): Promise<Purge[]> {
    return (await this.mien.call<{ purges: Purge[] }>("GET", `${this.path}/purges`)).purges;
  }
}
