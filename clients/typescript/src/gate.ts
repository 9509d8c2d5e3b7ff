/**
 * The gate as a generator calls it. Whatever is not plainly a yes is a no: an error, a time-out, half an answer.
 */

import type { Bytes, Decision, GivenEmbedding, PermitRedeemed, Purpose, Reference, WorkNoted } from "./api.js";
import { GATE_UNAVAILABLE, Mien, Problem, type Settings } from "./client.js";
import { type Job, jobSha256 } from "./job.js";

export interface Why {
  code: string;
  readonly [name: string]: unknown;
}

export interface Refused {
  permitted: false;
  reasons: readonly Why[];
  attemptId?: string;
}

/** Yes, for this job, once, for a few minutes. */
export interface Permitted {
  permitted: true;
  permit: string;
  permitId: string;
  jobSha256: string;
  expiresAt: string;
  attemptId?: string;
}

export interface Question {
  purpose: Purpose;
  tokens: readonly string[];
  media?: readonly string[];
  embeddings?: readonly GivenEmbedding[];
  handles?: readonly string[];
  voices?: readonly { media_id: string; token: number | null }[];
  seconds?: number;
  script?: string;
  maker?: string;
  jobId?: string;
}

const ASK_MS = 5_000;
const MEDIA_MS = 120_000;
const MARKING_MS = 600_000; // and is written again with its marks

export class Gate {
  readonly mien: Mien;

  constructor(
    private readonly backend: string,
    settings: Settings,
  ) {
    this.mien = new Mien(settings);
  }

  /** Hand in what a job uses, or with `output` a finished clip. */
  handIn(content: Bytes, output = false) {
    return this.mien.call("POST /v1/media", { body: content, query: { output }, withinMs: MEDIA_MS });
  }

  /** May this be made? Throws {@link Problem} when the question was malformed, or this generator's key is not taken. */
  async ask(job: Job, question: Question): Promise<Permitted | Refused> {
    const { purpose, tokens, media = [], embeddings = [], handles = [], voices = [], jobId = "job", ...context } = question;
    const digest = await jobSha256(job);
    let said: Decision;
    try {
      said = await this.mien.call("POST /access/v1/evaluation", {
        body: {
          subject: { type: "backend", id: this.backend },
          action: { name: "generate" },
          resource: {
            type: "likeness",
            id: jobId,
            properties: {
              consent_tokens: [...tokens],
              media: [...media],
              embeddings: [...embeddings],
              handles: [...handles],
              voices: [...voices],
            },
          },
          context: { purpose, ...context, job: { ...job }, job_sha256: digest },
        },
        tokens,
        idempotencyKey: false, // a question that may have been answered is asked anew, by whoever wants to
        withinMs: ASK_MS,
      });
    } catch (error) {
      if (error instanceof Problem && error.status >= 400 && error.status < 500 && ![408, 425, 429].includes(error.status)) {
        throw error;
      }
      return { permitted: false, reasons: [{ code: GATE_UNAVAILABLE }] };
    }
    return answerOf(said, digest);
  }

  /** Spend a permit, right before the work; gives its obligations. Throws {@link Problem}; nothing may then be made. */
  async redeem(permit: Permitted): Promise<PermitRedeemed["obligations"]> {
    const body = { permit: permit.permit, job_sha256: permit.jobSha256 };
    const spent = await this.mien.call("POST /v1/permits/redeem", { body, tokens: [permit.permit], withinMs: ASK_MS });
    if (typeof spent?.obligations !== "object" || spent.obligations === null) throw new Problem(GATE_UNAVAILABLE, 200);
    return spent.obligations;
  }

  /** The pictures that a redeemed permit releases; each is shown to its person as given out. */
  async references(permit: Permitted): Promise<{ reference: Reference; content: Uint8Array; deleteBy: string }[]> {
    const path = { permit_id: permit.permitId };
    const listed = await this.mien.call("GET /v1/permits/{permit_id}/references", { path });
    const found = [];
    for (const reference of listed.references) {
      const content = await this.mien.call("GET /v1/permits/{permit_id}/references/{consent_id}", {
        path: { ...path, consent_id: reference.consent_id },
      });
      found.push({ reference, content, deleteBy: listed.delete_by });
    }
    return found;
  }

  /**
   * Hand the clip in. It may leave only where `release` is `true`. Throws {@link Problem}; it may then not. With `mark` it has no
   * marks yet: the gate puts label, watermark and manifest on it, and what may leave is `clip`, and nothing else.
   */
  async complete(
    permit: Permitted,
    clip: Bytes,
    { handles = [], mark = false, madeBy }: { handles?: readonly string[]; mark?: boolean; madeBy?: string } = {},
  ): Promise<WorkNoted & { clip?: Uint8Array }> {
    const taken = await this.handIn(clip, true);
    const body = {
      permit: permit.permit,
      output_sha256: taken.sha256,
      output: taken.media_id,
      handles: [...handles],
      ...(mark ? { mark, ...(madeBy === undefined ? {} : { made_by: madeBy }) } : {}),
    };
    const withinMs = mark ? MARKING_MS : MEDIA_MS;
    const noted = await this.mien.call("POST /v1/permits/complete", { body, tokens: [permit.permit], withinMs });
    const release = noted?.release === true;
    if (!release || !mark) return { ...noted, release };
    if (typeof noted.output !== "string") throw new Problem(GATE_UNAVAILABLE, 200);
    const marked = await this.mien.call("GET /v1/media/{media_id}/content", { path: { media_id: noted.output }, withinMs: MEDIA_MS });
    return { ...noted, release, clip: marked };
  }
}

function answerOf(said: Decision, digest: string): Permitted | Refused {
  const context = (said as Decision | undefined)?.context ?? {};
  const { permit, permit_id: permitId, expires_at: expiresAt, attempt_id: attemptId, reasons } = context as Record<string, unknown>;
  const attempt = typeof attemptId === "string" ? { attemptId } : {};
  if (said?.decision === true && typeof permit === "string" && typeof permitId === "string") {
    return { permitted: true, permit, permitId, jobSha256: digest, expiresAt: String(expiresAt ?? ""), ...attempt };
  }
  const told = said?.decision === false && Array.isArray(reasons) ? (reasons as Why[]) : [];
  return { permitted: false, reasons: told.length > 0 ? told : [{ code: GATE_UNAVAILABLE }], ...attempt };
}
