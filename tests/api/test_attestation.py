"""A device vouches for a recording over HTTP: what that is worth, what is kept, and what a refusal looks like to whom."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from fastapi.testclient import TestClient
from sqlalchemy import text

from api.app import create_app
from api.attestation import MAX_HEADER_CHARS, hear, read_verifiers
from api.settings import read_settings
from api.tables import ChallengeRow, SessionRow
from liveness.attest_software import sign_with_test_key
from liveness.attestation import AttestationMisconfigured, AttestationVerifier, Provider, binding
from tests.api.conftest import Clock, World
from tests.liveness.attestation_world import (
    AES_KEY,
    APP,
    PACKAGE,
    ROOT,
    SIGNER,
    STORE_KEY,
    Phone,
    apple,
    b64url,
    google,
    token,
    verdict,
)

TEST_KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))


@pytest.fixture
def attesting(world: World) -> World:
    """The same service, set up to hear devices; its clock stands at the time of the made-up certificates."""
    from liveness.attest_software import SoftwareTestKey

    verifiers: list[AttestationVerifier] = [
        apple(),
        google(),
        SoftwareTestKey(TEST_KEY.public_key().public_bytes_raw()),
    ]
    world.service = replace(world.service, attestation={each.provider: each for each in verifiers})
    world.client = TestClient(create_app(world.service))
    return world


def bound(challenge: dict[str, Any], data: bytes) -> bytes:
    return binding(nonce=challenge["nonce"], capture_sha256=hashlib.sha256(data).digest())


def header(provider: str, statement: bytes, key_id: bytes | None = None) -> dict[str, str]:
    tail = "" if key_id is None else ":" + b64url(key_id)
    return {"Mien-Attestation": f"{provider}:{b64url(statement)}{tail}"}


def taken(world: World, make: Callable[[bytes], dict[str, str]], subject: str = "user-1", **session: Any) -> Any:
    """A live recording handed in with what ``make`` says over its binding: what an auditor sees of the session then."""
    opened = world.session(subject, **session)
    challenge = world.challenge(opened)
    data = f"live 200,40,40 {challenge['nonce']}".encode()
    assert world.capture(opened, data, headers=make(bound(challenge, data))).status_code == 202
    assert world.judge(challenge)
    seen = world.call("GET", f"/v1/liveness/sessions/{opened['session_id']}", "auditor").json()
    own = world.call("GET", f"/v1/liveness/sessions/{opened['session_id']}", opened["client_token"]).json()
    assert "attestation" not in json.dumps(own)
    assert own["assurance"] == seen["assurance"]
    assert seen["status"] == "passed", "a statement never keeps a live person from passing"
    return seen["assurance"], seen["verdicts"][-1]["attestation"], opened


def code(seen: tuple[Any, ...]) -> tuple[str, str | None]:
    return seen[0], None if seen[1] is None else seen[1]["code"]


pytestmark = pytest.mark.service


def test_without_a_statement_a_recording_is_worth_web(attesting: World) -> None:
    assurance, attestation, _ = taken(attesting, lambda _: {})
    assert (assurance, attestation) == ("web", None)


def test_a_device_that_its_maker_vouches_for_makes_the_verdict_and_the_consent_attested(attesting: World) -> None:
    for provider, make in (
        ("google_play_integrity", lambda h: header("google_play_integrity", token(verdict(h, attesting.clock())))),
        ("apple_app_attest", lambda h: header("apple_app_attest", Phone().attestation(h))),
    ):
        assurance, attestation, session = taken(attesting, make, provider)
        assert assurance == "attested"
        assert (attestation["provider"], attestation["outcome"]) == (provider, "attested")
        consent = attesting.consent(session)
        path = f"/v1/consents/{consent['consent_id']}"
        assert attesting.call("GET", path, consent["manage_token"]).json()["assurance"] == "attested"


def test_a_phone_registers_its_key_once_and_signs_with_it_from_then_on(attesting: World) -> None:
    phone = Phone()
    first = taken(attesting, lambda h: header("apple_app_attest", phone.attestation(h)))
    assert code(first) == ("attested", None)
    for _ in range(2):
        later = taken(attesting, lambda h: header("apple_app_attest", phone.assertion(h), phone.key_id))
        assert code(later) == ("attested", None)
    copied = taken(attesting, lambda h: header("apple_app_attest", phone.assertion(h, counter=2), phone.key_id))
    assert code(copied) == ("web", "counter_not_rising")
    with attesting.service.database.engine.connect() as connection:
        assert connection.scalar(text("SELECT counter FROM device_keys")) == 2


def test_a_key_belongs_to_the_person_whose_phone_registered_it(attesting: World) -> None:
    phone = Phone()
    taken(attesting, lambda h: header("apple_app_attest", phone.attestation(h)))
    other = taken(attesting, lambda h: header("apple_app_attest", phone.assertion(h), phone.key_id), "user-2")
    assert code(other) == ("web", "key_unknown")
    unnamed = taken(attesting, lambda h: header("apple_app_attest", phone.assertion(h)))
    assert code(unnamed) == ("web", "key_unknown")


@pytest.mark.parametrize(
    ("make", "wanted"),
    [
        (lambda h: header("apple_app_attest", Phone().attestation(bytes(32))), "wrong_binding"),
        (lambda h: header("apple_app_attest", Phone(app="other.app").attestation(h)), "wrong_app"),
        (lambda h: header("google_play_integrity", token(verdict(bytes(32)))), "wrong_binding"),
        (lambda h: header("google_play_integrity", token(verdict(h) | {"deviceIntegrity": {}})), "device_not_trusted"),
        (lambda h: header("software_test_key", sign_with_test_key(TEST_KEY, h)), "test_not_allowed"),
        (lambda h: header("nobody", b"x"), "provider_not_configured"),
        (lambda h: {"Mien-Attestation": ""}, "provider_not_configured"),
        (lambda h: {"Mien-Attestation": "apple_app_attest:not base64!"}, "statement_unreadable"),
        (lambda h: {"Mien-Attestation": "apple_app_attest:AA:BB:CC"}, "statement_unreadable"),
        (lambda h: {"Mien-Attestation": "google_play_integrity:" + "A" * MAX_HEADER_CHARS}, "statement_too_large"),
    ],
)  # fmt: skip
def test_a_statement_that_does_not_hold_leaves_the_verdict_as_it_is_and_says_why_to_auditors(
    attesting: World, make: Callable[[bytes], dict[str, str]], wanted: str
) -> None:
    assert code(taken(attesting, make)) == ("web", wanted)
    with attesting.service.database.engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM device_keys")) == 0


def test_two_statements_at_once_are_none(attesting: World) -> None:
    session = attesting.session()
    challenge = attesting.challenge(session)
    data = b"live 200,40,40"
    good = header("google_play_integrity", token(verdict(bound(challenge, data), attesting.clock())))
    digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
    answer = attesting.client.request(
        "PUT",
        f"/v1/liveness/sessions/{session['session_id']}/capture",
        content=data,
        headers=[
            ("Authorization", f"Bearer {session['client_token']}"),
            ("Content-Digest", f"sha-256=:{digest}:"),
            *good.items(),
            ("Mien-Attestation", "software_test_key:AA"),
        ],
    )
    assert answer.status_code == 202
    attesting.judge(challenge)
    seen = attesting.call("GET", f"/v1/liveness/sessions/{session['session_id']}", "auditor").json()
    assert (seen["assurance"], seen["verdicts"][0]["attestation"]["code"]) == ("web", "statement_unreadable")


@pytest.mark.parametrize("said", ["\x00:AAAA:AAAA", "\ud800:AA:AA", "é:AA:AA", "apple_app_attest:\x00:AA", ":::::"])
def test_what_no_header_can_hold_may_still_come_over_a_live_session(attesting: World, said: str) -> None:
    session = attesting.session()
    challenge = attesting.challenge(session)
    with attesting.service.database.transaction() as store:
        row = store.get(SessionRow, session["session_id"])
        given = store.get(ChallengeRow, challenge["challenge_id"])
        assert row is not None
        assert given is not None
        given.capture_sha256 = "ab" * 32
        hear(store, attesting.service.attestation, row, given, [said], now=attesting.clock())
        assert given.attestation is not None
        assert given.attestation["outcome"] == "not_attested"


def test_whoever_vouches_a_simulated_person_stays_simulated(attesting: World) -> None:
    for make in (
        lambda h: header("software_test_key", sign_with_test_key(TEST_KEY, h)),
        lambda h: header("google_play_integrity", token(verdict(h, attesting.clock()))),
    ):
        assurance, attestation, _ = taken(attesting, make, policy="simulated")
        assert (assurance, attestation["outcome"]) == ("simulated", "attested")


def test_a_statement_refused_with_its_recording_moves_no_counter(attesting: World) -> None:
    """A challenge that is spent takes nothing more, also no statement."""
    phone = Phone()
    session = attesting.session()
    challenge = attesting.challenge(session)
    data = b"live 200,40,40"
    statement = header("apple_app_attest", phone.attestation(bound(challenge, data)))
    assert attesting.capture(session, data, headers=statement).status_code == 202
    again = header("apple_app_attest", phone.assertion(bound(challenge, data)), phone.key_id)
    assert attesting.capture(session, data, headers=again).status_code == 409
    with attesting.service.database.engine.connect() as connection:
        assert connection.scalar(text("SELECT counter FROM device_keys")) == 0


def test_nothing_of_a_statement_is_logged(attesting: World, caplog: pytest.LogCaptureFixture) -> None:
    phone = Phone()
    taken(attesting, lambda h: header("apple_app_attest", phone.attestation(h)))
    for secret in (b64url(phone.key_id), phone.key_id.hex(), "Mien-Attestation"):
        assert secret not in caplog.text


# --- the operator's file ---------------------------------------------------------------------------------------------


def public_der() -> str:
    der = STORE_KEY.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(der).decode()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "root.pem").write_bytes(ROOT.pem)
    path = tmp_path / "attestation.toml"
    path.write_text(
        f"""
[apple_app_attest]
app_ids = ["{APP}"]
root = "root.pem"

[google_play_integrity]
package_names = ["{PACKAGE}"]
certificate_sha256 = ["{SIGNER.hex(":").upper()}"]
decryption_key = "{base64.b64encode(AES_KEY).decode()}"
verification_key = "{public_der()}"

[software_test_key]
public_key = "{base64.b64encode(TEST_KEY.public_key().public_bytes_raw()).decode()}"
"""
    )
    path.chmod(0o600)
    return path


def test_the_file_sets_up_who_may_vouch(file: Path, clock: Clock) -> None:
    verifiers = read_verifiers(file)
    assert set(verifiers) == set(Provider)
    assert read_settings({"MIEN_ATTESTATION": str(file)}).attestation == file
    challenge_hash = bytes(32)
    for provider, statement in (
        (Provider.APPLE, Phone().attestation(challenge_hash)),
        (Provider.GOOGLE, token(verdict(challenge_hash, clock()))),
        (Provider.SOFTWARE, sign_with_test_key(TEST_KEY, challenge_hash)),
    ):
        found = verifiers[provider].verify(statement, challenge_hash=challenge_hash, now=clock(), known=None)
        assert type(found).__name__ == "Attested", provider


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("[apple_app_attest]", "[apple]", "unknown section apple"),
        ("[apple_app_attest]", "[[apple_app_attest]]", "no section"),
        ("[apple_app_attest]", "[apple_app_attest", "TOML"),
        ("app_ids = ", "app_id = ", "app_ids"),
        ('root = "root.pem"', 'root = "none.pem"', "root"),
        ('root = "root.pem"', 'root = "root.pem"\nenvironment = "sandbox"', "environment"),
        ('root = "root.pem"', 'root = "root.pem"\nteam = "x"', "unknown member apple_app_attest.team"),
        ("package_names = [", "package_names = [7, ", "package_names"),
        ("certificate_sha256 = [", 'certificate_sha256 = ["xyz", ', "certificate_sha256"),
        ('decryption_key = "', 'decryption_key = "!', "decryption_key"),
        ('decryption_key = "', 'strong = "yes"\ndecryption_key = "', "strong"),
        ('public_key = "', 'public_key = "AAAA', "software test key"),
    ],
)
def test_a_mistake_in_the_file_is_named_and_no_key_is_shown(file: Path, old: str, new: str, named: str) -> None:
    file.write_text(file.read_text().replace(old, new))
    with pytest.raises(AttestationMisconfigured, match=named) as caught:
        read_verifiers(file)
    assert base64.b64encode(AES_KEY).decode() not in str(caught.value)


def test_a_file_with_a_secret_that_others_may_read_stops_the_start(file: Path, tmp_path: Path) -> None:
    file.chmod(0o644)
    with pytest.raises(AttestationMisconfigured, match="owner only"):
        read_verifiers(file)
    with pytest.raises(AttestationMisconfigured, match="cannot be read"):
        read_verifiers(tmp_path / "none.toml")
