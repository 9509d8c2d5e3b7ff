"""Signed notes, checkpoints and cosignatures: other people's notes open, and nothing that was touched does."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from consent.errors import NoteInvalid
from consent.keys import KeySet
from consent.note import (
    Checkpoint,
    Note,
    SignatureType,
    Verifier,
    cosign,
    log_verifiers,
    open_checkpoint,
    read_checkpoint,
    read_note,
    read_vkey,
    sign_note,
    signed_by,
    witness_verifier,
)
from tests.consent.given import KEY, NOW, OTHER_KEY

# The example of golang.org/x/mod/sumdb/note, from which the C2SP specification came
NEUMANN = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
NEUMANN_NOTE = (
    "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n\n"
    "\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
)
SUMDB = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"

ORIGIN = "log.example/one"
LOG = log_verifiers(KeySet.of(KEY), origin=ORIGIN)
WITNESS = witness_verifier(OTHER_KEY, name="witness.example/w1")
CHECKPOINT = Checkpoint(origin=ORIGIN, size=42, root=bytes(range(32)))


def signed(checkpoint: Checkpoint = CHECKPOINT, *, cosigned: bool = True) -> str:
    signatures = [sign_note(checkpoint.text, KEY, name=checkpoint.origin)]
    if cosigned:
        signatures.append(cosign(checkpoint.text, OTHER_KEY, name=WITNESS.name, at=NOW))
    return Note(text=checkpoint.text, signatures=tuple(signatures)).to_text()


def test_a_note_that_another_implementation_signed_opens() -> None:
    note, known = read_note(NEUMANN_NOTE), read_vkey(NEUMANN)
    assert [one.by for one in signed_by(note, [known])] == [known]
    assert note.to_text() == NEUMANN_NOTE
    assert known.vkey == NEUMANN
    assert read_vkey(SUMDB).name == "sum.golang.org"


def test_a_cosignature_is_what_the_specification_says_byte_by_byte() -> None:
    seconds = int(NOW.timestamp())
    private = Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33)))
    public = private.public_key().public_bytes_raw()
    message = f"cosignature/v1\ntime {seconds}\n{CHECKPOINT.text}".encode()
    key_id = hashlib.sha256(b"witness.example/w1\n\x04" + public).digest()[:4]
    value = key_id + seconds.to_bytes(8, "big") + private.sign(message)
    line = f"\u2014 witness.example/w1 {base64.b64encode(value).decode()}\n"
    assert cosign(CHECKPOINT.text, OTHER_KEY, name="witness.example/w1", at=NOW).line == line
    assert CHECKPOINT.text == f"{ORIGIN}\n42\n{base64.b64encode(bytes(range(32))).decode()}\n"


def test_a_checkpoint_says_who_signed_it_and_when() -> None:
    checkpoint, signers = open_checkpoint(signed(), [*LOG, WITNESS])
    assert checkpoint == CHECKPOINT
    assert [(one.by, one.at) for one in signers] == [(LOG[0], None), (WITNESS, NOW)]


def test_lines_of_strangers_are_passed_over_even_under_a_known_name() -> None:
    stranger = Verifier(name=ORIGIN, kind=SignatureType.ED25519, public=OTHER_KEY.public_bytes)
    assert open_checkpoint(signed(), LOG)[0] == CHECKPOINT
    with pytest.raises(NoteInvalid) as caught:
        open_checkpoint(signed(), [stranger])
    assert caught.value.code == "note_unsigned"
    with pytest.raises(NoteInvalid):
        open_checkpoint(signed(), [])


def test_a_known_key_whose_line_does_not_hold_spoils_the_note() -> None:
    other = Checkpoint(origin=ORIGIN, size=43, root=bytes(32))
    line = cosign(other.text, OTHER_KEY, name=WITNESS.name, at=NOW).line
    note = signed(cosigned=False) + line
    with pytest.raises(NoteInvalid) as caught:
        open_checkpoint(note, [*LOG, WITNESS])
    assert caught.value.code == "bad_signature"
    assert open_checkpoint(note, LOG)[0] == CHECKPOINT


def test_a_log_signature_is_no_cosignature_and_the_other_way_round() -> None:
    as_witness = Verifier(name=ORIGIN, kind=SignatureType.COSIGNATURE, public=KEY.public_bytes)
    with pytest.raises(NoteInvalid):
        open_checkpoint(signed(), [as_witness])
    as_log = Verifier(name=WITNESS.name, kind=SignatureType.ED25519, public=OTHER_KEY.public_bytes)
    with pytest.raises(NoteInvalid):
        open_checkpoint(signed(), [as_log])


def test_a_key_counts_once_however_often_it_signed() -> None:
    note = signed() + cosign(CHECKPOINT.text, OTHER_KEY, name=WITNESS.name, at=NOW).line
    assert len(signed_by(read_note(note), [WITNESS])) == 1


@settings(max_examples=300, deadline=None, print_blob=True)
@given(data=st.data())
def test_any_changed_character_of_a_checkpoint_is_refused(data: st.DataObject) -> None:
    text = signed(cosigned=False)
    place = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters(codec="utf-8").filter(lambda c: c != text[place]))
    with pytest.raises(NoteInvalid):
        open_checkpoint(text[:place] + other + text[place + 1 :], LOG)


@settings(max_examples=300, deadline=None, print_blob=True)
@given(st.text() | st.text(alphabet="a\n \u2014+/=0A", max_size=80))
def test_any_text_is_a_note_or_an_error_of_ours(text: str) -> None:
    try:
        found = read_note(text)
    except NoteInvalid:
        return
    assert found.to_text() == text


@pytest.mark.parametrize(
    "text",
    [
        "", "a\n", "a\n\n", "a\n\n\u2014 name\n", "a\n\n\u2014 name AAAA\n", "a\n\n- name AAAAAAAA\n",
        "a\n\n\u2014 na+me AAAAAAAA\n",
        "a\n\n\u2014  AAAAAAAA\n", "a\n\n\u2014 name AAAAAAAA", "a\n\n\u2014 name AAAAAAA\n", "a\t\n\n\u2014 name AAAAAAAA\n",
        "a\ud800\n\n\u2014 name AAAAAAAA\n", "a\n\n" + "\u2014 name AAAAAAAA\n" * 65,
        "a" * 70_000 + "\n\n\u2014 name AAAAAAAA\n",
    ],
)  # fmt: skip
def test_other_text_is_no_note(text: str) -> None:
    with pytest.raises(NoteInvalid):
        read_note(text)


ROOT = base64.b64encode(bytes(32)).decode()


@pytest.mark.parametrize(
    "text",
    ["", "\n", "a\n1\n", f"a\n01\n{ROOT}\n", f"a\n-1\n{ROOT}\n", f"a\n1\n{ROOT}", f"a\n1\n{ROOT[:-4]}\n", f"\n1\n{ROOT}\n",
     f"a\n1\n{ROOT}\n\n", f"a\n\u0661\n{ROOT}\n", f"a b\n1\n{ROOT}\n", f"a\n1\n{ROOT} \n"],
)  # fmt: skip
def test_other_text_is_no_checkpoint(text: str) -> None:
    with pytest.raises(NoteInvalid):
        read_checkpoint(text)


def test_extension_lines_are_part_of_what_is_signed_and_mean_nothing() -> None:
    text = CHECKPOINT.text + "something else\n"
    assert read_checkpoint(text) == CHECKPOINT
    note = Note(text=text, signatures=(sign_note(text, KEY, name=ORIGIN),)).to_text()
    assert open_checkpoint(note, LOG)[0] == CHECKPOINT
    with pytest.raises(NoteInvalid):
        open_checkpoint(note.replace("else", "more"), LOG)


@pytest.mark.parametrize(
    "vkey",
    ["", "name", "name+c74f20a3", NEUMANN.replace("c74f20a3", "c74f20a4"), NEUMANN.replace("c74f20a3", "C74F20A3"),
     NEUMANN.replace("Peter", "Paul"), NEUMANN.replace("+ARpc", "+AhpC"), NEUMANN[:-4], NEUMANN + "=",
     NEUMANN.replace("P", " ", 1)],
)  # fmt: skip
def test_a_verifier_key_that_contradicts_itself_is_refused(vkey: str) -> None:
    with pytest.raises(NoteInvalid):
        read_vkey(vkey)


def test_a_cosignature_from_beyond_the_calendar_is_refused() -> None:
    line = cosign(CHECKPOINT.text, OTHER_KEY, name=WITNESS.name, at=datetime(9999, 12, 31, tzinfo=UTC))
    late = base64.b64encode(line.key_id + (2**63 - 1).to_bytes(8, "big") + line.value[8:]).decode()
    with pytest.raises(NoteInvalid) as caught:
        open_checkpoint(signed(cosigned=False) + f"\u2014 {WITNESS.name} {late}\n", [*LOG, WITNESS])
    assert caught.value.code == "bad_signature"


def test_what_is_no_note_text_is_not_signed() -> None:
    with pytest.raises(ValueError, match="line end"):
        KEY.sign_note_text(b"eyJhbGciOiJFZDI1NTE5In0.e30")
