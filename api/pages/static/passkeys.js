// @ts-check
/** Passkeys: one is made, and one signs in. What the authenticator says goes to the API as it is. */

import { call, worked } from "./api.js";

/** @typedef {import("./api.js").Answer} Answer */
/** @typedef {"person" | "staff" | {token: string} | null} As */

/** The device did nothing: the reader stopped it, it has no passkey, or it cannot. */
export class NotDone extends Error {}

export const able = () => typeof PublicKeyCredential === "function" && Boolean(navigator.credentials);

/** @param {string} text */
function bytes(text) {
  const plain = atob(text.replace(/-/g, "+").replace(/_/g, "/"));
  return Uint8Array.from(plain, (letter) => letter.charCodeAt(0));
}

/** @param {ArrayBuffer | null | undefined} buffer */
function text(buffer) {
  if (!buffer) return undefined;
  const plain = String.fromCharCode(...new Uint8Array(buffer));
  return btoa(plain).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

/** @param {any} options as the API gives them @returns {any} */
function read(options) {
  const found = { ...options, challenge: bytes(options.challenge) };
  if (options.user) found.user = { ...options.user, id: bytes(options.user.id) };
  for (const list of ["excludeCredentials", "allowCredentials"]) {
    if (options[list]) found[list] = options[list].map((/** @type {any} */ one) => ({ ...one, id: bytes(one.id) }));
  }
  return found;
}

/** @param {any} credential */
function written(credential) {
  const { response } = credential;
  return {
    id: credential.id,
    rawId: text(credential.rawId),
    type: credential.type,
    authenticatorAttachment: credential.authenticatorAttachment ?? undefined,
    clientExtensionResults: {},
    response: {
      clientDataJSON: text(response.clientDataJSON),
      attestationObject: text(response.attestationObject),
      authenticatorData: text(response.authenticatorData),
      signature: text(response.signature),
      userHandle: text(response.userHandle),
      transports: response.getTransports ? response.getTransports() : undefined,
    },
  };
}

/** @template T @param {() => Promise<T | null>} ask @returns {Promise<T>} */
async function asked(ask) {
  try {
    const given = await ask();
    if (given) return given;
  } catch (error) {
    if (error instanceof DOMException && error.name === "InvalidStateError") throw new NotDone("passkey_known");
    if (!(error instanceof DOMException)) throw error;
  }
  throw new NotDone("cancelled");
}

/**
 * A new passkey of whoever is signed in, or whose manage token it is.
 * @param {As} as @param {string} name @returns {Promise<Answer>} throws NotDone
 */
export async function makePasskey(as, name) {
  if (!able()) throw new NotDone("unable");
  const language = document.documentElement.lang.startsWith("zh") ? "zh" : "en";
  const options = await call(as, "POST", "/v1/passkeys/options", { language });
  if (!worked(options)) return options;
  const publicKey = read(options.body.public_key);
  const made = await asked(() => navigator.credentials.create({ publicKey }));
  return call(as, "POST", "/v1/passkeys", { credential: written(made), name });
}

/**
 * Signs in with a passkey. `quietly`: only offered where the browser fills in fields, until `signal`.
 * @param {{quietly?: boolean, signal?: AbortSignal}} [how] @returns {Promise<Answer>} throws NotDone
 */
export async function signIn({ quietly = false, signal } = {}) {
  if (!able()) throw new NotDone("unable");
  const options = await call(null, "POST", "/v1/sign-in/options");
  if (!worked(options)) return options;
  const publicKey = read(options.body.public_key);
  const mediation = /** @type {CredentialMediationRequirement} */ (quietly ? "conditional" : "optional");
  const given = await asked(() => navigator.credentials.get({ publicKey, mediation, signal }));
  return call(null, "POST", "/v1/sign-in", { credential: written(given) });
}
