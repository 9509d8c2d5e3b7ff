// Generated from the service's OpenAPI document by clients/generate.py: change that, not this.

export type Bytes = Uint8Array | ArrayBuffer | Blob;

export type Advice = {
  code: string;
  text: string;
  /** which digit, turn or cue, from 1, where the code is about one of several */
  place?: number | null;
};

/** Whether each single use waits for the person's yes. */
export type ApprovalRule = "always" | "never";

export type AuthorityCourse = {
  events: AuthorityStep[];
};

export type AuthorityFileShown = {
  file_id: string;
  kind: string;
  sha256: string;
  issuer?: string | null;
  shows?: string[];
};

/** A relative objects with their own token and an empty body; the app for a relative who reached it otherwise. */
export type AuthorityObjection = {
  ref?: string | null;
  /** of somebody who is not on the list */
  relation?: Relation | null;
};

export type AuthorityReason = {
  code: string;
  text: string;
};

export type AuthorityReview = {
  approve: boolean;
  /** needed where you refuse */
  reason?: string;
  /** those you approve of */
  photographs?: string[];
  /** of the dossier you looked at */
  dossier_sha256: string;
};

export type AuthorityState = {
  case_id: string;
  stage: string;
  type: string;
  subject_state: string;
  jurisdiction: string;
  quorum_rule: string;
  purposes: string[];
  parties: PartyShown[];
  documents: AuthorityFileShown[];
  photographs: AuthorityFileShown[];
  approvals: number;
  /** open ones */
  objections: number;
  /** what a reviewer cannot approve without, and what to do */
  missing: AuthorityReason[];
  /** a review names it */
  dossier_sha256: string;
  opened_at: string;
  window_from?: string | null;
  /** until then any nearest relative ends it */
  window_to?: string | null;
  granted_at?: string | null;
  valid_to?: string | null;
  /** the end that no consent given now may outlast */
  consent_until?: string | null;
  /** given on this claim */
  consents?: ConsentOnClaim[];
  /** of the subject: never applicable here */
  liveness: string;
  assurance: string;
};

export type AuthorityStep = {
  number: number;
  at: string;
  step: string;
  stage: string;
  actor: string;
  case_sha256: string;
};

/** As whom somebody speaks. */
export type AuthorityType = "self" | "guardian" | "executor" | "heir" | "licensee" | "agent";

export type BackendKey = {
  backend: string;
  /** RFC 7638 thumbprint of the key; tokens for this backend name it in cnf */
  jkt: string;
  registered_at: string;
};

export type BlockedBackends = {
  blocked: PurgeState[];
};

export type BrowserSessionShown = {
  session_id: string;
  /** such as Firefox; empty where it is not known */
  browser: string;
  /** such as Android; empty where it is not known */
  system: string;
  began: string;
  created_at: string;
  last_seen_at: string;
  expires_at: string;
  here: boolean;
};

export type BrowserSessions = {
  sessions: BrowserSessionShown[];
};

export type CaptureTaken = {
  session_id: string;
  status: string;
};

export type ChallengeMade = {
  challenge_id: string;
  digits: string;
  turns: ("left" | "right")[];
  /** in the order in which the steps must be done */
  prompts: Prompt[];
  path?: Path;
  extra_time?: boolean;
  nonce: string;
  expires_at: string;
  attempts_left: number;
};

/** What the person chose, before anything is drawn. Nothing is assumed about why. */
export type ChallengeWish = {
  /** standard; small_turns (15 degrees, more digits); no_speech (nods in place of digits) */
  path?: Path;
  /** twice the time for everything */
  extra_time?: boolean;
  /** of the words that were shown: records the person's yes to being checked with it */
  terms_sha256?: string | null;
  /** digits in groups between the turns; always so in a live session */
  interleaved?: boolean;
};

export type CheckAgreed = {
  /** of the words that were shown: see /v1/terms/{language} */
  terms_sha256: string;
};

export type CheckRecorded = {
  /** signed consent to the check, compact JWS; no consent to a double */
  record: string;
  /** its entry in the log: HMAC-SHA256 of what was agreed, keyed with the salt */
  entry: { [name: string]: unknown };
  salt: string;
  /** when recording and templates are gone, unless a double is agreed to */
  destroy_by: string;
};

/** A checkpoint of the log as a reader remembers it. */
export type CheckpointSeen = {
  size: number;
  /** base64 */
  root: string;
};

export type ClipAccepted = {
  clip_id: string;
  state: string;
  /** of a clip that is made here; how long a script takes is estimated */
  cost?: ClipCost | null;
};

/** What a clip will take, before it is begun. */
export type ClipCost = {
  film_s: number;
  /** of one processor core; measured on a small machine, so rather too much */
  work_s: number;
  /** at most, in the worker */
  memory_mb: number;
};

/** What an order would meet and take. Asking changes nothing and holds nothing. */
export type ClipEstimate = {
  /** what the gate says now; it is asked again when a clip is ordered */
  decision: boolean;
  reasons: ({ [name: string]: unknown })[];
  /** null: made by a vendor, or what was handed in cannot be read */
  cost: ClipCost | null;
};

export type ClipIdentified = {
  /** a released clip was found that this is a copy of */
  known: boolean;
  /** known, or a manifest or a watermark of this service is on it */
  made_here: boolean;
  /** more than one where clips look alike and nothing surer is left */
  matches: ClipMatch[];
  marks: ClipMarks;
};

/** What the manifest in a finished clip says, read from the file itself, and what became of the consents since. */
export type ClipManifestShown = {
  /** trusted: whole, unchanged and signed by this service */
  manifest: "trusted" | "valid" | "invalid" | "none";
  /** organisation named in the signing certificate */
  issuer: string;
  /** name and version of what made the pictures */
  producer: string;
  /** made in a film that was there before, which the manifest names */
  edited: boolean;
  /** how many people's consents it was made under */
  people: number;
  /** which; of a person who asks, their own only */
  consents: string[];
  /** how they stand now, the worst of them */
  consent: "valid" | "expired" | "suspended" | "revoked" | "nobody";
  purpose: string;
  backend: string;
  assurance: string;
  /** when the gate permitted it */
  permitted_at: string | null;
  /** pictures and recordings of people that it was made from; named by digest only */
  inputs: number;
  /** what the visible label says */
  label: string;
  watermarked: boolean;
  /** the metadata key of GB 45438-2025 is in the file */
  aigc: boolean;
  /** it says that nothing may be trained on it */
  training_refused: boolean;
  sha256: string;
};

/** The marks that the copy itself still carries. */
export type ClipMarks = {
  manifest: "trusted" | "valid" | "invalid" | "none";
  /** the metadata key of GB 45438-2025 */
  aigc: boolean;
  watermark: boolean;
};

export type ClipMatch = {
  /** the worst of all people shown; expired: the term ended by itself, clips made before it stay; nobody: nobody is in it */
  consent: "valid" | "expired" | "suspended" | "revoked" | "nobody";
  /** when the gate permitted the clip */
  issued_at: string;
  released_at: string;
  /** what the visible label says */
  label: string;
  /** a number was put into its pictures; what another's generator made has none, and is known by its file, its manifest and its look */
  watermarked: boolean;
  /** how it was recognised; watermark without look: the mark may have been pasted onto other pictures */
  evidence: ("file" | "manifest" | "watermark" | "look")[];
};

/** A clip in the list of the app that ordered it. */
export type ClipOfApp = {
  clip_id: string;
  kind: string;
  backend: string;
  state: "queued" | "running" | "done" | "failed" | "cancelled" | "withdrawn";
  /** 0..1 */
  progress: number;
  /** why it failed */
  code?: string | null;
  reasons: ({ [name: string]: unknown })[];
  sha256?: string | null;
  duration_ms?: number | null;
  /** when it ends as failed if it is not done */
  deadline_at?: string | null;
  purpose: string;
  /** of the people in it */
  consents: string[];
  created_at: string;
  finished_at: string | null;
};

/** What has become of the consent behind a clip. */
export type ClipStanding = {
  /** the worst of all people shown; expired: the term ended by itself, clips made before it stay; nobody: nobody is in it */
  consent: "valid" | "expired" | "suspended" | "revoked" | "nobody";
  /** when the gate permitted the clip */
  issued_at: string;
  released_at: string;
  /** what the visible label says */
  label: string;
  /** a number was put into its pictures; what another's generator made has none, and is known by its file, its manifest and its look */
  watermarked: boolean;
};

export type ClipState = {
  clip_id: string;
  kind: string;
  backend: string;
  state: "queued" | "running" | "done" | "failed" | "cancelled" | "withdrawn";
  /** 0..1 */
  progress: number;
  /** why it failed */
  code?: string | null;
  reasons: ({ [name: string]: unknown })[];
  sha256?: string | null;
  duration_ms?: number | null;
  /** when it ends as failed if it is not done */
  deadline_at?: string | null;
};

/** A page, latest first. `next`: pass it as `cursor` for the page after. */
export type ClipsOfApp = {
  results: ClipOfApp[];
  next: string | null;
};

export type ConsentGiven = {
  consent_id: string;
  /** signed record, compact JWS */
  record: string;
  /** proves that the record is in the log; checkable offline */
  receipt: { [name: string]: unknown };
  /** for the person: to look at, narrow and revoke this consent; shown this once */
  manage_token: string;
};

/** A consent as the app that it was given through finds it again. Its own address says all of it. */
export type ConsentOfApp = {
  consent_id: string;
  /** the person's pseudonym with you, as in webhooks; a maker's id where they ask */
  subject_id: string;
  /** of the live check that it stands on */
  session_id: string;
  /** as it stands now; only valid allows a use */
  state: "valid" | "expired" | "suspended" | "revoked";
  purposes: string[];
  audience: string[];
  limits: LimitsGiven;
  makers?: string[];
  approval?: ApprovalRule;
  /** given on the person's behalf */
  for_another?: boolean;
  granted_at: string;
  expires_at: string;
  assurance: string;
};

export type ConsentOnClaim = {
  consent_id: string;
  /** the representative, by their pseudonym */
  given_by: string;
  state: string;
  purposes: string[];
  audience: string[];
  expires_at: string;
};

export type ConsentState = {
  consent_id: string;
  state: string;
  purposes: string[];
  audience: string[];
  limits: LimitsGiven;
  makers?: string[];
  approval?: ApprovalRule;
  expires_at: string;
  /** when picture and templates are gone at the latest */
  destroy_by?: string | null;
  suspended_by?: string[];
  assurance: string;
  record: string;
  receipt: { [name: string]: unknown };
};

/** A page, latest first. `next`: pass it as `cursor` for the page after. */
export type ConsentsOfApp = {
  results: ConsentOfApp[];
  next: string | null;
};

/** Hashes in base64, as in checkpoints. */
export type ConsistencyShown = {
  first: number;
  second: number;
  first_root: string;
  second_root: string;
  proof: string[];
};

/** Kinds of content that people who lend their face ask to be kept out of, or to be kept to. */
export type ContentCategory = "politics" | "religion" | "adult" | "violence" | "medical" | "finance" | "alcohol_tobacco_gambling" | "minors_audience" | "satire" | "profanity" | "news" | "weapons" | "drugs" | "hate" | "crime" | "romance" | "social_issues";

export type CosignaturesTaken = {
  /** names of the witnesses whose cosignatures are kept */
  witnesses: string[];
};

export type Decision = {
  decision: boolean;
  context: { [name: string]: unknown };
};

export type Decisions = {
  evaluations: Decision[];
};

/** Whose voice a sound is: of the person of the token at this place, or nobody's. */
export type DeclaredVoice = {
  media_id: string;
  /** place among consent_tokens; null: music, noise, or a voice that is no person's */
  token?: number | null;
};

export type Deliveries = {
  deliveries: DeliveryState[];
};

export type DeliveryState = {
  /** the webhook-id of the message */
  delivery_id: string;
  event: string;
  state: "waiting" | "delivered" | "dead";
  tries: number;
  /** why the last try failed */
  code?: string | null;
  created_at: string;
  next_at?: string | null;
};

export type DirectiveGiven = {
  wish: Wish;
  /** allow: these and no others; forbid: none means all */
  purposes?: Purpose[];
  /** unset: for good */
  until?: string | null;
  language?: "en" | "zh";
};

export type DirectiveShown = {
  wish: string;
  purposes: string[];
  until: string | null;
  at: string;
};

/** What a claim is shown with. */
export type DocumentKind = "death_certificate" | "declaration_of_death" | "birth_certificate" | "marriage_certificate" | "family_register" | "certificate_of_inheritance" | "will" | "letters_of_administration" | "licence" | "court_order" | "power_of_attorney" | "passport";

export type DoubleAnswer = {
  /** refused: final for this session, and its data is erased */
  answer: "deferred" | "refused";
};

export type DoubleAnswered = {
  state: "deferred" | "refused";
  entry: { [name: string]: unknown };
};

/** A use to try. `purpose` or `backend` unset: each of them. What is left out of the rest is not stated. */
export type DryRun = {
  purpose?: Purpose | null;
  backend?: string | null;
  seconds?: number | null;
  script?: string | null;
  /** who asks; the person's own pseudonym for the person */
  maker?: string | null;
  categories?: ContentCategory[] | null;
  territories?: string[] | null;
  /** of a job that was approved or refused before */
  job_sha256?: string | null;
};

export type DryRunCase = {
  purpose: Purpose;
  backend: string;
  allowed: boolean;
  /** codes, as the gate gives them; approval_needed alone: the person is asked first */
  reasons: string[];
};

export type DryRunResult = {
  cases: DryRunCase[];
};

/** What was deleted, and what was kept, why, and until when. */
export type Erasure = {
  deleted: { [name: string]: number };
  kept: ({ [name: string]: string })[];
};

export type Evaluation = {
  subject: GateSubject;
  action: GateAction;
  resource: GateResource;
  context?: GateContext | null;
};

/** Batch: `evaluations` are objects as for a single one; what is left out of one is taken from the top level. Without any, the top level is the one question, and is answered as such. */
export type Evaluations = {
  subject?: { [name: string]: unknown } | null;
  action?: { [name: string]: unknown } | null;
  resource?: { [name: string]: unknown } | null;
  context?: { [name: string]: unknown } | null;
  evaluations?: ({ [name: string]: unknown })[];
  options?: { [name: string]: unknown } | null;
};

/** What can be listened for. */
export type Event = "consent.granted" | "consent.narrowed" | "consent.suspended" | "consent.resumed" | "consent.renewed" | "consent.revoked" | "consent.expired" | "asset.purge_required" | "purge.confirmed" | "clip.withdrawn" | "clip.done" | "clip.failed" | "look_alike.noticed";

export type Excuse = {
  reason: string;
};

export type Excused = {
  backend: string;
  /** overdue demands that no longer block; they still have to be confirmed */
  excused: number;
};

export type FaceBox = {
  x: number;
  y: number;
  width: number;
  height: number;
};

export type FaceFound = {
  face_id: string;
  /** pixels of the upright picture, or of the picture at at_ms */
  box: FaceBox;
  /** of a video: milliseconds from its first picture */
  at_ms?: number | null;
  /** unjudged: a face is there and could not be measured */
  quality: "good" | "unjudged";
};

export type GateAction = {
  /** generate */
  name: string;
  properties?: { [name: string]: unknown };
};

/** `attempts = permits + refusals + errors`, but for the `waiting` ones that are being answered right now. */
export type GateBalance = {
  attempts: number;
  permits: number;
  refusals: number;
  errors: number;
  waiting: number;
  /** without an outcome for longer than any answer takes; closed as errors by the worker */
  overdue: number;
  /** permits that should not exist */
  fail_open: number;
  /** permits that were not looked at again yet */
  unchecked: number;
  /** seconds that the oldest of what was asked or answered waits to be put into the log; over 60 is a fault */
  unlogged_s: number;
  holds: boolean;
  refused_because: { [name: string]: number };
  /** row by row, when asked for; it must equal the above */
  recount?: { [name: string]: number } | null;
};

export type GateContext = {
  purpose: Purpose;
  /** {prompt, media, parameters}: what is to be made; the gate looks into it, and hashes it */
  job?: { [name: string]: unknown } | null;
  /** its hash (RFC 8785, SHA-256), where the job itself is not shown */
  job_sha256?: string | null;
  seconds?: number | null;
  /** words to be spoken or shown; held against the words that a person forbade, and not kept */
  script?: string | null;
  /** who asks for the clip; answerable for what is stated here */
  maker?: string | null;
  /** what it is about; []: none of them */
  categories?: ContentCategory[] | null;
  /** where it will be published */
  territories?: string[] | null;
};

export type GateResource = {
  /** likeness */
  type: string;
  id: string;
  properties?: LikenessClaim;
};

export type GateSubject = {
  /** backend */
  type: string;
  /** the backend's own name */
  id: string;
  properties?: { [name: string]: unknown };
};

export type GivenEmbedding = {
  contract_id: string;
  vector: number[];
};

/** Hashes in base64, as in checkpoints; the proof from the leaf's sibling upwards. */
export type InclusionShown = {
  index: number;
  size: number;
  leaf_hash: string;
  root: string;
  proof: string[];
};

/** Languages a challenge can be spoken in (BCP 47). */
export type Language = "en" | "zh" | "ko";

/** What goes into the work. A member that is not known here may be an input that nobody looked at: it is refused, with `input_unseen`. */
export type LikenessClaim = {
  consent_tokens?: string[];
  /** handed in with POST /v1/media; every face counts */
  media?: string[];
  embeddings?: GivenEmbedding[];
  /** assets, elements, earlier generations: known if handed in with an earlier clip */
  handles?: string[];
  /** one for each sound among media */
  voices?: DeclaredVoice[];
  [name: string]: unknown;
};

export type LimitsGiven = {
  /** longest clip, seconds */
  max_seconds?: number;
  forbidden_words?: string[];
  /** how many permits may be redeemed in all */
  uses?: number | null;
  /** what no clip may be about */
  forbidden_categories?: ContentCategory[];
  /** what alone clips may be about; unset: anything */
  allowed_categories?: ContentCategory[] | null;
  /** ISO 3166 codes of where clips may be published; ["*"]: the world */
  territories?: string[];
};

/** A page, latest first. `next`: pass it as `cursor` for the page after. */
export type Listed = {
  results: ({ [name: string]: unknown })[];
  next: string | null;
};

export type LogEntries = {
  entries: ({ [name: string]: unknown })[];
  /** index to go on from; none at the end */
  next: number | null;
};

/** `available`: whether people can be told here, or why not. `agreed`: the yes that holds now. `results`: what the person was told; `next`: pass it as `cursor` for the page after. */
export type LookAlikes = {
  /** on, off, not_prepared or other_dimension */
  available: string;
  agreed: LookAlikesSaid | null;
  results: ({ [name: string]: unknown })[];
  next: string | null;
};

export type LookAlikesAgreed = {
  /** of the words that were shown: /v1/terms/{language}?for=look_alikes */
  terms_sha256: string;
};

/** What the person said of look-alikes: a signed record, for them to keep, and its entry in the log. */
export type LookAlikesSaid = {
  /** look_alikes.given or look_alikes.withdrawn */
  said: string;
  at: string;
  /** compact JWS */
  record: string;
  entry: { [name: string]: unknown };
  /** with it, the entry's digest can be made of the record */
  salt: string | null;
};

export type MediaAddress = {
  url: string;
  /** what must come; unset: whatever comes */
  sha256?: string | null;
};

export type MediaTaken = {
  media_id: string;
  kind: "picture" | "video" | "sound" | "output";
  sha256: string;
  faces: FaceFound[];
  expires_at: string;
};

/** What a clip is made from. text_to_video the prompt alone; invents people, shows nobody. first_frame a picture that the clip begins with. first_last_frame one that it begins with and one that it ends with. keyframes three or more, in order. reference pictures, videos or sounds of who and what is to be in it. speech_to_video a picture of somebody, who says what is heard in a recording. performance a picture of somebody, who moves as another person does in a video: two likenesses. edit, extend a video that is changed, or goes on. image no clip: a picture to be a frame of one. */
export type Mode = "text_to_video" | "first_frame" | "first_last_frame" | "keyframes" | "reference" | "speech_to_video" | "performance" | "edit" | "extend" | "image";

/** What is left out stays as it is, also within `limits`. */
export type Narrowing = {
  purposes?: Purpose[] | null;
  audience?: string[] | null;
  limits?: LimitsGiven | null;
  makers?: string[] | null;
  approval?: ApprovalRule | null;
  expires_at?: string | null;
};

export type NewAuthority = {
  subject_ref: string;
  type: AuthorityType;
  subject_state: SubjectState;
  jurisdiction: string;
  quorum_rule: QuorumRule;
  /** what everybody signs for; none for an agent */
  purposes?: Purpose[];
  /** everyone with a say, signing or not */
  parties: PartyGiven[];
  /** of a minor */
  born?: string | null;
  /** of someone who has died */
  died?: string | null;
  /** 14 to 180 */
  objection_days?: number;
  /** of the reasons in the answer */
  language?: "en" | "zh";
};

/** The key of the `DPoP` header is registered; to change one that is registered already, prove the new one here. */
export type NewBackendKey = {
  /** a proof for this same call, by the new key */
  next_proof?: string | null;
};

/** A live check that the person begins themself. */
export type NewCheck = {
  /** in which the digits are spoken */
  language: Language;
};

export type NewClip = {
  kind?: "portrait" | "story" | "cameo" | "remote";
  /** the local generator of that kind, by the same name; remote: a vendor's */
  backend?: string;
  /** for kind remote, and only for it */
  remote?: RemoteWish | null;
  tokens?: string[];
  /** portrait: photographs to move, or none for the portrait of the live check; of several people, one that shows all of them; story: 2 to 10 photographs, in order; cameo: one film; remote: what the mode takes, or none for portraits */
  media?: string[];
  /** story: one from each photograph to the next */
  shots?: NewShot[];
  /** story: media id of a recording to play under it */
  music?: string | null;
  /** cameo: the consent of the person whose face goes into the film */
  face_of?: string | null;
  script?: string | null;
  /** portrait: what is said in turn, instead of a script; several people say a script together */
  lines?: NewLine[];
  /** media id of a recording to speak with, instead of a script; story: to hear */
  sound?: string | null;
  /** remote: whose voice the recording in sound is */
  voices?: DeclaredVoice[];
  purpose?: Purpose;
  language?: Language;
  /** unset: as long as the people involved allow */
  max_seconds?: number | null;
  /** who asks for the clip */
  maker?: string | null;
  /** what it is about; []: none of them */
  categories?: ContentCategory[] | null;
  /** where it will be published */
  territories?: string[] | null;
  width?: number;
  height?: number;
  /** low: when nothing else waits */
  priority?: "low" | "normal";
  /** seconds from now after which it is of no use: what is not done ends with the code deadline; unset: as the operator chose */
  deadline_s?: number | null;
};

export type NewConsent = {
  session_id: string;
  /** of the words that were shown: see /v1/terms/{language} */
  terms_sha256: string;
  purposes: Purpose[];
  /** names of backends; ["*"] for every one */
  audience: string[];
  limits?: LimitsGiven;
  /** who may ask: ["*"] for everyone, or ids; "self" for the person */
  makers?: string[];
  /** always: each use waits for the person's yes */
  approval?: ApprovalRule;
  /** unset: a year from now */
  expires_at?: string | null;
};

export type NewConsentForAnother = {
  /** of the words that were shown: see /v1/terms/{language}?for=representative */
  terms_sha256: string;
  purposes: Purpose[];
  /** names of backends; ["*"] for every one */
  audience: string[];
  limits?: LimitsGiven;
  /** unset: only who gives it, by their own pseudonym */
  makers?: string[] | null;
  /** always: each use waits for a yes */
  approval?: ApprovalRule;
  /** unset: a year from now, or when the claim lets it end */
  expires_at?: string | null;
};

export type NewHold = {
  until: string;
  reason: string;
  ticket: string;
};

export type NewLine = {
  text: string;
  /** of the person who says it */
  consent?: string | null;
  /** all together; instead of consent */
  everyone?: boolean;
};

/** Who asks, and why, is shown to the people in the media. */
export type NewOpening = {
  /** a consent (its portrait), live check (its recording), clip, or handed-in media */
  object: string;
  reason: string;
  /** where this is asked for outside of the service */
  ticket: string;
};

export type NewSession = {
  /** your own name for the person; kept only as a keyed digest */
  subject_ref: string;
  language: Language;
  purpose: Purpose;
  /** strict or simulated; unset: the service's own */
  policy?: string | null;
  /** your own name for the device; failures are counted per person and per device. Kept as a keyed digest */
  device_ref?: string | null;
};

/** The way from one photograph of a story to the next. */
export type NewShot = {
  seconds: number;
  caption?: string;
};

export type NewToken = {
  audience: string;
  purpose: Purpose;
  ttl_s?: number;
};

export type NewVerification = {
  /** what you remember of the log; unset: its checkpoint before */
  seen?: CheckpointSeen | null;
  /** read every entry as well, which takes long where there are many */
  whole_log?: boolean;
};

export type Opening = {
  opening_id: string;
  object: string;
  state: "requested" | "open" | "ended";
  reason: string;
  ticket: string;
  requested_by: string;
  requested_at: string;
  approved_by: string | null;
  approved_at: string | null;
  ends_at: string | null;
  views: number;
  held_until: string | null;
};

export type PartyGiven = {
  /** your own name for them; their own live checks run under it */
  ref: string;
  relation: Relation;
  /** exact, in lowest terms, where shares decide: 1/3 */
  share?: string | null;
};

export type PartyShown = {
  party_id: string;
  relation: string;
  share: string | null;
  signed: boolean;
  /** whose token this is */
  you?: boolean;
};

export type PasskeyMade = {
  /** as `PublicKeyCredential.toJSON` gives it */
  credential: { [name: string]: unknown };
  /** your own name for it */
  name: string;
};

export type PasskeyOptions = {
  /** as `PublicKeyCredential.parse...OptionsFromJSON` takes it */
  public_key: { [name: string]: unknown };
};

export type PasskeyShown = {
  passkey_id: string;
  name: string;
  created_at: string;
  last_used_at: string | null;
  /** kept by the maker of the device, so that it is on the person's other devices too */
  synced: boolean;
  /** this browser was signed in with it */
  here: boolean;
};

export type PasskeyUsed = {
  /** as `PublicKeyCredential.toJSON` gives it */
  credential: { [name: string]: unknown };
};

export type PasskeyWish = {
  /** of the name that the person's device shows beside it */
  language?: "en" | "zh";
};

export type PasskeysShown = {
  passkeys: PasskeyShown[];
};

/** What a person chose to be asked for, before the challenge is drawn. The record says which. standard digits aloud and turns of 25 degrees. small_turns turns of 15 degrees and two more digits, for a stiff neck. no_speech nods in place of digits: nothing is said or heard. */
export type Path = "standard" | "small_turns" | "no_speech";

export type PermitRedeemed = {
  permit_id: string;
  redeemed_at: string;
  obligations: { [name: string]: unknown };
};

export type PermitShown = {
  permit: string;
  job_sha256: string;
};

/** Where a person stands at the vendor's. invited they have a link to its live check. verified it saw them, and has no picture yet. kept their picture is there and is being looked at. ready orders may name it. refused it says that the picture is not of them. forgotten nothing of them is there any more. */
export type PersonState = "invited" | "verified" | "kept" | "ready" | "refused" | "forgotten";

/** RFC 9457 problem. */
export type ProblemBody = {
  type: string;
  title: string;
  status: number;
  code: string;
  detail?: string | null;
};

export type Prompt = {
  step: "say" | "turn" | "nod";
  text: string;
  digits?: string | null;
  turn?: "left" | "right" | null;
  nods?: number | null;
};

export type PurgeAsked = {
  purge: PurgeState;
  /** what the backend worked under, latest first */
  permits: string[];
};

export type PurgeConfirmed = {
  purge_id: string;
  confirmed_at: string;
  /** JWS */
  receipt: string;
};

export type PurgeState = {
  purge_id: string;
  consent_id: string;
  backend: string;
  reason: "revoked" | "expired" | "narrowed";
  /** retained: a vendor that has no call to delete keeps it under its own terms; lapsed: and the time is over that it says it does */
  state: "required" | "late" | "overdue" | "excused" | "confirmed" | "retained" | "lapsed";
  required_at: string;
  /** aim: confirmed by then */
  target_at: string;
  /** limit: the backend is refused from then on */
  due_at: string;
  /** until the limit; 0 once confirmed or retained */
  seconds_left: number;
  confirmed_at?: string | null;
  /** until when a vendor keeps it by its own documents; unset: they do not say */
  retained_until?: string | null;
  /** JWS: what the backend stated */
  receipt?: string | null;
};

export type PurgeStatement = {
  assets_deleted: number;
  at: string;
  signature?: string | null;
};

export type Purges = {
  purges: PurgeState[];
};

/** What a likeness may be used for. Each is off until the person turns it on. cameo short, light clips of a few seconds. digital_double longer clips in which the double speaks or acts. voice a made voice that sounds like the person. advertising promoting goods, services or causes. training improving or making models. */
export type Purpose = "cameo" | "digital_double" | "voice" | "advertising" | "training";

/** How many must have signed. all_first_rank every known relative of the nearest rank that there is. majority_of_shares holders of more than half; all shares must be known and add up to one. sole the one executor, guardian or agent that the documents name. */
export type QuorumRule = "all_first_rank" | "majority_of_shares" | "sole";

/** Whom a text is for. subject the person whose likeness it is. representative who agrees on behalf of somebody who cannot, on a granted claim. look_alikes the person once more: a yes of its own to being told of faces like theirs (:mod:`consent.look_alikes`). */
export type Reader = "subject" | "representative" | "look_alikes";

/** A picture of somebody that this permit releases. Not there, when it was destroyed. */
export type Reference = {
  consent_id: string;
  subject_id: string;
  kind: "portrait";
  /** GET it with a proof of the permit's key */
  href: string;
};

export type References = {
  permit_id: string;
  /** until then they can be fetched */
  expires_at: string;
  /** by then they must be gone from the backend */
  delete_by: string;
  references: Reference[];
};

/** What a party is to the subject. Ranks of relatives as in art. 1127 of China's Civil Code, which PIPL art. 49 and California Civ. 3344.1 come close to: spouse, children, parents; then siblings, grandparents, grandchildren. */
export type Relation = "spouse" | "child" | "parent" | "sibling" | "grandparent" | "grandchild" | "appointed";

/** A vendor's generator. `ready`: the operator has an account there. */
export type RemoteBackendShown = {
  backend: string;
  title: string;
  /** live, local (made on this machine), retired, or no_api: the vendor offers no interface that one may use */
  standing: string;
  /** why it cannot be ordered from; of a local one what it lacks here */
  why: string;
  ready: boolean;
  /** month in which the vendor's documents were last read */
  checked: string;
  models: RemoteModelShown[];
};

export type RemoteBackends = {
  backends: RemoteBackendShown[];
};

/** What one model of a vendor makes. */
export type RemoteModelShown = {
  name: string;
  modes: Mode[];
  seconds: number[];
  ratios: string[];
  resolutions: string[];
  references: number;
  sound: string;
  /** verified: the vendor takes real people only after its own check of them */
  real_people: string;
};

/** How a vendor's generator is to make it. */
export type RemoteWish = {
  /** by the name of `GET /v1/clips/backends` */
  model: string;
  mode: Mode;
  prompt?: string;
  seconds: number;
  ratio?: string | null;
  resolution?: string | null;
  seed?: number | null;
  sound?: boolean;
  /** keyframes: of each way from a frame to the next; a story: of each frame to be made */
  prompts?: string[];
};

/** A new live check of the same person, and what of the consent goes on; `expires_at` unset: a year from now. */
export type Renewal = {
  purposes?: Purpose[] | null;
  audience?: string[] | null;
  limits?: LimitsGiven | null;
  makers?: string[] | null;
  approval?: ApprovalRule | null;
  expires_at?: string | null;
  /** of the new live check */
  session_id: string;
  terms_sha256: string;
};

/** `of`: whose suspension ends; unset: one's own. */
export type Resumption = {
  on_behalf_of?: "controller" | "authority" | "review" | null;
  of?: "subject" | "representative" | "app" | "controller" | "authority" | "review" | null;
};

/** What a search looks through. */
export type SearchKind = "record" | "attempt" | "event";

/** A search under a name: the parameters of `GET /v1/audit/search`. */
export type SearchSaved = {
  query: { [name: string]: unknown };
};

export type SessionMade = {
  session_id: string;
  /** for the person's phone; shown this once */
  client_token: string;
  /** the page that does all of it with the person; it holds the token: show it to nobody else */
  verify_url: string;
  expires_at: string;
  policy: string;
};

export type SessionState = {
  session_id: string;
  status: "created" | "challenged" | "judging" | "passed" | "failed" | "expired";
  /** codes, in the order of the checks */
  reasons: string[];
  /** what the person can do about each, in the language of the session */
  advice: Advice[];
  attempts_left: number;
  expires_at: string;
  /** of a passed session */
  assurance?: string | null;
  /** the path of the current challenge */
  path?: string | null;
  /** what the person said to a double, if they did */
  answer?: "given" | "refused" | "deferred" | null;
  /** after too many failures: when the next attempt may begin */
  locked_until?: string | null;
  /** values and limits; for auditors only */
  verdicts?: ({ [name: string]: unknown })[] | null;
};

export type SignInShown = {
  session_id: string;
  kind: "person" | "staff";
  began: "passkey" | "token" | "live_check" | "key" | "start_code";
  /** of who works here: without a passkey, which only an app's key gets anywhere with */
  weak: boolean;
  /** of the API key, for who works here */
  role: string | null;
  /** of the API key */
  name: string | null;
  /** a person's own, the latest first; `Mien-Consent` names one of them */
  consents: string[];
  passkey_id: string | null;
  expires_at: string;
};

export type SignInWithCode = {
  code: string;
};

export type SignInWithKey = {
  key: string;
};

export type SignInWithToken = {
  token: string;
};

/** Nothing for the person and the app; an admin says on whose behalf. */
export type Stop = {
  on_behalf_of?: "controller" | "authority" | "review" | null;
};

/** How it is with the person whose likeness it is. */
export type SubjectState = "living_adult" | "minor" | "incapacitated" | "deceased";

export type TermsShown = {
  version: string;
  language: string;
  /** whom these words are for */
  reader: Reader;
  text: string;
  sha256: string;
};

export type TokenMade = {
  token: string;
  expires_at: string;
};

/** A use that waits, or waited, for the person's own yes. */
export type UseRequest = {
  request_id: string;
  state: "requested" | "approved" | "refused";
  backend: string;
  purpose: Purpose;
  job_sha256: string;
  requested_at: string;
  expires_at: string;
  used: boolean;
  /** what it would say, how long, about what, where, for whom */
  details: { [name: string]: unknown };
};

export type UseRequests = {
  requests: UseRequest[];
};

export type VendorPeople = {
  people: VendorPerson[];
};

/** Where a person stands at a vendor that verifies people for itself. */
export type VendorPerson = {
  backend: string;
  /** ready: orders may show them; refused: the picture is not of whom the vendor saw */
  state: PersonState;
  invited_at: string;
  /** to the vendor's live check, for the person alone; only once */
  link?: string | null;
  link_expires_at?: string | null;
  /** when the vendor had deleted everything of theirs */
  forgotten_at?: string | null;
};

export type VerificationShown = {
  consent_id: string;
  at: string;
  /** no step fails */
  holds: boolean;
  steps: VerificationStep[];
  /** remember it, and send it as `seen` the next time */
  now: CheckpointSeen | null;
};

export type VerificationStep = {
  name: "signature" | "entries" | "inclusion" | "consistency" | "status_list" | "log";
  outcome: "holds" | "fails" | "not_possible";
  why: string | null;
  /** what was compared */
  values: { [name: string]: unknown };
};

export type WebhookState = {
  webhook_id: string;
  url: string;
  events: Event[];
  /** whpk_: verifies the v1a signatures */
  public_key: string;
  /** whsec_: verifies the v1 signatures; shown once, when it is made */
  secret?: string | null;
  /** why nothing is sent any more */
  disabled?: string | null;
  latest?: DeliveryState[];
};

export type WebhookWanted = {
  url: string;
  events: Event[];
};

/** allow : these purposes and no others, until then if an end is set and never after it. forbid : these purposes, or all if none is named, until then if an end is set and else for good. */
export type Wish = "allow" | "forbid";

export type WorkDone = {
  permit: string;
  output_sha256: string;
  /** the clip itself, handed in with POST /v1/media?output=true */
  output?: string | null;
  /** what you call this clip, or what came of it, in later jobs of yours */
  handles?: string[];
  /** the clip is raw: it gets label, watermark and manifest here, and what may leave is what comes back */
  mark?: boolean;
  /** `name@version` of the generator, for the manifest; unset: the backend's name */
  made_by?: string | null;
};

export type WorkNoted = {
  permit_id: string;
  completed_at: string;
  /** whether the output may leave the backend */
  release: boolean;
  /** why it may not: that a consent ended, or the first of reasons */
  code?: string | null;
  /** what the check of the output found */
  reasons?: ({ [name: string]: unknown })[];
  /** with mark: the marked clip, at `GET /v1/media/{output}/content` */
  output?: string | null;
  /** of the file that may leave */
  output_sha256: string;
  /** copies of it are known at POST /v1/clips/identify; without a watermark, unless it was marked here */
  registered?: boolean;
};

/** Every call, by method and path. */
export interface Operations {
  /** Where the gate is (OpenID AuthZEN Authorization API 1.0, metadata). There is no search: nobody may ask who would be allowed what. */
  "GET /.well-known/authzen-configuration": {
    answer: unknown;
  };
  /** Public keys of records, checkpoints, tokens and permits. */
  "GET /.well-known/jwks.json": {
    answer: unknown;
  };
  /** May this backend make this, with these faces, now? A `DPoP` header proves its key, for all tokens in the question. */
  "POST /access/v1/evaluation": {
    body: Evaluation;
    answer: Decision;
  };
  /** Several questions at once. What is left out of one is taken from the top level. One `DPoP` header is for them all. A question that cannot be read is answered with no, in its place; the others are answered all the same. */
  "POST /access/v1/evaluations": {
    body: Evaluations;
    answer: Decisions | Decision;
  };
  /** This process answers. */
  "GET /healthz": {
    answer: { [name: string]: string };
  };
  /** Counts in the Prometheus text format (0.0.4). No names, no ids. */
  "GET /metrics": {
    answer: unknown;
  };
  /** Everything that a request needs is there. */
  "GET /readyz": {
    answer: { [name: string]: unknown };
  };
  /** Questions to the gate with their outcomes, latest first. `/search` finds them by more, and in pages. */
  "GET /v1/audit/attempts": {
    query?: { backend?: string | null; decision?: boolean | null; consent_id?: string | null; before?: string | null; limit?: number };
    answer: { [name: string]: unknown };
  };
  /** The gate's books. `recount`: count row by row as well, which takes long. */
  "GET /v1/audit/balance": {
    query?: { recount?: boolean };
    answer: GateBalance;
  };
  /** Consents, latest first. */
  "GET /v1/audit/consents": {
    query?: { subject_id?: string | null; before?: string | null; limit?: number };
    answer: { [name: string]: unknown };
  };
  /** A consent: its signed record and what happened to it, each with its entry in the log. */
  "GET /v1/audit/consents/{consent_id}": {
    path: { consent_id: string };
    answer: { [name: string]: unknown };
  };
  /** Hold a record against all that vouches for it, now, step by step. */
  "POST /v1/audit/consents/{consent_id}/verify": {
    path: { consent_id: string };
    body: NewVerification;
    answer: VerificationShown;
  };
  /** One file that proves, offline, what was agreed and what was asked of the gate under it. At most 100 kB. */
  "GET /v1/audit/evidence/{consent_id}": {
    path: { consent_id: string };
    answer: unknown;
  };
  /** Verify the whole log and what its entries stand for, now. */
  "GET /v1/audit/log": {
    answer: { [name: string]: unknown };
  };
  /** Openings, latest first. */
  "GET /v1/audit/openings": {
    query?: { limit?: number };
    answer: { [name: string]: Opening[] };
  };
  /** Ask to look at one piece of media. The people in it are told that you asked, and why. */
  "POST /v1/audit/openings": {
    body: NewOpening;
    answer: Opening;
  };
  /** Give leave, as another admin than the one who asked. It lasts from now, for `MIEN_OPENING_MINUTES`. */
  "POST /v1/audit/openings/{opening_id}/approve": {
    path: { opening_id: string };
    answer: Opening;
  };
  /** Look, as the admin who asked, while the leave lasts. Each look is told to the people in it. */
  "GET /v1/audit/openings/{opening_id}/content": {
    path: { opening_id: string };
    answer: Uint8Array;
  };
  /** Put off telling the people in it, by law and for a time. They are told of the hold when it ends. */
  "POST /v1/audit/openings/{opening_id}/hold": {
    path: { opening_id: string };
    body: NewHold;
    answer: Opening;
  };
  /** End a legal hold before its time. */
  "POST /v1/audit/openings/{opening_id}/release": {
    path: { opening_id: string };
    answer: Opening;
  };
  /** Records, attempts and events, latest first. What all the given terms fit; kinds that a term is not about have none. */
  "GET /v1/audit/search": {
    query?: { kind?: SearchKind[] | null; subject?: string | null; consent?: string | null; backend?: string | null; reason?: string | null; output_sha256?: string | null; state?: string | null; authority?: string | null; action?: string | null; actor?: string | null; from?: string | null; to?: string | null; cursor?: string | null; limit?: number };
    answer: Listed;
  };
  /** A live check with every verdict: each check's outcome, value, limit and unit. */
  "GET /v1/audit/sessions/{session_id}": {
    path: { session_id: string };
    answer: { [name: string]: unknown };
  };
  /** All that happened with one person's likeness, latest first. */
  "GET /v1/audit/subjects/{subject_id}/timeline": {
    path: { subject_id: string };
    query?: { cursor?: string | null; limit?: number };
    answer: Listed;
  };
  /** Searches that this key saved. */
  "GET /v1/audit/views": {
    answer: { [name: string]: unknown };
  };
  /** Save a search under a name; one of that name before is replaced. */
  "PUT /v1/audit/views/{name}": {
    path: { name: string };
    body: SearchSaved;
    answer: SearchSaved;
  };
  /** Forget a saved search. */
  "DELETE /v1/audit/views/{name}": {
    path: { name: string };
    answer: undefined;
  };
  /** Open a claim to speak for somebody. Everyone with a say is named, whether they will sign or not. */
  "POST /v1/authorities": {
    body: NewAuthority;
    answer: AuthorityState;
  };
  /** How far a claim is, and what it lacks. For the app, reviewers, auditors, and everyone in it with their own token. */
  "GET /v1/authorities/{case_id}": {
    path: { case_id: string };
    query?: { language?: "en" | "zh" };
    answer: AuthorityState;
  };
  /** Agree on the subject's behalf, on a granted claim that you signed, with the client token of a live check that you just passed yourself. The face is that of the photographs which both reviewers approved. */
  "POST /v1/authorities/{case_id}/consents": {
    path: { case_id: string };
    query?: { language?: "en" | "zh" };
    body: NewConsentForAnother;
    answer: ConsentGiven;
  };
  /** Hand in a document. It is kept sealed, and its hash in the claim. */
  "POST /v1/authorities/{case_id}/documents": {
    path: { case_id: string };
    query: { kind: DocumentKind; issuer: string; shows?: string[] | null; language?: "en" | "zh" };
    body: Bytes;
    answer: AuthorityState;
  };
  /** All that happened to a claim, who opened its papers included. `actor` is a key id, a pseudonym or `service`. */
  "GET /v1/authorities/{case_id}/events": {
    path: { case_id: string };
    answer: AuthorityCourse;
  };
  /** A paper or photograph, for a reviewer. That it was opened is an event that the people in the claim can see. */
  "GET /v1/authorities/{case_id}/files/{file_id}": {
    path: { case_id: string; file_id: string };
    answer: Uint8Array;
  };
  /** Object: as the subject or a nearest relative just shown live, or as the app for one who reached it otherwise. Before the window is over that ends the claim; after it everything that stands on it stops at once. */
  "POST /v1/authorities/{case_id}/objections": {
    path: { case_id: string };
    query?: { language?: "en" | "zh" };
    body: AuthorityObjection;
    answer: AuthorityState;
  };
  /** Take your own objection back, just shown live. What stood still goes on once nobody objects. */
  "POST /v1/authorities/{case_id}/objections/lift": {
    path: { case_id: string };
    query?: { language?: "en" | "zh" };
    answer: AuthorityState;
  };
  /** Hand in a photograph of the subject, alone in it. All of them must show one person. */
  "POST /v1/authorities/{case_id}/photographs": {
    path: { case_id: string };
    query?: { language?: "en" | "zh" };
    body: Bytes;
    answer: AuthorityState;
  };
  /** Sign, with the client token of a live check that you just passed yourself: for what it is for, and to speak in it. */
  "POST /v1/authorities/{case_id}/representatives": {
    path: { case_id: string };
    query?: { language?: "en" | "zh" };
    answer: AuthorityState;
  };
  /** Approve or refuse what you saw. It takes two, neither of whom opened the claim; one is enough to refuse. */
  "POST /v1/authorities/{case_id}/review": {
    path: { case_id: string };
    query?: { language?: "en" | "zh" };
    body: AuthorityReview;
    answer: AuthorityState;
  };
  /** Take the claim back for good: the app that opened it, or anyone who signed. Papers and photographs are destroyed. */
  "POST /v1/authorities/{case_id}/withdraw": {
    path: { case_id: string };
    query?: { language?: "en" | "zh" };
    answer: AuthorityState;
  };
  /** Demands for which a backend is refused now, for admins and auditors. */
  "GET /v1/backends/blocked": {
    answer: BlockedBackends;
  };
  /** The key that this backend registered, by its thumbprint (RFC 7638). */
  "GET /v1/backends/self/key": {
    answer: BackendKey;
  };
  /** Register the key that the `DPoP` header proves. From then on tokens for this backend are bound to it, and its questions without it are refused. To change it, prove the old key in the header and the new one in `next_proof`: an API key alone must not be enough to take a backend's place. */
  "PUT /v1/backends/self/key": {
    body?: NewBackendKey;
    answer: BackendKey;
  };
  /** Your webhook and what was last sent to it. */
  "GET /v1/backends/self/webhook": {
    answer: WebhookState;
  };
  /** Hear of changes at an address of yours. The secret is in the answer when it was made just now, and never again. */
  "PUT /v1/backends/self/webhook": {
    body: WebhookWanted;
    answer: WebhookState;
  };
  /** Hear nothing any more. Deadlines for deletions run on: see `GET /v1/purges`. */
  "DELETE /v1/backends/self/webhook": {
    answer: undefined;
  };
  /** New secrets. The old ones sign along for 24 hours. */
  "POST /v1/backends/self/webhook/rotate": {
    answer: WebhookState;
  };
  /** Send yourself `webhook.test`. Look at your webhook to see what became of it. */
  "POST /v1/backends/self/webhook/test": {
    answer: DeliveryState;
  };
  /** Let a backend work again that did not confirm in time, for a reason that is written down. */
  "POST /v1/backends/{name}/unblock": {
    path: { name: string };
    body: Excuse;
    answer: Excused;
  };
  /** Where you are signed in, the latest first. */
  "GET /v1/browser-sessions": {
    answer: BrowserSessions;
  };
  /** Sign out everywhere. */
  "DELETE /v1/browser-sessions": {
    query?: { others?: boolean };
    answer: BrowserSessions;
  };
  /** Who is signed in at this browser, as `Mien-Session` says: `person` or `staff`. */
  "GET /v1/browser-sessions/here": {
    answer: SignInShown;
  };
  /** Sign out elsewhere; or here, with the id of this one. */
  "DELETE /v1/browser-sessions/{session_id}": {
    path: { session_id: string };
    answer: BrowserSessions;
  };
  /** The clips that this app ordered, whatever became of them, latest first. */
  "GET /v1/clips": {
    query?: { state?: "queued" | "running" | "done" | "failed" | "cancelled" | "withdrawn" | null; consent?: string | null; cursor?: string | null; limit?: number };
    answer: ClipsOfApp;
  };
  /** Ask for a clip. The gate is asked now, at the start of the work and again before the clip is released. */
  "POST /v1/clips": {
    body: NewClip;
    answer: ClipAccepted;
  };
  /** Vendors' generators: what they make, which ones can be ordered from here, and why some cannot. */
  "GET /v1/clips/backends": {
    answer: RemoteBackends;
  };
  /** What a clip would take, and what the gate would say to it. Nothing is made, spent or queued, and nobody is asked for a yes; the question is in the books like any other. */
  "POST /v1/clips/estimate": {
    body: NewClip;
    answer: ClipEstimate;
  };
  /** Hand in a clip, or one picture of it, also cut, cropped or encoded again: was it made here, and does the consent behind it still hold? Needs no key. What is handed in is not kept. */
  "POST /v1/clips/identify": {
    body: Bytes;
    answer: ClipIdentified;
  };
  /** Where the consent behind a clip stands now, by what its manifest names as `permit_sha256`. Needs no key. */
  "GET /v1/clips/status/{permit_sha256}": {
    path: { permit_sha256: string };
    answer: ClipStanding;
  };
  /** Where the clip stands. */
  "GET /v1/clips/{clip_id}": {
    path: { clip_id: string };
    answer: ClipState;
  };
  /** Cancel the work, or erase the finished clip. */
  "DELETE /v1/clips/{clip_id}": {
    path: { clip_id: string };
    answer: ClipState;
  };
  /** The marked clip, while the consents behind it hold. */
  "GET /v1/clips/{clip_id}/content": {
    path: { clip_id: string };
    answer: Uint8Array;
  };
  /** Server-sent events: `progress` while it is made, then one of `done`, `failed`, `cancelled`, `withdrawn`. Every event has an id. Whoever comes back with the last one (`Last-Event-ID`, as browsers do) hears only what came after. */
  "GET /v1/clips/{clip_id}/events": {
    path: { clip_id: string };
    answer: string | undefined;
  };
  /** What the finished clip says of itself, read from the file: who made it, under which consents, from what, with which marks. For the app that ordered it and the people in it. */
  "GET /v1/clips/{clip_id}/manifest": {
    path: { clip_id: string };
    answer: ClipManifestShown;
  };
  /** The consents that people gave through this app, also ended ones, latest first. Never a picture of anybody. */
  "GET /v1/consents": {
    query?: { subject_ref?: string | null; state?: "valid" | "expired" | "suspended" | "revoked" | null; cursor?: string | null; limit?: number };
    answer: ConsentsOfApp;
  };
  /** A person, shown live in this session, agrees to the terms they were shown and to these choices. */
  "POST /v1/consents": {
    body: NewConsent;
    answer: ConsentGiven;
  };
  /** What was agreed, and whether it holds. */
  "GET /v1/consents/{consent_id}": {
    path: { consent_id: string };
    answer: ConsentState;
  };
  /** The person begins a new live check of themself, in the app where they agreed: to renew this consent, or to agree to more in a new one. What somebody gave on another's behalf is not renewed. */
  "POST /v1/consents/{consent_id}/check": {
    path: { consent_id: string };
    body: NewCheck;
    answer: SessionMade;
  };
  /** What the gate would allow of this consent, and which rule stops the rest. Asks nobody, writes and permits nothing. */
  "POST /v1/consents/{consent_id}/dry-run": {
    path: { consent_id: string };
    body: DryRun;
    answer: DryRunResult;
  };
  /** Take part of a consent back. It can only ever become less. */
  "POST /v1/consents/{consent_id}/narrow": {
    path: { consent_id: string };
    body: Narrowing;
    answer: ConsentState;
  };
  /** Who was asked to delete, who did, and how long the others have: for the person, the app and auditors. */
  "GET /v1/consents/{consent_id}/purges": {
    path: { consent_id: string };
    answer: Purges;
  };
  /** The receipt of the latest event as one `.tlog-proof` (C2SP tlog-proof). Asked for again later, it carries what witnesses have signed by then. */
  "GET /v1/consents/{consent_id}/receipt": {
    path: { consent_id: string };
    answer: string;
  };
  /** A new term for what still stands, after a new live check of the same person. It adds nothing but time. Called with the token of the new check's session or with the consent's manage token; gives a new manage token. */
  "POST /v1/consents/{consent_id}/renew": {
    path: { consent_id: string };
    body: Renewal;
    answer: ConsentGiven;
  };
  /** Uses that wait for the person's own yes, and those that they answered; latest first. */
  "GET /v1/consents/{consent_id}/requests": {
    path: { consent_id: string };
    answer: UseRequests;
  };
  /** Yes to this one job, once, within a day. Only the person says it. */
  "POST /v1/consents/{consent_id}/requests/{request_id}/approve": {
    path: { consent_id: string; request_id: string };
    answer: UseRequest;
  };
  /** No to this job; also to one that was approved and not begun. */
  "POST /v1/consents/{consent_id}/requests/{request_id}/refuse": {
    path: { consent_id: string; request_id: string };
    answer: UseRequest;
  };
  /** End a suspension. What the person suspended, nobody else resumes. */
  "POST /v1/consents/{consent_id}/resume": {
    path: { consent_id: string };
    body?: Resumption;
    answer: ConsentState;
  };
  /** End a consent, at once: templates and portrait are destroyed, clips withdrawn. Revoking twice changes nothing. */
  "POST /v1/consents/{consent_id}/revoke": {
    path: { consent_id: string };
    answer: ConsentState;
  };
  /** Nothing is permitted from now on, until who suspended it resumes it. For the person, who speaks for them, the app, or an admin. */
  "POST /v1/consents/{consent_id}/suspend": {
    path: { consent_id: string };
    body?: Stop;
    answer: ConsentState;
  };
  /** A token for one backend and one purpose, bound to the key that the backend registered, if it did. The gate looks at the record too, whatever the token says. */
  "POST /v1/consents/{consent_id}/tokens": {
    path: { consent_id: string };
    body: NewToken;
    answer: TokenMade;
  };
  /** At which vendors this person is known, and where that stands; also what was deleted there. */
  "GET /v1/consents/{consent_id}/vendors": {
    path: { consent_id: string };
    answer: VendorPeople;
  };
  /** Invite the person to the vendor's own live check. `link` is for them, opens on their phone, and lasts two minutes. */
  "POST /v1/consents/{consent_id}/vendors/{backend}/verification": {
    path: { consent_id: string; backend: string };
    answer: VendorPerson;
  };
  /** Ask the vendor, and go a step further if it is ready. Call it again until the state is `ready`. */
  "POST /v1/consents/{consent_id}/vendors/{backend}/verification/advance": {
    path: { consent_id: string; backend: string };
    answer: VendorPerson;
  };
  /** What clips may be about, as limits and statements name it, and what each is called. */
  "GET /v1/content-categories/{language}": {
    path: { language: string };
    answer: { [name: string]: string };
  };
  /** Begin a live check of one person. Their phone gets the client token. */
  "POST /v1/liveness/sessions": {
    body: NewSession;
    answer: SessionMade;
  };
  /** Where the live check stands, and what the person can do better. */
  "GET /v1/liveness/sessions/{session_id}": {
    path: { session_id: string };
    answer: SessionState;
  };
  /** The person says no to a double, or not now. A no is final for this session, and what it recorded is erased. */
  "POST /v1/liveness/sessions/{session_id}/answer": {
    path: { session_id: string };
    body: DoubleAnswer;
    answer: DoubleAnswered;
  };
  /** Hand in the recording of the challenge. `mirrored`: its pictures are mirrored, as some front cameras give them. */
  "PUT /v1/liveness/sessions/{session_id}/capture": {
    path: { session_id: string };
    query?: { mirrored?: boolean };
    body: Bytes;
    answer: CaptureTaken;
  };
  /** Draw a fresh challenge, on the path the person chose. It is spent by the first recording sent for it. */
  "POST /v1/liveness/sessions/{session_id}/challenge": {
    path: { session_id: string };
    body?: ChallengeWish;
    answer: ChallengeMade;
  };
  /** The person agrees to be checked, before anything is recorded. It is no consent to a double. Twice changes nothing. */
  "POST /v1/liveness/sessions/{session_id}/check-consent": {
    path: { session_id: string };
    body: CheckAgreed;
    answer: CheckRecorded;
  };
  /** Name, size and root of the log, signed by it and by witnesses (C2SP tlog-checkpoint). */
  "GET /v1/log/checkpoint": {
    answer: string;
  };
  /** A witness hands in a checkpoint of ours with its cosignature on it (C2SP tlog-cosignature). Only witnesses that the operator has named are heard; others get 403 `note_unsigned`. */
  "POST /v1/log/cosignatures": {
    body: string;
    answer: CosignaturesTaken;
  };
  /** Entries of the log in order; digests only, nothing about people. */
  "GET /v1/log/entries": {
    query?: { start?: number; limit?: number };
    answer: LogEntries;
  };
  /** That the tree of the first size begins that of the second (the latest checkpoint's, if none is named); RFC 9162, 2.1.4. */
  "GET /v1/log/proof/consistency": {
    query: { first: number; second?: number | null };
    answer: ConsistencyShown;
  };
  /** That an entry is in the tree of that size (the latest checkpoint's, if none is named); RFC 9162, 2.1.3. */
  "GET /v1/log/proof/inclusion": {
    query: { index: number; size?: number | null };
    answer: InclusionShown;
  };
  /** Hashes `<level>/<index>[.p/<width>]`, or entries `entries/<index>[.p/<width>]` (C2SP tlog-tiles). */
  "GET /v1/log/tile/{path}": {
    path: { path: string };
    answer: unknown | Uint8Array;
  };
  /** Hand in media; gives every face in it. A `Content-Digest` that is given must be right. `output`: a finished clip of at most 100 MB, which is looked at when its permit is completed. */
  "POST /v1/media": {
    query?: { output?: boolean };
    body: Bytes;
    answer: MediaTaken;
  };
  /** Have media fetched from a public address. What came is kept and looked at: work with these very bytes (`GET .../content`), not with the address, which may give something else the next time. */
  "POST /v1/media/from-address": {
    body: MediaAddress;
    answer: MediaTaken;
  };
  /** The very bytes that were looked at, for whoever handed them in or had them fetched. */
  "GET /v1/media/{media_id}/content": {
    path: { media_id: string };
    answer: Uint8Array;
  };
  /** Yours. `here`: this browser was signed in with it. */
  "GET /v1/passkeys": {
    answer: PasskeysShown;
  };
  /** Keep the passkey that was made. Who came with an API key alone is then signed in with it. */
  "POST /v1/passkeys": {
    body: PasskeyMade;
    answer: PasskeyShown;
  };
  /** What `navigator.credentials.create` is asked, for a new passkey of whoever is signed in, or whose manage token it is. Good for five minutes, once, in this browser. */
  "POST /v1/passkeys/options": {
    body?: PasskeyWish;
    answer: PasskeyOptions;
  };
  /** It signs nobody in any more, and browsers that it signed in are signed out, but for this one. The only passkey of who works here stays: 409 `last_passkey`. */
  "DELETE /v1/passkeys/{passkey_id}": {
    path: { passkey_id: string };
    answer: PasskeysShown;
  };
  /** Hand in what was made: its hash, and the clip itself. May come after the permit's time, not without its redemption. `release` is whether the output may leave the backend. It may not where the clip shows anybody but the people of the permit, or not all of them, or lacks label or manifest or is too long; nor where a consent ended while the work ran: the records are read again here. One that was completed by its hash alone may be handed in later: the same output, and no other. With `mark` it comes without marks and goes back with them. What may leave is written down, so that copies of it lead to its consents. */
  "POST /v1/permits/complete": {
    body: WorkDone;
    answer: WorkNoted;
  };
  /** Spend a permit, right before the work. It works once, for the job it was given for. */
  "POST /v1/permits/redeem": {
    body: PermitShown;
    answer: PermitRedeemed;
  };
  /** What this permit releases: a picture of each person of it. */
  "GET /v1/permits/{permit_id}/references": {
    path: { permit_id: string };
    answer: References;
  };
  /** The portrait of one person of this permit. That it was given out is in the books before it leaves, and the person sees it. */
  "GET /v1/permits/{permit_id}/references/{consent_id}": {
    path: { permit_id: string; consent_id: string };
    answer: Uint8Array;
  };
  /** The certificate (PEM) that the manifests of our clips are trusted under. */
  "GET /v1/provenance/anchor": {
    answer: unknown;
  };
  /** What this backend still has to delete, the nearest deadline first; or what it confirmed. */
  "GET /v1/purges": {
    query?: { confirmed?: boolean; limit?: number };
    answer: Purges;
  };
  /** One demand, with every permit that the backend spent under the consent. */
  "GET /v1/purges/{purge_id}": {
    path: { purge_id: string };
    answer: PurgeAsked;
  };
  /** Say that everything of this consent is deleted. The answer is the signed receipt; a block for it ends at once. */
  "POST /v1/purges/{purge_id}/confirm": {
    path: { purge_id: string };
    body: PurgeStatement;
    answer: PurgeConfirmed;
  };
  /** The same, by a vendor where callbacks are set once for the whole account: always signed, else nothing is heard. */
  "POST /v1/remote/accounts/{backend}": {
    path: { backend: string };
    answer: undefined;
  };
  /** A vendor says that a job changed. Answered with `ok`, also when it is late or comes twice. */
  "POST /v1/remote/callbacks/{clip_id}/{secret}": {
    path: { clip_id: string; secret: string };
    answer: undefined;
  };
  /** A medium that a vendor was told to fetch here. Gone when the work or a consent behind it ends. */
  "GET /v1/remote/inputs/{name}": {
    path: { name: string };
    answer: Uint8Array;
  };
  /** Where a vendor sends a person's browser after its own check of them. What the browser says is not read. */
  "GET /v1/remote/returned": {
    answer: string;
  };
  /** Sign in with a passkey. Whose it is says whether as a person or as somebody who works here. */
  "POST /v1/sign-in": {
    body: PasskeyUsed;
    answer: SignInShown;
  };
  /** What `navigator.credentials.get` is asked, to sign in with a passkey. Good for five minutes, once, in this browser. */
  "POST /v1/sign-in/options": {
    answer: PasskeyOptions;
  };
  /** Sign the first browser in, with the code that the terminal showed at the service's start. Once, within 30 minutes. */
  "POST /v1/sign-in/with-code": {
    body: SignInWithCode;
    answer: SignInShown;
  };
  /** Sign in with an API key, to make a passkey. Until it is made, an app's key works in the studio, and others nowhere. */
  "POST /v1/sign-in/with-key": {
    body: SignInWithKey;
    answer: SignInShown;
  };
  /** Sign in without a passkey: with the client token of a live check just passed, under the same name at the same app, where the face is that of an earlier consent. Compared one to one with the person's own; a check signs in once. */
  "POST /v1/sign-in/with-live-check": {
    body: SignInWithToken;
    answer: SignInShown;
  };
  /** Sign in with the manage token of a consent, as right after it was given. */
  "POST /v1/sign-in/with-token": {
    body: SignInWithToken;
    answer: SignInShown;
  };
  /** Sign out at this browser. */
  "POST /v1/sign-out": {
    answer: SignInShown;
  };
  /** What became of consents, as their tokens name it (draft-ietf-oauth-status-list): a signed list of two bits each, which tells nothing to who holds no token. */
  "GET /v1/status/{list_id}": {
    path: { list_id: string };
    query?: { time?: number | null };
    answer: Uint8Array;
  };
  /** Delete everything about you that can be deleted, at once. The answer says what was kept, why, and until when. */
  "DELETE /v1/subject": {
    answer: Erasure;
  };
  /** Everyone who looked at your data, and why, latest first. */
  "GET /v1/subject/admin-views": {
    query?: { cursor?: string | null; limit?: number };
    answer: Listed;
  };
  /** Everyone who asked to use your face with a leave of yours, valid or not, and what they were told. Latest first. For whoever agreed for somebody, those with that consent. */
  "GET /v1/subject/attempts": {
    query?: { cursor?: string | null; limit?: number };
    answer: Listed;
  };
  /** Everything about you in one archive, with a list for programs and a page for people, in English and Chinese. */
  "GET /v1/subject/export": {
    answer: Uint8Array;
  };
  /** Whether you want to be told when somebody asks with a face like yours, and what you were told, latest first. */
  "GET /v1/subject/look-alikes": {
    query?: { cursor?: string | null; limit?: number };
    answer: LookAlikes;
  };
  /** You want to be told. It is a yes of its own, to the words of `GET /v1/terms/{language}?for=look_alikes`, and ends with this consent. Twice changes nothing. */
  "POST /v1/subject/look-alikes": {
    body: LookAlikesAgreed;
    answer: LookAlikesSaid;
  };
  /** You want to be told no more, from now on. The code made from your face is deleted with this call. */
  "DELETE /v1/subject/look-alikes": {
    answer: LookAlikesSaid;
  };
  /** Every use of your likeness and every clip, latest first; for whoever agreed for somebody, those under that consent. */
  "GET /v1/subject/uses": {
    query?: { cursor?: string | null; limit?: number };
    answer: Listed;
  };
  /** What you said, as the subject just shown live, or as their app. */
  "GET /v1/subjects/{ref}/directive": {
    path: { ref: string };
    answer: DirectiveShown;
  };
  /** Say, just shown live, what shall hold about your likeness when you cannot be asked. It stands above everyone else. */
  "PUT /v1/subjects/{ref}/directive": {
    path: { ref: string };
    body: DirectiveGiven;
    answer: DirectiveShown;
  };
  /** The exact words, their version and their hash. A consent names the hash of what was shown. `?for=representative`: the words for somebody who agrees on another's behalf; `?for=look_alikes`: those about being told of look-alikes. */
  "GET /v1/terms/{language}": {
    path: { language: string };
    query?: { for?: Reader };
    answer: TermsShown;
  };
  /** Messages that were given up, latest first. */
  "GET /v1/webhooks/dead": {
    query?: { limit?: number };
    answer: Deliveries;
  };
  /** Begin a message that was given up again, with all its tries. */
  "POST /v1/webhooks/deliveries/{delivery_id}/resend": {
    path: { delivery_id: string };
    answer: DeliveryState;
  };
}
