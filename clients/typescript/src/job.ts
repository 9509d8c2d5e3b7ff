/** The one spelling of a job (RFC 8785), and its hash, which permits are bound to. */

import { hex, sha256 } from "./proof.js";

export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };

/** What is to be made. `media`: SHA-256 in hex of each input's bytes, in the order in which the generator takes them. */
export interface Job {
  prompt?: string | null;
  media?: readonly string[];
  parameters?: { readonly [name: string]: Json };
}

export async function jobSha256(job: Job): Promise<string> {
  const whole = {
    schema: "mien-job-1",
    prompt: job.prompt ?? null,
    media: job.media ?? [],
    parameters: job.parameters ?? {},
  };
  return hex(await sha256(new TextEncoder().encode(spelled(whole))));
}

/** The job that an HTTP call to a generator is, where a filter in front of it holds the call against a permit. */
export function jobOfRequest(method: string, path: string, body: { readonly [name: string]: Json }): Job {
  return { parameters: { method: method.toUpperCase(), path, body } };
}

/** RFC 8785: as JSON.stringify writes numbers and texts, with members in the order of their names' UTF-16 units. */
export function spelled(value: Json): string {
  if (typeof value === "number") {
    if (!Number.isFinite(value) || (Number.isInteger(value) && !Number.isSafeInteger(value))) {
      throw new RangeError("a number that has no one spelling");
    }
    return JSON.stringify(value);
  }
  if (typeof value === "string") {
    if (!value.isWellFormed()) throw new RangeError("a text that is no Unicode");
    return JSON.stringify(value);
  }
  if (value === null || typeof value === "boolean") return JSON.stringify(value);
  if (Array.isArray(value)) return `[${value.map(spelled).join(",")}]`;
  if (typeof value !== "object") throw new TypeError(`${typeof value} is no JSON`);
  const members = value as { readonly [name: string]: Json };
  const names = Object.keys(members).sort();
  return `{${names.map((name) => `${spelled(name)}:${spelled(members[name] as Json)}`).join(",")}}`;
}
