"""Keys that sign records, checkpoints, tokens and permits, and the one way in which they do it.

Everything signed but checkpoints (see :mod:`consent.note`) is a compact JWS (RFC 7515) with one algorithm, ``Ed25519`` (RFC
9864; the older name ``EdDSA`` leaves the curve open and is not accepted), and exactly three header members: ``alg``, ``kid``,
``typ``. Each kind of thing has its own ``typ``, so that a permit can never be read as a token (RFC 8725, 3.11). What the
header says about keys (``jwk``, ``jku``, ``x5u``) is never looked at: a header with anything more is refused.

Rotation: several keys verify, one signs. A key's id is its RFC 7638 thumbprint, so that an id cannot be given to
another key. In this package only this file knows joserfc.

One kind of thing brings its own key: a proof that its sender holds that key (RFC 9449), see :func:`open_with_own_key`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, EllipticCurvePublicNumbers
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey

from consent.canonical import Json, Malformed, Members, decode, encode, sha256_hex
from consent.errors import KeysUnusable, SignatureInvalid

ALGORITHM = "Ed25519"
PROOF_ALGORITHMS = ("ES256", "Ed25519")
"""What keys of others may sign with: what phones, browsers and key stores have, and what we use ourselves."""

_MAX_HEADER_CHARS = 512
_REGISTRY = jws.JWSRegistry(algorithms=[ALGORITHM])
_REGISTRY.max_header_length = _MAX_HEADER_CHARS
_REGISTRY.max_payload_length = 2**20  # characters; every kind of thing sets its own, lower limit

_MAX_PROOF_HEADER_CHARS = 2048  # a public key with the members that libraries add to it has 400
_PROOF_REGISTRY = jws.JWSRegistry(algorithms=list(PROOF_ALGORITHMS), strict_check_header=False)
_PROOF_REGISTRY.max_header_length = _MAX_PROOF_HEADER_CHARS
_SECRET_MEMBERS = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})  # RFC 7518, 6.2.2, 6.3.2 and 6.4; RFC 8037


@dataclass(frozen=True, slots=True, eq=False)
class SigningKey:
    """An Ed25519 key that signs. ``kid`` is its RFC 7638 thumbprint."""

    kid: str
    _key: OKPKey = field(repr=False)

    @classmethod
    def generate(cls) -> SigningKey:
        """A new key. The only thing in this package that draws chance: key material comes from the operating system."""
        return cls._of(Ed25519PrivateKey.generate())

    @classmethod
    def from_seed(cls, seed: bytes) -> SigningKey:
        """The key of these 32 bytes (RFC 8032's private key).

        Raises:
            KeysUnusable: when they are not 32.
        """
        if len(seed) != 32:
            raise KeysUnusable(f"an Ed25519 seed has 32 bytes, got {len(seed)}")
        return cls._of(Ed25519PrivateKey.from_private_bytes(seed))

    @classmethod
    def from_pem(cls, pem: str) -> SigningKey:
        """The key in a PEM text (PKCS #8, not encrypted).

        Raises:
            KeysUnusable: when it holds no such key.
        """
        try:
            key = load_pem_private_key(pem.encode("ascii"), password=None)
        except (ValueError, TypeError) as error:
            raise KeysUnusable("not a private key in PEM") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise KeysUnusable("not an Ed25519 key")
        return cls._of(key)

    @classmethod
    def _of(cls, key: Ed25519PrivateKey) -> SigningKey:
        return cls(_thumbprint(key.public_key()), OKPKey.import_key(key))

    def to_pem(self) -> str:
        key = self._key.private_key
        assert key is not None  # noqa: S101 - every constructor above puts a private key here
        return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode("ascii")

    def sign(self, payload: Mapping[str, Json], *, typ: str) -> str:
        """A compact JWS over the canonical form of ``payload``."""
        header = {"alg": ALGORITHM, "kid": self.kid, "typ": typ}
        return jws.serialize_compact(header, encode(payload), self._key, registry=_REGISTRY)

    @property
    def public_bytes(self) -> bytes:
        """The public half, 32 bytes (RFC 8032)."""
        return _public(self._key).public_bytes(Encoding.Raw, PublicFormat.Raw)

    def sign_note_text(self, text: bytes) -> bytes:
        """64 bytes of Ed25519 over a note's text. A JWS has no line end in what it signs and a note's text ends in one, so
        that neither can be taken for the other."""
        if not text.endswith(b"\n"):
            raise ValueError("a note's text ends in a line end")
        key = self._key.private_key
        assert isinstance(key, Ed25519PrivateKey)  # noqa: S101 - every constructor above puts one here
        return key.sign(text)


@dataclass(frozen=True, slots=True, eq=False)
class KeySet:
    """Public keys by id."""

    _keys: Mapping[str, OKPKey] = field(repr=False)

    @classmethod
    def of(cls, *keys: SigningKey) -> KeySet:
        """The public halves of these keys."""
        return cls({key.kid: OKPKey.import_key(_public(key._key)) for key in keys})

    @property
    def kids(self) -> tuple[str, ...]:
        return tuple(self._keys)

    @property
    def public_bytes(self) -> tuple[bytes, ...]:
        """Each key, 32 bytes (RFC 8032)."""
        return tuple(_public(key).public_bytes(Encoding.Raw, PublicFormat.Raw) for key in self._keys.values())

    def to_jwks(self) -> dict[str, list[dict[str, str]]]:
        """A JWK Set (RFC 7517, RFC 8037), as served at ``/.well-known/jwks.json``."""
        return {
            "keys": [
                {"kty": "OKP", "crv": "Ed25519", "x": _x(_public(key)), "kid": kid, "use": "sig", "alg": ALGORITHM}
                for kid, key in self._keys.items()
            ]
        }

    @classmethod
    def from_jwks(cls, jwks: object) -> KeySet:
        """The Ed25519 signing keys of a JWK Set; keys of other kinds are passed over (RFC 7517, section 5).

        Raises:
            KeysUnusable: when it is no JWK Set, holds a private key, an id that is not the key's thumbprint, one key
                twice, or no key that we can use.
        """
        listed = jwks.get("keys") if isinstance(jwks, dict) else None
        if not isinstance(listed, list):
            raise KeysUnusable("not a JWK Set")
        found: dict[str, OKPKey] = {}
        for jwk in listed:
            if not isinstance(jwk, dict):
                raise KeysUnusable("not a JWK Set")
            if "d" in jwk or "k" in jwk:
                raise KeysUnusable("a published key set holds a secret key")
            if jwk.get("kty") != "OKP" or jwk.get("crv") != "Ed25519" or jwk.get("use", "sig") != "sig":
                continue
            public = _public_from_x(jwk.get("x"))
            kid = _thumbprint(public)
            if jwk.get("kid", kid) != kid:
                raise KeysUnusable("a key's id is not its thumbprint")
            if kid in found:
                raise KeysUnusable("a key is there twice")
            found[kid] = OKPKey.import_key(public)
        if not found:
            raise KeysUnusable("no Ed25519 key in the set")
        return cls(found)

    def open(self, compact: str, *, typ: str, max_chars: int) -> Members:
        """The payload of a compact JWS that one of these keys signed as a ``typ``.

        1. Bound the size, before anything is parsed.
        2. Three parts; the header in canonical form with exactly ``alg``, ``kid`` and ``typ``.
        3. The ``typ`` is the wanted one.
        4. The algorithm is ours and the key is one of these.
        5. The signature holds, over the bytes as received.
        6. The payload is a JSON object in canonical form.

        Raises:
            SignatureInvalid: code ``wrong_type`` at 3 and 6, else ``bad_signature``.
        """
        if len(compact) > max_chars or not compact.isascii():  # 1
            raise SignatureInvalid(f"not ASCII of at most {max_chars} characters")
        header_part, dot, rest = compact.partition(".")  # 2
        if not dot or rest.count(".") != 1 or len(header_part) > _MAX_HEADER_CHARS:
            raise SignatureInvalid("not a compact JWS")
        try:
            header = decode(from_base64url(header_part))
            alg, kid, found_typ = header.text("alg"), header.text("kid"), header.text("typ")
            header.end()
        except Malformed as error:
            raise SignatureInvalid("header is not alg, kid and typ") from error
        if found_typ != typ:  # 3
            raise SignatureInvalid(f"not a {typ}", code="wrong_type")
        key = self._keys.get(kid)  # 4
        if alg != ALGORITHM or key is None:
            raise SignatureInvalid("signed with another algorithm or an unknown key")
        try:  # 5
            opened = jws.deserialize_compact(compact, key, registry=_REGISTRY)
        except (JoseError, ValueError) as error:
            raise SignatureInvalid("signature does not hold") from error
        try:  # 6
            return decode(opened.payload or b"")
        except Malformed as error:
            raise SignatureInvalid("payload is not a canonical JSON object", code="wrong_type") from error


def holds(public: bytes, signature: bytes, content: bytes) -> bool:
    """Whether the Ed25519 key with these 32 bytes signed exactly this content."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, content)
    except (InvalidSignature, ValueError):
        return False
    return True


# --- things that bring their own key ---------------------------------------------------------------------------------


def open_with_own_key(compact: str, *, typ: str, max_chars: int) -> tuple[str, Members]:
    """RFC 7638 thumbprint of the key in the header of a compact JWS, and the payload which that key signed as a ``typ``.

    It says that the sender holds the key, and nothing about whose key it is. Spelling is free: others write these.

    1. Bound the size; three parts.
    2. The header is JSON with ``typ`` as wanted and ``alg`` one of :data:`PROOF_ALGORITHMS`; ``crit`` is refused, what
       else there is says nothing to us (RFC 7515, 4).
    3. ``jwk`` is a public key for that algorithm, on its curve, without any secret member.
    4. The signature holds, over the bytes as received.
    5. The payload is a JSON object.

    Raises:
        SignatureInvalid: code ``wrong_type`` for another ``typ``, else ``bad_signature``.
    """
    if len(compact) > max_chars or not compact.isascii():  # 1
        raise SignatureInvalid(f"not ASCII of at most {max_chars} characters")
    header_part, dot, rest = compact.partition(".")
    if not dot or rest.count(".") != 1 or len(header_part) > _MAX_PROOF_HEADER_CHARS:
        raise SignatureInvalid("not a compact JWS")
    try:  # 2
        header = decode(from_base64url(header_part), any_spelling=True)
        alg, found_typ, jwk = header.text("alg"), header.text("typ"), header.members("jwk")
    except Malformed as error:
        raise SignatureInvalid("header is not alg, typ and jwk") from error
    if found_typ != typ:
        raise SignatureInvalid(f"not a {typ}", code="wrong_type")
    if alg not in PROOF_ALGORITHMS or header.has("crit") or header.has("b64"):
        raise SignatureInvalid("signed in a way that is not taken here")
    try:  # 3
        key, jkt = _own_key(alg, jwk)
    except (Malformed, KeysUnusable) as error:
        raise SignatureInvalid("jwk is no public key for its algorithm") from error
    try:  # 4
        opened = jws.deserialize_compact(compact, key, registry=_PROOF_REGISTRY)
    except (JoseError, ValueError) as error:
        raise SignatureInvalid("signature does not hold") from error
    try:  # 5
        return jkt, decode(opened.payload or b"", any_spelling=True)
    except Malformed as error:
        raise SignatureInvalid("payload is not a JSON object") from error


def _own_key(alg: str, jwk: Members) -> tuple[ECKey | OKPKey, str]:
    """The key in a ``jwk``, and its thumbprint. Raises :class:`consent.canonical.Malformed` or :class:`KeysUnusable`."""
    if _SECRET_MEMBERS & set(jwk.names()):
        raise Malformed("a secret key is not for sending")
    if jwk.has("use"):
        jwk.exactly("use", "sig")
    if alg == ALGORITHM:
        jwk.exactly("kty", "OKP")
        jwk.exactly("crv", "Ed25519")
        public = _public_from_x(jwk.text("x"))
        return OKPKey.import_key(public), _thumbprint(public)
    jwk.exactly("kty", "EC")
    jwk.exactly("crv", "P-256")
    x, y = jwk.text("x"), jwk.text("y")
    place = [from_base64url(text) for text in (x, y)]
    if any(len(coordinate) != _P256_BYTES for coordinate in place):
        raise Malformed("a coordinate of P-256 has 32 bytes")
    try:
        at_x, at_y = (int.from_bytes(part, "big") for part in place)
        point = EllipticCurvePublicNumbers(at_x, at_y, SECP256R1()).public_key()
    except ValueError as error:
        raise KeysUnusable("not a point of P-256") from error
    return ECKey.import_key(point), thumbprint_of({"crv": "P-256", "kty": "EC", "x": x, "y": y})


_P256_BYTES = 32


def thumbprint_of(required: Mapping[str, str]) -> str:
    """RFC 7638 thumbprint from the members that its section 3.2 requires for that kind of key, and no others."""
    return to_base64url(bytes.fromhex(sha256_hex(encode(dict(required)))))


def from_base64url(text: str) -> bytes:
    """Bytes of unpadded base64url.

    Raises:
        Malformed: for any other spelling of them (padding, other alphabet, stray bits at the end).
    """
    try:
        content = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError) as error:
        raise Malformed("not base64url") from error
    if to_base64url(content) != text:
        raise Malformed("not base64url in its one spelling")
    return content


def to_base64url(content: bytes) -> str:
    """Unpadded base64url."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode("ascii")


def _public(key: OKPKey) -> Ed25519PublicKey:
    public = key.public_key
    assert isinstance(public, Ed25519PublicKey)  # noqa: S101 - no other kind gets into the classes above
    return public


def _x(public: Ed25519PublicKey) -> str:
    return to_base64url(public.public_bytes(Encoding.Raw, PublicFormat.Raw))


def _public_from_x(x: object) -> Ed25519PublicKey:
    try:
        return Ed25519PublicKey.from_public_bytes(from_base64url(x if isinstance(x, str) else ""))
    except ValueError as error:
        raise KeysUnusable("not an Ed25519 public key") from error


def _thumbprint(public: Ed25519PublicKey) -> str:
    """With the members that RFC 8037 names for this kind of key."""
    return thumbprint_of({"crv": "Ed25519", "kty": "OKP", "x": _x(public)})
