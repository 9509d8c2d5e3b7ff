// @ts-check
/** A passkey for the consent just given, made with its manage token. */

import { call, worked } from "./api.js";

export const canMakePasskeys = () => typeof PublicKeyCredential !== "undefined" && window.isSecureContext;

/** @param {{token: string}} person @param {string} language @param {string} name what the person will know it by @returns {Promise<boolean>} */
export async function makePasskey(person, language, name) {
  const asked = await call(person, "POST", "/v1/passkeys/options", { language });
  if (!worked(asked)) return false;
  const wanted = asked.body.public_key;
  try {
    const made = /** @type {PublicKeyCredential | null} */ (await navigator.credentials.create({
      publicKey: {
        ...wanted,
        challenge: bytes(wanted.challenge),
        user: { ...wanted.user, id: bytes(wanted.user.id) },
        excludeCredentials: (wanted.excludeCredentials ?? []).map((/** @type {any} */ one) => ({ ...one, id: bytes(one.id) })),
      },
    }));
    return made !== null && worked(await call(person, "POST", "/v1/passkeys", { credential: asJson(made), name }));
  } catch {
    return false; // the person said no, or the device has none
  }
}

/** @param {PublicKeyCredential} made */
function asJson(made) {
  const response = /** @type {AuthenticatorAttestationResponse} */ (made.response);
  return {
    id: made.id,
    rawId: text(made.rawId),
    type: made.type,
    response: {
      clientDataJSON: text(response.clientDataJSON),
      attestationObject: text(response.attestationObject),
      transports: response.getTransports?.() ?? [],
    },
    authenticatorAttachment: made.authenticatorAttachment,
    clientExtensionResults: made.getClientExtensionResults(),
  };
}

/** @param {string} base64url */
function bytes(base64url) {
  return Uint8Array.from(atob(base64url.replace(/-/g, "+").replace(/_/g, "/")), (sign) => sign.charCodeAt(0));
}

/** @param {ArrayBuffer} from */
function text(from) {
  return btoa(String.fromCharCode(...new Uint8Array(from))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}
