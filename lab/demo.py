"""The whole story on a simulated person, told over real HTTP against the running service.

It starts the service as an operator would (``mien serve``), then plays a phone app, the person, and a generator backend.
Every step prints one line with its time; the first that ends otherwise than it should ends the demo with exit code 1. What
each step answered is left in files, and ``report.html`` shows them together.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from lab.report import Scene, write_report

_READY_S = 60
_JUDGE_S = 90
_CLIP_S = 180
_SCRIPT = "This is a clip of me, made by a computer. I was asked first, and I can take it back."
_PURPOSE = "digital_double"
_LOCAL_BACKEND = "portrait"


class StepFailed(Exception):
    """A step ended otherwise than the story says."""

    code = "demo_failed"


def demo(out: Path, *, weights: Path) -> int:
    """Tell the story; gives the exit code."""
    begun = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    for old in out.iterdir():
        if old.is_file():
            old.unlink()
    try:
        with _service(weights, out / "service.log") as (url, environment):
            _Story(out=out, weights=weights, url=url, environment=environment).tell()
    except (StepFailed, httpx.HTTPError, subprocess.TimeoutExpired) as error:
        print(
            f"mien: demo_failed: {' '.join(str(error).split())} (service log: {out / 'service.log'})", file=sys.stderr
        )
        return 1
    print(f"Done in {time.monotonic() - begun:.0f} s. Open {out / 'report.html'}")
    return 0


# --- the service -----------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _service(weights: Path, log: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """A service of its own under ``var/demo``, for simulated people only, on a free port; ended at the end."""
    port = _free_port()
    var = weights.resolve().parent / "demo"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MIEN_")} | {
        "MIEN_VAR": str(var),
        "MIEN_WEIGHTS": str(weights.resolve()),
        "MIEN_PORT": str(port),
        "MIEN_POLICY": "simulated",
        "MIEN_MINIMUM_ASSURANCE": "simulated",
        "MIEN_CONTROLLER": "Mien demo",
        "MIEN_CONTROLLER_CONTACT": "nobody: this is a demonstration on one machine",
    }
    url = f"http://127.0.0.1:{port}"
    start = time.monotonic()
    with log.open("wb") as output:
        process = subprocess.Popen([*_MIEN, "serve"], env=environment, stdout=output, stderr=output)
    try:
        _wait_until_ready(url, process)
        _line("service", f"PostgreSQL, migrations, HTTP and worker at {url}", time.monotonic() - start)
        yield url, environment
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


_MIEN = (sys.executable, "-m", "api.cli")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + _READY_S
    while time.monotonic() < until:
        if process.poll() is not None:
            raise StepFailed(f"the service ended with {process.returncode}")
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(f"{url}/healthz", timeout=2).status_code == 200:
                return  # the worker still loads its models; what is handed in waits for it
        time.sleep(0.2)
    raise StepFailed(f"the service was not ready within {_READY_S} s")


# --- the story -------------------------------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class _Story:
    """Who plays: ``app`` is the operator's server, ``person`` the phone, ``backend`` a generator, ``auditor`` an auditor."""

    out: Path
    weights: Path
    url: str
    environment: dict[str, str] = field(repr=False)
    scenes: list[Scene] = field(default_factory=list)

    def tell(self) -> None:
        keys = self._keys()
        app, backend, auditor = (_Caller(self.url, keys[role]) for role in ("app", "backend", "auditor"))
        session, person, judging = self._live_check(app, auditor)
        consent = self._consent(person, session)
        manager = _Caller(self.url, consent["manage_token"])
        tried_out = self._dry_run(manager, consent)
        self._refused_without_token(app)
        token = self._token(manager, consent, _LOCAL_BACKEND)
        self._refused_for_another_face(app, token)
        for_backend = self._permit(backend, manager, consent, _name("backend"))
        self._judged_again(judging)
        clip_id = self._clip(app, token)
        self._clip_is_marked()
        self._narrow(backend, manager, consent, for_backend)
        token = self._token(manager, consent, _LOCAL_BACKEND)  # those of before say more than is true now
        self._holds_offline(token, "after that", "缩小范围之后", code=None)
        self._revoke(app, manager, consent, token, clip_id)
        self._holds_offline(token, "once all is taken back", "全部撤回之后", code="revoked")
        self._log_verifies()
        self._evidence(auditor, consent)
        write_report(self.out, self.scenes, tried_out)

    def _keys(self) -> dict[str, str]:
        with self._step(
            "keys", "API keys for an app, a backend and an auditor", "为应用、生成后端与审计员创建密钥"
        ) as told:
            roles = ("app", "backend", "auditor")
            making = {role: self._begin("keys", "create", "--role", role, "--name", _name(role)) for role in roles}
            keys = {role: self._end(process, "keys create").strip() for role, process in making.items()}
            told("made, kept only as digests")
        return keys

    def _live_check(self, app: _Caller, auditor: _Caller) -> tuple[dict[str, Any], _Caller, subprocess.Popen[str]]:
        session = app.post(
            "/v1/liveness/sessions",
            {"subject_ref": f"demo-{secrets.token_hex(4)}", "language": "en", "purpose": _PURPOSE},
            want=201,
        )
        person = _Caller(self.url, session["client_token"])
        challenge, state, verdict = self._attempt(person, auditor, session["session_id"])
        while state["status"] != "passed" and state["attempts_left"]:  # about one genuine take in fifty is refused
            challenge, state, verdict = self._attempt(person, auditor, session["session_id"])
        _demand(state["status"] == "passed", f"the live check failed: {state['reasons']}")
        _demand(verdict["live"] is True, "the auditor sees another verdict than the person")
        return session, person, self._begin_judging_again(challenge)

    def _attempt(
        self, person: _Caller, auditor: _Caller, session_id: str
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """One challenge, performed and judged: the challenge, the session after it, and what an auditor sees."""
        path = f"/v1/liveness/sessions/{session_id}"
        with self._step("challenge", "A session and its challenge", "会话与活体检测任务") as told:
            challenge = person.post(f"{path}/challenge", {}, want=201)
            self._write("challenge.json", challenge)
            told(f"say {' '.join(challenge['digits'])}, then turn {', '.join(challenge['turns'])}")
        with self._step("perform", "A simulated person does it (capture.mp4)", "模拟人完成任务") as told:
            command = ["simulate", str(self.out / "capture.mp4"), "--digits", challenge["digits"]]
            self._mien(*command, "--turns", ",".join(challenge["turns"]), "--seed", str(secrets.randbelow(2**31)))
            recording = (self.out / "capture.mp4").read_bytes()
            told(f"{len(recording) / 1e6:.1f} MB, a public-domain portrait turned in 3D")
        with self._step("verdict", "The worker judges the recording", "后台判定录像") as told:
            person.put(f"{path}/capture", recording, want=202)
            state = _poll(lambda: person.get(path), lambda now: now["status"] != "judging", _JUDGE_S, "verdict")
            verdict = auditor.get(f"/v1/audit/sessions/{session_id}")["verdicts"][-1]
            self._write("verdict.json", verdict)
            if state["status"] == "passed":
                checks = len(verdict["checks"])
                told(f"live, assurance {verdict['assurance']}: {checks} of {checks} checks passed")
            else:
                advice = " ".join(said["text"] for said in state["advice"])
                told(f"refused, {', '.join(state['reasons'])}. {advice} {state['attempts_left']} attempts left")
        return challenge, state, verdict

    def _begin_judging_again(self, challenge: dict[str, Any]) -> subprocess.Popen[str]:
        """The same recording, judged by the command line while the story goes on."""
        command = ["examine", str(self.out / "capture.mp4"), "--digits", challenge["digits"]]
        command += ["--turns", ",".join(challenge["turns"]), "--policy", "simulated"]
        return self._begin(*command, "--plot", str(self.out / "verdict.png"))

    def _judged_again(self, judging: subprocess.Popen[str]) -> None:
        with self._step("plot", "The same recording judged offline, with its plot", "离线复核同一录像并绘图") as told:
            again = json.loads(self._end(judging, "examine"))
            verdict = json.loads((self.out / "verdict.json").read_text(encoding="utf-8"))
            _demand(_decisions(again) == _decisions(verdict), "judged twice, the verdict differs")
            told("same outcome of every check (verdict.png)")

    def _consent(self, person: _Caller, session: dict[str, Any]) -> dict[str, Any]:
        with self._step(
            "consent", "The person consents to a digital double, for a year", "本人同意制作数字分身"
        ) as told:
            terms = person.get("/v1/terms/en")
            wanted = {
                "session_id": session["session_id"],
                "terms_sha256": terms["sha256"],
                "purposes": [_PURPOSE],
                "audience": [_LOCAL_BACKEND, _name("backend")],
                "limits": {"max_seconds": 20, "forbidden_words": ["lottery"]},
            }
            consent = person.post("/v1/consents", wanted, want=201)
            record = {
                "consent_id": consent["consent_id"],
                "jws": consent["record"],
                "payload": _payload(consent["record"]),
            }
            self._write("record.json", record)
            self._write("receipt.json", consent["receipt"])
            self._write("jwks.json", _Caller(self.url, None).get("/.well-known/jwks.json"))
            told("signed record and a receipt that is checked offline")
        return consent

    def _dry_run(self, manager: _Caller, consent: dict[str, Any]) -> list[dict[str, Any]]:
        with self._step("dry-run", "The person tries out what that allows", "本人试查该同意允许什么") as told:
            tried = {"seconds": 10, "script": _SCRIPT}
            answer = manager.post(f"/v1/consents/{consent['consent_id']}/dry-run", tried, want=200)
            self._write("dry-run.json", answer)
            cases = list(answer["cases"])
            allowed = [case for case in cases if case["allowed"]]
            _demand({case["purpose"] for case in allowed} == {_PURPOSE}, "a dry run allows what was not agreed to")
            told(f"{len(allowed)} of {len(cases)} uses; everything that was not ticked is off")
        return cases

    def _token(self, manager: _Caller, consent: dict[str, Any], audience: str) -> str:
        wanted = {"audience": audience, "purpose": _PURPOSE, "ttl_s": 600}
        made = manager.post(f"/v1/consents/{consent['consent_id']}/tokens", wanted, want=201)
        return str(made["token"])

    def _refused_without_token(self, app: _Caller) -> None:
        with self._step("refusal", "A clip asked for without a token", "没有令牌的生成请求") as told:
            answer = app.post("/v1/clips", self._order([]), want=403)
            self._write("refusal-no-token.json", answer)
            told(_refused(answer, "no_token"))

    def _refused_for_another_face(self, app: _Caller, token: str) -> None:
        with self._step("refusal", "A clip with another person's face", "含有他人面孔的生成请求") as told:
            from importlib.resources import files

            other = files("insightface").joinpath("data/images/t1.jpg").read_bytes()
            media = app.post_bytes("/v1/media", other, want=201)
            answer = app.post("/v1/clips", self._order([token], media=[media["media_id"]]), want=403)
            self._write("refusal-other-face.json", answer)
            told(f"{_refused(answer, 'unknown_face')}; {len(media['faces'])} faces were found, none of them consented")

    def _permit(self, backend: _Caller, manager: _Caller, consent: dict[str, Any], name: str) -> dict[str, Any]:
        """A permit, spent once. Gives the question that was answered with yes."""
        with self._step("permit", "Any backend asks the gate (OpenID AuthZEN)", "任意后端向闸门询问许可") as told:
            job = hashlib.sha256(_SCRIPT.encode()).hexdigest()
            question: dict[str, Any] = {
                "subject": {"type": "backend", "id": name},
                "action": {"name": "generate"},
                "resource": {
                    "type": "likeness",
                    "id": "demo-job",
                    "properties": {"consent_tokens": [self._token(manager, consent, name)], "embeddings": []},
                },
                "context": {"purpose": _PURPOSE, "job_sha256": job, "seconds": 10, "script": _SCRIPT},
            }
            without_face = backend.post("/access/v1/evaluation", question, want=200)
            _demand(without_face["decision"] is False, "a permit was given for a job that shows nobody")
            photograph = backend.post_bytes("/v1/media", _still(self.out / "capture.mp4"), want=201)
            question["resource"]["properties"]["media"] = [photograph["media_id"]]
            answer = backend.post("/access/v1/evaluation", question, want=200)
            self._write("permit.json", answer)
            _demand(answer["decision"] is True, f"the gate refused: {answer['context'].get('reasons')}")
            spend = {"permit": answer["context"]["permit"], "job_sha256": job}
            backend.post("/v1/permits/redeem", spend, want=200)
            again = backend.call("POST", "/v1/permits/redeem", json=spend)
            _demand(again.status_code >= 400, "a permit was redeemed twice")
            told(f"permitted, redeemed once; a second time is refused ({again.json()['code']})")
        return question

    def _narrow(self, backend: _Caller, manager: _Caller, consent: dict[str, Any], question: dict[str, Any]) -> None:
        with self._step("narrow", "The person takes that backend out again", "本人把该后端移出允许范围") as told:
            less = {"audience": [_LOCAL_BACKEND]}
            manager.post(f"/v1/consents/{consent['consent_id']}/narrow", less, want=200)
            answer = backend.post("/access/v1/evaluation", question, want=200)
            self._write("refusal-narrowed.json", answer)
            refused = _refused(answer | {"reasons": answer["context"]["reasons"]}, "scope_audience")
            told(f"the same question again: {refused}")

    def _holds_offline(self, token: str, en: str, zh: str, *, code: str | None) -> None:
        """Check the token as a backend does that does not ask the gate: with public keys and the signed status list."""
        with self._step("offline", f"The token checked without the gate, {en}", f"不经闸门离线核验令牌，{zh}") as told:
            jwt = self.out / "token.jwt"
            jwt.write_text(token, encoding="ascii")
            listed = str(_payload(token)["status"]["status_list"]["uri"])
            command = ["token", "verify", str(jwt), "--keys", str(self.out / "jwks.json"), "--status", listed]
            answer = json.loads(self._mien(*command, ends_with=0 if code is None else 1))
            self._write("offline.json" if code is None else "offline-revoked.json", answer)
            _demand(answer.get("code") == code, f"the token reads {answer.get('code')}, not {code}")
            told("it holds" if code is None else f"refused, {code}")

    def _clip(self, app: _Caller, token: str) -> str:
        with self._step("clip", "A clip with consent, from portrait and script", "经同意生成视频") as told:
            accepted = app.post("/v1/clips", self._order([token]), want=202)
            clip_id = str(accepted["clip_id"])
            state = app.watch(f"/v1/clips/{clip_id}/events", _CLIP_S)
            _demand(state.get("state") == "done", f"the clip ended as {state.get('state')}: {state.get('code')}")
            content = app.call("GET", f"/v1/clips/{clip_id}/content")
            _demand(content.status_code == 200, f"the clip's content answered {content.status_code}")
            (self.out / "clip.mp4").write_bytes(content.content)
            self._write("clip.json", state)
            told(f"{state['duration_ms'] / 1000:.1f} s, {len(content.content) / 1e6:.1f} MB")
        return clip_id

    def _clip_is_marked(self) -> None:
        with self._step(
            "mark", "Its manifest, read offline under the service's anchor", "离线核验视频来源凭证"
        ) as told:
            anchor = _Caller(self.url, None).call("GET", "/v1/provenance/anchor")
            (self.out / "anchor.pem").write_bytes(anchor.content)
            command = ["clip", "verify", str(self.out / "clip.mp4"), "--anchor", str(self.out / "anchor.pem")]
            manifest = json.loads(self._mien(*command))
            self._write("manifest.json", manifest)
            _demand(manifest["state"] == "Trusted", f"the manifest reads {manifest['state']}")
            told("C2PA manifest Trusted; label on every frame")

    def _revoke(self, app: _Caller, manager: _Caller, consent: dict[str, Any], token: str, clip_id: str) -> None:
        with self._step("revoke", "The person takes the consent back", "本人撤回同意") as told:
            revoked = manager.post(f"/v1/consents/{consent['consent_id']}/revoke", {}, want=200)
            self._write("revoked.json", revoked)
            answer = app.post("/v1/clips", self._order([token]), want=403)
            self._write("refusal-revoked.json", answer)
            gone = app.call("GET", f"/v1/clips/{clip_id}/content")
            _demand(gone.status_code == 410, f"the clip of a revoked consent answered {gone.status_code}")
            told(f"{_refused(answer, 'revoked')}; the clip is withdrawn, keys of face and portrait are destroyed")

    def _log_verifies(self) -> None:
        with self._step("log", "The log, and the person's receipt offline", "核验日志与本人回执") as told:
            receipt, keys = str(self.out / "receipt.json"), str(self.out / "jwks.json")
            both = [
                self._begin("ledger", "verify"),
                self._begin("ledger", "verify", "--proof", receipt, "--keys", keys),
            ]
            ledger, proof = (json.loads(self._end(one, "ledger verify")) for one in both)
            self._write("ledger.json", {"log": ledger, "receipt": proof})
            _demand(ledger["valid"] is True and proof["valid"] is True, "the log does not verify")
            told(f"all {ledger['entries']} entries hash to the signed root; the receipt proves entry {proof['index']}")

    def _evidence(self, auditor: _Caller, consent: dict[str, Any]) -> None:
        with self._step("evidence", "An evidence pack for an auditor, checked offline", "审计证据包，离线核验") as told:
            pack = auditor.call("GET", f"/v1/audit/evidence/{consent['consent_id']}")
            _demand(pack.status_code == 200, f"the evidence pack answered {pack.status_code}")
            file = self.out / "evidence.json"
            file.write_bytes(pack.content)
            answer = json.loads(self._mien("evidence", "verify", str(file), "--keys", str(self.out / "jwks.json")))
            _demand(answer["valid"] is True, "the evidence pack does not verify")
            told(f"{len(pack.content) / 1000:.0f} kB with every event, use and proof")

    def _order(self, tokens: list[str], media: list[str] | None = None) -> dict[str, Any]:
        return {
            "kind": "portrait",
            "backend": _LOCAL_BACKEND,
            "tokens": tokens,
            "media": media or [],
            "script": _SCRIPT,
            "purpose": _PURPOSE,
        }

    def _mien(self, *arguments: str, ends_with: int = 0) -> str:
        return self._end(self._begin(*arguments), " ".join(arguments[:2]), ends_with=ends_with)

    def _begin(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*_MIEN, *arguments],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def _end(self, process: subprocess.Popen[str], what: str, *, ends_with: int = 0) -> str:
        try:
            answer, complaint = process.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        ended = f"mien {what} ended with {process.returncode}: {complaint or answer}"
        _demand(process.returncode == ends_with, ended)
        return answer

    def _write(self, name: str, value: object) -> None:
        (self.out / name).write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    @contextlib.contextmanager
    def _step(self, name: str, en: str, zh: str) -> Iterator[Callable[[str], None]]:
        start = time.monotonic()
        results: list[str] = []
        yield results.append
        seconds = time.monotonic() - start
        result = results[-1] if results else ""
        self.scenes.append(Scene(name=name, en=en, zh=zh, result=result, seconds=seconds))
        _line(name, f"{en}: {result}", seconds)


# --- calls -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Caller:
    """HTTP as one of the players. Answers that are not as wanted end the story."""

    url: str
    secret: str | None = field(repr=False)

    def call(self, method: str, path: str, **how: Any) -> httpx.Response:
        headers = dict(how.pop("headers", {}))
        if self.secret is not None:
            headers["Authorization"] = f"Bearer {self.secret}"
        return httpx.request(method, f"{self.url}{path}", headers=headers, timeout=60, **how)

    def get(self, path: str) -> dict[str, Any]:
        return self._answer(self.call("GET", path), path, 200)

    def post(self, path: str, body: dict[str, Any], *, want: int) -> dict[str, Any]:
        headers = {"Idempotency-Key": secrets.token_hex(16)}
        return self._answer(self.call("POST", path, json=body, headers=headers), path, want)

    def post_bytes(self, path: str, data: bytes, *, want: int) -> dict[str, Any]:
        return self._answer(self.call("POST", path, content=data, headers=_digest(data)), path, want)

    def put(self, path: str, data: bytes, *, want: int) -> dict[str, Any]:
        return self._answer(self.call("PUT", path, content=data, headers=_digest(data)), path, want)

    def watch(self, path: str, seconds: float) -> dict[str, Any]:
        """Follow server-sent events to the last one."""
        headers = {"Authorization": f"Bearer {self.secret}"}
        last: dict[str, Any] = {}
        until = time.monotonic() + seconds
        with httpx.stream("GET", f"{self.url}{path}", headers=headers, timeout=30) as answer:
            for line in answer.iter_lines():
                if line.startswith("data: "):
                    last = json.loads(line.removeprefix("data: "))
                if time.monotonic() > until:
                    raise StepFailed(f"the clip took longer than {seconds:.0f} s")
        return last

    @staticmethod
    def _answer(response: httpx.Response, path: str, want: int) -> dict[str, Any]:
        try:
            body = response.json()
        except ValueError:
            body = {}
        if response.status_code != want:
            raise StepFailed(f"{path} answered {response.status_code} {body.get('code', '')}, not {want}")
        return dict(body)


def _name(role: str) -> str:
    return f"demo-{role}"


def _digest(data: bytes) -> dict[str, str]:
    return {"Content-Digest": f"sha-256=:{base64.b64encode(hashlib.sha256(data).digest()).decode()}:"}


def _poll(
    look: Callable[[], dict[str, Any]], done: Callable[[dict[str, Any]], bool], seconds: float, what: str
) -> dict[str, Any]:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        state = look()
        if done(state):
            return state
        time.sleep(0.25)
    raise StepFailed(f"no {what} within {seconds:.0f} s")


def _refused(answer: dict[str, Any], code: str) -> str:
    codes = list(dict.fromkeys(reason["code"] for reason in answer.get("reasons", [])))
    _demand(answer.get("decision") is False and code in codes, f"refused with {codes}, not with {code}")
    return f"refused, {code}"


def _decisions(verdict: dict[str, Any]) -> list[tuple[str, str, object]]:
    return [(check["name"], check["outcome"], check["value"]) for check in verdict["checks"]]


def _payload(jws: str) -> Any:
    part = jws.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def _still(recording: Path) -> bytes:
    """A photograph of the person, as a backend would be handed one: a frame of the recording, PNG."""
    import cv2

    from liveness.decode import still

    image = still(recording.read_bytes(), 500)
    good, encoded = cv2.imencode(".png", image[..., ::-1])
    _demand(bool(good), "the picture could not be written")
    return bytes(encoded)


def _demand(true: bool, otherwise: str) -> None:
    if not true:
        raise StepFailed(otherwise)


def _line(name: str, text: str, seconds: float) -> None:
    print(f"{name:<10} {seconds:6.1f} s  {text}", flush=True)
