/** A generator's own key, and the proofs of it that go with each call (DPoP, RFC 9449), by WebCrypto. */

const text = new TextEncoder();

export class ProofKey {
  private constructor(
    private readonly key: CryptoKey,
    private readonly jwk: { kty: string; crv: string; x: string; y: string },
  ) {}

  /** A new P-256 key. `extractable`: whether {@link export} may give its private half, to keep it somewhere. */
  static async generate(extractable = false): Promise<ProofKey> {
    const pair = await crypto.subtle.generateKey({ name: "ECDSA", namedCurve: "P-256" }, extractable, ["sign", "verify"]);
    return ProofKey.of(pair.privateKey, await crypto.subtle.exportKey("jwk", pair.publicKey));
  }

  /** A private P-256 key as a JWK. Throws when it is anything else. */
  static async fromJwk(jwk: JsonWebKey): Promise<ProofKey> {
    if (jwk.d === undefined) throw new TypeError("a private key is wanted");
    const key = await crypto.subtle.importKey("jwk", jwk, { name: "ECDSA", namedCurve: "P-256" }, false, ["sign"]);
    return ProofKey.of(key, jwk);
  }

  private static of(key: CryptoKey, jwk: JsonWebKey): ProofKey {
    const { kty, crv, x, y } = jwk;
    if (kty !== "EC" || crv !== "P-256" || x === undefined || y === undefined) throw new TypeError("a P-256 key is wanted");
    return new ProofKey(key, { kty, crv, x, y });
  }

  /** The private key, if it was generated to be kept. */
  export(): Promise<JsonWebKey> {
    return crypto.subtle.exportKey("jwk", this.key);
  }

  /** RFC 7638: what the operator registers, and permits are bound to. */
  async thumbprint(): Promise<string> {
    const { crv, kty, x, y } = this.jwk;
    return base64url(await sha256(text.encode(JSON.stringify({ crv, kty, x, y }))));
  }

  /** A proof for one call, good once and for a minute. `tokens`: those that go with it. `now`: milliseconds. */
  async prove(method: string, address: string, tokens: readonly string[] = [], now = Date.now()): Promise<string> {
    const claims: Record<string, string | number> = {
      jti: base64url(crypto.getRandomValues(new Uint8Array(24))),
      htm: method.toUpperCase(),
      htu: address.split("?")[0] ?? address,
      iat: Math.floor(now / 1000),
    };
    if (tokens.length > 0) claims["ath"] = base64url(await sha256(text.encode([...new Set(tokens)].join(" "))));
    const said = [{ typ: "dpop+jwt", alg: "ES256", jwk: this.jwk }, claims];
    const signed = said.map((part) => base64url(text.encode(JSON.stringify(part)))).join(".");
    const signature = await crypto.subtle.sign({ name: "ECDSA", hash: "SHA-256" }, this.key, text.encode(signed));
    return `${signed}.${base64url(new Uint8Array(signature))}`;
  }
}

export async function sha256(content: Uint8Array): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", content as Uint8Array<ArrayBuffer>));
}

export function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (one) => one.toString(16).padStart(2, "0")).join("");
}

export function base64(bytes: Uint8Array): string {
  let said = "";
  for (const one of bytes) said += String.fromCharCode(one);
  return btoa(said);
}

function base64url(bytes: Uint8Array): string {
  return base64(bytes).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}
