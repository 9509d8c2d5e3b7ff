export type * from "./api.js";
export { type Answer, type Asked, GATE_UNAVAILABLE, Mien, type Operation, type Options, Problem, type Settings } from "./client.js";
export { Gate, type Permitted, type Question, type Refused, type Why } from "./gate.js";
export { type Job, type Json, jobOfRequest, jobSha256, spelled } from "./job.js";
export { ProofKey } from "./proof.js";
