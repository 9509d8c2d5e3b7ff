from __future__ import annotations

import pytest

from consent.errors import KeysUnusable, SignatureInvalid
from consent.keys import KeySet, SigningKey
from tests.consent.given import KEY, KEYS, OTHER_KEY

RFC8037_SEED = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
RFC8037_THUMBPRINT = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_key_ids_are_the_thumbprints_of_rfc_8037_appendix_a3() -> None:
    assert SigningKey.from_seed(RFC8037_SEED).kid == RFC8037_THUMBPRINT


def test_a_key_survives_its_pem() -> None:
    again = SigningKey.from_pem(KEY.to_pem())
    assert again.kid == KEY.kid
    assert KEYS.open(again.sign({"a": 1}, typ="x"), typ="x", max_chars=999).whole("a") == 1


def test_new_keys_differ() -> None:
    assert SigningKey.generate().kid != SigningKey.generate().kid


@pytest.mark.parametrize("pem", ["", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "\u00e9"])
def test_what_is_no_key_is_refused(pem: str) -> None:
    with pytest.raises(KeysUnusable):
        SigningKey.from_pem(pem)


def test_a_seed_of_another_length_is_refused() -> None:
    with pytest.raises(KeysUnusable, match="32 bytes"):
        SigningKey.from_seed(bytes(31))


def test_a_key_of_another_kind_is_refused() -> None:
    from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    pem = generate_private_key(SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(KeysUnusable):
        SigningKey.from_pem(pem.decode())


def test_after_rotation_the_old_key_still_verifies_and_a_dropped_one_does_not() -> None:
    old = OTHER_KEY.sign({"a": 1}, typ="x")
    assert KeySet.of(KEY, OTHER_KEY).open(old, typ="x", max_chars=999).whole("a") == 1
    with pytest.raises(SignatureInvalid):
        KeySet.of(KEY).open(old, typ="x", max_chars=999)


def test_a_published_set_reads_back_and_holds_nothing_secret() -> None:
    published = KeySet.of(KEY, OTHER_KEY).to_jwks()
    assert all(set(jwk) == {"kty", "crv", "x", "kid", "use", "alg"} for jwk in published["keys"])
    assert KeySet.from_jwks(published).kids == (KEY.kid, OTHER_KEY.kid)


def test_keys_of_other_kinds_in_a_set_are_passed_over() -> None:
    published = {"keys": [{"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}, *KEYS.to_jwks()["keys"]]}
    assert KeySet.from_jwks(published).kids == (KEY.kid,)


@pytest.mark.parametrize(
    ("why", "change"),
    [
        ("private", {"d": "AA"}),
        ("id of another key", {"kid": OTHER_KEY.kid}),
        ("no point", {"x": "AA"}),
        ("no text", {"x": 3}),
    ],
)
def test_a_set_with_an_unfit_key_is_refused(why: str, change: dict[str, object]) -> None:
    jwk = {**KEYS.to_jwks()["keys"][0], **change}
    with pytest.raises(KeysUnusable):
        KeySet.from_jwks({"keys": [jwk]})


@pytest.mark.parametrize(
    "jwks", [None, [], {}, {"keys": {}}, {"keys": []}, {"keys": [1]}, {"keys": [{"kty": "oct", "k": "AA"}]}]
)
def test_what_is_no_key_set_is_refused(jwks: object) -> None:
    with pytest.raises(KeysUnusable):
        KeySet.from_jwks(jwks)


def test_the_same_key_twice_is_refused() -> None:
    jwk = KEYS.to_jwks()["keys"][0]
    with pytest.raises(KeysUnusable):
        KeySet.from_jwks({"keys": [jwk, jwk]})


def test_private_parts_do_not_show() -> None:
    assert "OKPKey" not in repr(KEY)
    assert KEY.kid in repr(KEY)
