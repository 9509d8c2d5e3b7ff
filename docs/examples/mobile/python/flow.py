"""The mobile flow from end to end: live check, consent, receipt, and taking it back. Needs Python 3.11 and httpx.

    export APP_KEY=...      # of your server: mien keys create --role app --name my-app
    python flow.py http://127.0.0.1:8000 --record 'mien simulate {out} --digits {digits} --turns {turns}'

Two parties are played here. ``begin_session`` is what your server does with its API key. All else is what the phone does with
the client token, and later the person with their manage token. ``--record`` stands for the camera: a command that leaves the
recording in ``{out}``.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

TRIES = 4
JUDGING_S = 120
AGAIN = {425, 429, 502, 503, 504}


class Problem(Exception):
    """The service would not do it. ``code`` is stable; ``status`` 0 means that no answer came."""

    def __init__(self, code: str, status: int, more: dict[str, Any] | None = None) -> None:
        super().__init__(code)
        self.code, self.status, self.more = code, status, more or {}


class Mien:
    """The service as one caller sees it: ``secret`` is an API key, a client token or a manage token."""

    def __init__(self, url: str, secret: str | None = None) -> None:
        headers = {} if secret is None else {"Authorization": f"Bearer {secret}"}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=60)

    def call(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        recording: bytes | None = None,
        query: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        key: str | None = None,
    ) -> Any:
        """One call. A write is sent again under its first ``Idempotency-Key``: it is carried out once, however often it
        arrives. Give the ``key`` yourself to go on with it after the app was restarted.

        Raises: Problem.
        """
        said = dict(headers or {})
        if method != "GET":
            said["Idempotency-Key"] = key or str(uuid.uuid4())
        if recording is not None:
            digest = base64.b64encode(hashlib.sha256(recording).digest()).decode()
            said |= {"Content-Type": "video/mp4", "Content-Digest": f"sha-256=:{digest}:"}
        for number in range(1, TRIES + 1):
            try:
                answer = self._http.request(
                    method, path, json=body, content=recording, params=query or {}, headers=said
                )
            except httpx.TransportError:
                problem, wait_s = Problem("no_answer", 0), 0.0
            else:
                if answer.is_success:
                    return answer.json()
                problem, wait_s = _problem(answer), float(answer.headers.get("Retry-After", 0))
            if number == TRIES or not _may_pass(problem):
                raise problem
            time.sleep(max(wait_s, 0.25 * 2**number))
        raise AssertionError("unreachable")


def _problem(answer: httpx.Response) -> Problem:
    try:
        said = answer.json()
    except ValueError:
        said = {}  # of a proxy, not of the service
    return Problem(str(said.get("code", "no_answer")), answer.status_code, said)


def _may_pass(problem: Problem) -> bool:
    if problem.code == "request_in_progress":  # our own first sending is still being worked on
        return True
    return problem.code != "locked_out" and (problem.status == 0 or problem.status in AGAIN)


# --- your server -----------------------------------------------------------------------------------------------------


def begin_session(
    app: Mien, subject_ref: str, *, device_ref: str | None = None, language: str = "en"
) -> dict[str, Any]:
    """Your server, with its API key. The phone gets ``session_id`` and ``client_token``, and nothing else."""
    body = {"subject_ref": subject_ref, "language": language, "purpose": "digital_double"}
    if device_ref is not None:
        body["device_ref"] = device_ref
    made: dict[str, Any] = app.call("POST", "/v1/liveness/sessions", body)
    return made


# --- the phone -------------------------------------------------------------------------------------------------------

Record = Callable[[dict[str, Any]], bytes]
"""Shows the prompts of a challenge and gives the recording."""


@dataclass
class Phone:
    """What the person's phone does in one session."""

    mien: Mien
    session_id: str
    show: Callable[[str], None]

    @property
    def _path(self) -> str:
        return f"/v1/liveness/sessions/{self.session_id}"

    def live_check(self, record: Record, *, path: str = "standard", extra_time: bool = False) -> dict[str, Any]:
        """Attempts until one passes or none is left. The session as it ended.

        Raises: Problem, for instance ``locked_out`` with ``locked_until``.
        """
        while True:
            challenge = self.mien.call("POST", f"{self._path}/challenge", {"path": path, "extra_time": extra_time})
            try:
                self.hand_in(record(challenge), key=challenge["challenge_id"])
            except Problem as problem:
                if problem.code == "challenge_expired" and challenge["attempts_left"] > 0:
                    self.show("Time ran out. Here are new digits.")
                    continue
                raise
            state = self.verdict()
            if state["status"] == "passed" or state["attempts_left"] == 0:
                return state
            for advice in state["advice"]:
                self.show(advice["text"])  # written for the person, in the language of the session

    def terms(self, language: str = "en") -> dict[str, Any]:
        """The words to show, with their hash."""
        shown: dict[str, Any] = self.mien.call("GET", f"/v1/terms/{language}")
        return shown

    def agree_to_check(self, terms: dict[str, Any]) -> dict[str, Any]:
        """The person read ``terms["text"]`` and agrees to be checked. It is no consent to a double."""
        said: dict[str, Any] = self.mien.call("POST", f"{self._path}/check-consent", {"terms_sha256": terms["sha256"]})
        return said

    def hand_in(self, recording: bytes, *, key: str, mirrored: bool = False, attestation: str | None = None) -> None:
        """``key``: the challenge's id. A challenge takes one recording, so it names this upload also after a restart."""
        self.mien.call(
            "PUT",
            f"{self._path}/capture",
            recording=recording,
            query={"mirrored": str(mirrored).lower()},
            headers={} if attestation is None else {"Mien-Attestation": attestation},
            key=key,
        )

    def verdict(self) -> dict[str, Any]:
        """Asks until the recording is judged."""
        until = time.monotonic() + JUDGING_S
        while time.monotonic() < until:
            state: dict[str, Any] = self.mien.call("GET", self._path)
            if state["status"] != "judging":
                return state
            time.sleep(1)
        raise Problem("judging_timeout", 0)

    def consent(self, terms: dict[str, Any], choices: dict[str, Any]) -> dict[str, Any]:
        """``choices``: what the person turned on; every purpose is off unless named. ``receipt`` and ``manage_token`` of the
        answer are the person's: keep both where only they can read."""
        body = {"session_id": self.session_id, "terms_sha256": terms["sha256"]} | choices
        given: dict[str, Any] = self.mien.call("POST", "/v1/consents", body)
        return given


# --- the person, later -----------------------------------------------------------------------------------------------


@dataclass
class Consent:
    """A consent in the hands of its person: ``mien`` has the manage token."""

    mien: Mien
    consent_id: str

    def look(self) -> Any:
        return self.mien.call("GET", f"/v1/consents/{self.consent_id}")

    def narrow(self, **less: Any) -> Any:
        """What is left out stays as it is. It can only become less."""
        return self.mien.call("POST", f"/v1/consents/{self.consent_id}/narrow", less)

    def revoke(self) -> Any:
        """Ends it at once. Twice changes nothing."""
        return self.mien.call("POST", f"/v1/consents/{self.consent_id}/revoke", {})

    def purges(self) -> Any:
        """Which generators still have to confirm that they deleted what they held, and until when."""
        return self.mien.call("GET", f"/v1/consents/{self.consent_id}/purges")["purges"]


def command_recorder(command: str) -> Record:
    """A camera in the form of a command with ``{out}``, ``{digits}`` and ``{turns}``."""

    def record(challenge: dict[str, Any]) -> bytes:
        for prompt in challenge["prompts"]:
            print("  ", prompt["text"])
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "take.mp4"
            said = {"out": out, "digits": challenge["digits"], "turns": ",".join(challenge["turns"])}
            words = [word.format(**said) for word in shlex.split(command)]
            subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
            return out.read_bytes()

    return record


def write_own(path: Path, content: dict[str, Any]) -> None:
    """Write a file that nobody but its owner can read."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(content, file, indent=2)


def main() -> int:
    parser = argparse.ArgumentParser(description="A live check, a consent, its receipt, and taking it back.")
    parser.add_argument("url")
    parser.add_argument("--record", required=True, help="command that leaves the recording in {out}")
    parser.add_argument("--receipt", type=Path, default=Path("receipt.json"))
    asked = parser.parse_args()

    session = begin_session(Mien(asked.url, os.environ["APP_KEY"]), f"person-{uuid.uuid4().hex[:8]}")
    phone = Phone(Mien(asked.url, session["client_token"]), session["session_id"], show=print)
    terms = phone.terms()
    print(f"Terms {terms['version']}, {len(terms['text'])} characters. Agreed to the check.")
    phone.agree_to_check(terms)
    state = phone.live_check(command_recorder(asked.record))
    if state["status"] != "passed":
        print("Not shown live:", ", ".join(state["reasons"]))
        return 1
    print(f"Shown live, assurance {state['assurance']}.")

    choices = {"purposes": ["digital_double"], "audience": ["portrait"], "limits": {"max_seconds": 20}}
    given = phone.consent(terms, choices)
    write_own(asked.receipt, given["receipt"])
    print(f"Consent {given['consent_id']}, receipt in {asked.receipt}.")

    mine = Consent(Mien(asked.url, given["manage_token"]), given["consent_id"])
    print("Narrowed to", mine.narrow(limits={"max_seconds": 10})["limits"]["max_seconds"], "seconds.")
    print("Taken back:", mine.revoke()["state"], "with", len(mine.purges()), "deletions to confirm.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
