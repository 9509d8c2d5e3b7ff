"""The command ``mien``.

Every command answers on stdout (JSON where a program may read it) and complains on stderr, in one line with a code. Heavy
parts are imported inside the command that needs them, so that ``mien --help`` is quick.

Exit codes: 0 done (and live, same person, verified); 1 the answer is no; 2 the input or the call cannot be used; 3 something
of the installation is missing or damaged; 130 stopped with Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime

    from api.settings import Settings
    from liveness.capture import RgbImage
    from liveness.challenge import Challenge
    from liveness.evidence import FaceEmbedder, FaceFinder, Transcript
    from liveness.examine import Engines
    from liveness.policy import LivenessPolicy
    from liveness.template import FaceTemplate

_YES, _NO, _UNUSABLE, _BROKEN, _STOPPED = 0, 1, 2, 3, 130
_INSTALLATION_ERRORS = {
    "WeightsError",
    "EngineError",
    "KeysInvalid",
    "KeysUnusable",
    "AttestationMisconfigured",
    "DatabaseUnavailable",
    "SchemaOutdated",
    "WitnessStateInvalid",
    "AddressTaken",
    "StorageUnavailable",
    "MasterUnavailable",
    "VoiceMissing",
    "GateUnavailable",
    "ExtraMissing",
}


class InputInvalid(Exception):
    """What was asked for cannot be done with this input."""

    def __init__(self, message: str, *, code: str = "input_invalid") -> None:
        super().__init__(message)
        self.code = code


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the command line."""
    options = _parser().parse_args(arguments)
    try:
        status = options.run(options)
    except KeyboardInterrupt:
        status = _STOPPED
    except BrokenPipeError:
        # the reader left (mien ... | head): not our fault, and nothing more can be said to it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = _YES
    except Exception as error:  # the last resort of a command line: one line, never a traceback
        if os.environ.get("PYTHONDEVMODE") == "1":
            raise
        code, status = _meaning(error)
        print(f"mien: {code}: {_one_line(error)}", file=sys.stderr)
    sys.exit(status)


def _meaning(error: Exception) -> tuple[str, int]:
    """Code and exit status of an error: whose part it is to do something about it."""
    code = getattr(error, "code", None)
    if isinstance(code, str):
        kinds = {kind.__name__ for kind in type(error).__mro__}
        return code, _BROKEN if kinds & _INSTALLATION_ERRORS else _UNUSABLE
    if isinstance(error, OSError | ValueError):
        return "input_invalid", _UNUSABLE
    return "internal_error", _BROKEN


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


# --- the commands ----------------------------------------------------------------------------------------------------


def _examine(options: argparse.Namespace) -> int:
    from datetime import UTC, datetime
    from time import perf_counter

    from api.engines import open_liveness
    from liveness.digits import Language
    from liveness.examine import examine_recording, verdict_json
    from liveness.policy import POLICIES

    policy, language = POLICIES[options.policy], Language(options.language)
    challenge = _challenge(options, policy, now=datetime.now(UTC))
    data = _read(options.capture)
    if options.repeat is not None:
        if options.repeat < 1 or options.json or options.plot:
            raise InputInvalid("--repeat is at least 1, and goes with neither --json nor --plot")
        return _judged_again_and_again(options, data, challenge, policy)
    with _own_output():
        start = perf_counter()
        engines = open_liveness(_settings(options), languages=(language,))
        loaded = perf_counter()
        if challenge.digits and language not in engines.recognisers:
            raise InputInvalid(f"no speech recogniser for {language.value} is installed", code="language_unavailable")
        found = examine_recording(
            data, challenge, policy=policy, engines=engines, mirrored=options.mirrored, now=datetime.now(UTC)
        )
        timing = {"load_models": round(1000 * (loaded - start)), **found.timing_ms}
        answer = json.dumps(verdict_json(found.verdict, timing), indent=2)
        if options.plot:
            from liveness.plot import plot

            plot(found, policy, Path(options.plot))
    if options.json:
        Path(options.json).write_text(answer + "\n", encoding="utf-8")
    print(answer)
    return _YES if found.live else _NO


def _judged_again_and_again(
    options: argparse.Namespace, data: bytes, challenge: Challenge, policy: LivenessPolicy
) -> int:
    """As a worker judges, in the judge's process and with the portrait of a live person, so that benchmarks measure that."""
    from datetime import UTC, datetime
    from time import perf_counter

    from api.examiner import HandedIn
    from api.judge_process import JudgeProcess
    from liveness.examine import verdict_json
    from liveness.verdict import Live

    repeated = []
    with _own_output(), JudgeProcess(_settings(options)) as judge:
        judge.wait_until_ready()
        for _ in range(options.repeat):
            start = perf_counter()
            handed = HandedIn(
                data=data, challenge=challenge, policy=policy, mirrored=options.mirrored, now=datetime.now(UTC)
            )
            judged = judge.examine(handed)
            repeated.append(round(1000 * (perf_counter() - start)))
    print(json.dumps(verdict_json(judged.verdict, judged.timing_ms) | {"repeated_ms": repeated}, indent=2))
    return _YES if isinstance(judged.verdict, Live) else _NO


def _simulate(options: argparse.Namespace) -> int:
    with _simulator():
        from lab.person import SMALL_TURN_DEG, TURN_DEG
        from lab.simulate import simulate
    from liveness.digits import Language
    from liveness.policy import SIMULATED
    from liveness.policy import Path as ChosenPath

    settings = _settings(options)
    language = Language(options.language)
    challenge = _challenge(options, SIMULATED, now=_long_ago())
    with _own_output(), _bar("rendering") as progress:
        simulate(
            Path(options.out),
            steps=challenge.steps,
            language=language,
            turn_deg=SMALL_TURN_DEG if challenge.path is ChosenPath.SMALL_TURNS else TURN_DEG,
            person=options.person,
            portrait=None if options.portrait is None else Path(options.portrait),
            attack=options.attack,
            seed=options.seed,
            weights=settings.weights,
            progress=progress,
        )
    print(json.dumps({"out": options.out, "attack": options.attack, "seed": options.seed}))
    return _YES


def _challenge(options: argparse.Namespace, policy: LivenessPolicy, *, now: datetime) -> Challenge:
    """What the options say was asked for."""
    from liveness.challenge import asked, of_steps, read_steps
    from liveness.digits import Language
    from liveness.policy import Path as ChosenPath

    language, path = Language(options.language), ChosenPath(options.path)
    if options.steps is not None:
        if options.digits is not None or options.turns is not None:
            raise InputInvalid("give --steps, or --digits and --turns")
        steps = read_steps(options.steps)
        return of_steps(steps, language=language, policy=policy, now=now, path=path, extra_time=options.extra_time)
    if options.digits is None or options.turns is None:
        raise InputInvalid("give --digits and --turns, or --steps")
    return asked(
        options.digits,
        options.turns,
        language=language,
        policy=policy,
        now=now,
        path=path,
        extra_time=options.extra_time,
    )


def _compare(options: argparse.Namespace) -> int:
    import csv

    if bool(options.pairs) == bool(options.a and options.b):
        raise InputInvalid("give two pictures, or --pairs FILE.csv")
    if options.pairs:
        file = Path(options.pairs)
        with file.open(newline="", encoding="utf-8") as rows:
            reader = csv.DictReader(rows)
            if not {"a", "b"} <= set(reader.fieldnames or ()):
                raise InputInvalid("the file of pairs needs the columns a,b")
            pairs = [(row["a"], row["b"]) for row in reader]
        base = file.parent
    else:
        pairs, base = [(options.a, options.b)], Path()
    with _own_output():
        from api.engines import open_faces
        from liveness.policy import STRICT
        from liveness.template import similarity

        finder, embedder = open_faces(_settings(options))
    known: dict[str, FaceTemplate | str] = {}
    all_same = True
    for a, b in pairs:
        with _own_output():
            for name in (a, b):
                if name not in known:
                    known[name] = _template_of(name, base, finder, embedder)
        one, two = known[a], known[b]
        answer: dict[str, object] = {"a": a, "b": b, "similarity": None, "same_person": None}
        if isinstance(one, str) or isinstance(two, str):
            answer["code"] = one if isinstance(one, str) else two
        else:
            alike = similarity(one, two)
            same = alike >= STRICT.same_person.value
            answer |= {"similarity": round(alike, 4), "same_person": same, "code": "same" if same else "different"}
        all_same = all_same and answer["same_person"] is True
        print(json.dumps(answer), flush=True)
    return _YES if all_same or options.pairs else _NO


def _template_of(name: str, base: Path, finder: FaceFinder, embedder: FaceEmbedder) -> FaceTemplate | str:
    """The largest face of a picture, or a code why there is none. ``name`` from here, else from the folder ``base``."""
    from liveness.decode import decode_picture
    from liveness.errors import MediaError

    try:
        image: RgbImage = decode_picture(_read(name if Path(name).is_file() else str(base / name)))
    except (MediaError, InputInvalid) as error:
        return error.code
    found = finder.find_every(image)
    if not found:
        return "no_face"
    face = found[0].face
    return "face_unjudged" if face is None else embedder.embed(image, face.points)


def _transcribe(options: argparse.Namespace) -> int:
    from api.engines import open_recogniser
    from liveness.decode import decode_sound
    from liveness.digits import Language
    from liveness.transcripts import heard_exactly

    language = Language(options.language)
    expect: str | None = options.expect
    if expect is not None and (not expect.isascii() or not expect.isdigit()):
        raise InputInvalid("--expect takes digits 0-9")
    audio = decode_sound(_read(options.audio))
    with _own_output():
        recogniser = open_recogniser(_settings(options), language=language, engine=options.engine)
        heard: Transcript = recogniser.transcribe(
            audio, language=language, expecting=None if expect is None else len(expect)
        )
    accepted = heard.accepted if expect is None else heard_exactly(heard, expect)
    words = [{"text": word.text, "start_ms": word.start_ms, "end_ms": word.end_ms} for word in heard.words]
    print(json.dumps({"digits": heard.digits, "words": words, "engine": heard.engine, "accepted": accepted}))
    return _YES if accepted else _NO


def _evaluate(options: argparse.Namespace) -> int:
    from datetime import UTC, datetime
    from functools import partial

    folder = Path(options.folder)
    if not folder.is_dir():
        raise InputInvalid(f"{folder} is no folder")
    with _own_output():
        from api.engines import open_faces
        from lab.evaluate import evaluate
        from liveness.policy import POLICIES

        settings = _settings(options)
        kept = Path(options.json or "out/evaluate.json")
        with _counter("examining") as done:
            report = evaluate(
                folder,
                open_engines=partial(_evaluated, settings),
                open_finder=lambda: open_faces(settings)[0],
                now=datetime.now(UTC),
                kept=kept,
                policy=POLICIES[options.policy],
                jobs=options.jobs,
                say=lambda line: print(f"mien: {line}", file=sys.stderr, flush=True),
                done=done,
            )
        if options.json:
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(json.dumps(report.as_json(), indent=2) + "\n", encoding="utf-8")
        plots: list[Path] = []
        if options.plots and report.pad is not None:
            from lab.pad_plots import draw_plots

            plots = draw_plots(report.pad, report.photographs, Path(options.plots))
        if options.report:
            from lab.pad_report import write_markdown

            write_markdown(report, Path(options.report), plots)
    print(report.table())
    return _YES


def _evaluated(settings: Settings) -> Engines:
    """The models as the service has them, with English loaded at once: no take waits for it, and it can be asked for more."""
    from dataclasses import replace

    from api.engines import open_liveness, open_recogniser
    from liveness.digits import Language

    engines, english = open_liveness(settings, languages=(Language.ENGLISH,)), Language.ENGLISH
    names = [each.engine for each in engines.recognisers.get(english, ())]
    loaded = tuple(open_recogniser(settings, language=english, engine=name) for name in names)
    return replace(engines, recognisers={english: loaded} if loaded else {})


def _corpus(options: argparse.Namespace) -> int:
    with _simulator():
        from lab.attacks import ATTACKS
        from lab.corpus import make_corpus, plan
        from lab.people import PEOPLE
    from liveness.policy import Path as AskedPath

    try:
        paths = [AskedPath(name) for name in _names(options.path)]
    except ValueError as error:
        raise InputInvalid(f"unknown path; there are: {', '.join(AskedPath)}") from error
    people, species = _names(options.people) or list(PEOPLE), _names(options.species) or list(ATTACKS)
    for given, known in ((people, PEOPLE), (species, ATTACKS)):
        unknown = [name for name in given if name not in known]
        if unknown:
            raise InputInvalid(f"no {unknown[0]}; there are: {', '.join(known)}")
    planned = plan(
        people=people,
        species=species,
        paths=paths,
        genuine=options.genuine,
        attempts=options.attempts,
        seed=options.seed,
        live=options.live,
    )
    with _own_output(), _counter("filming") as done:
        failed = make_corpus(
            Path(options.folder), planned, weights=_settings(options).weights, jobs=options.jobs, done=done
        )
        for line in failed:
            print(f"mien: not made: {line}", file=sys.stderr)
    print(json.dumps({"folder": options.folder, "recordings": len(planned), "not_made": len(failed)}))
    return _BROKEN if failed else _YES


def _names(text: str | None) -> list[str]:
    return [name.strip() for name in (text or "").split(",") if name.strip()]


def _weights_list(options: argparse.Namespace) -> int:
    from api.engines import all_cards
    from api.fetch import table

    settings = _settings(options)
    print(f"{'card':<22}{'role':<26}{'language':<10}{'MB':>7}  {'state':<9}{'set':<9}licence")
    for row in table(all_cards(settings), settings.weights):
        size, chosen = row.bytes / 1e6, "default" if row.default else "-"
        print(
            f"{row.card_id:<22}{row.role.value:<26}{row.language or '-':<10}{size:>7.1f}  {row.state.value:<9}{chosen:<9}"
            + row.licence
        )
    return _YES


def _weights_fetch(options: argparse.Namespace) -> int:
    from api.engines import all_cards
    from api.fetch import fetch

    settings = _settings(options)
    cards = all_cards(settings)
    wanted = [card for card in cards if (card.id in options.card if options.card else card.default)]
    unknown = sorted(set(options.card) - {card.id for card in cards})
    if unknown:
        raise InputInvalid(f"no card {unknown[0]}; there are: {', '.join(card.id for card in cards)}")
    report = fetch(
        wanted,
        settings.weights,
        from_folder=Path(options.source) if options.source else settings.weights_from,
        accept_noncommercial=options.accept_noncommercial or settings.accept_noncommercial,
        say=lambda line: print(line, flush=True),
    )
    print(report)
    return _YES


def _weights_check(options: argparse.Namespace) -> int:
    from api.engines import all_cards
    from api.fetch import check
    from liveness.weights import FileState

    settings = _settings(options)
    cards = [card for card in all_cards(settings) if card.default or (settings.weights / card.id).is_dir()]
    found = check(cards, settings.weights, accept_noncommercial=True)
    for file in found:
        print(f"{file.state.value:<12}{file.card_id}/{file.path}{'  ' + file.detail if file.detail else ''}")
    wrong = sum(file.state is not FileState.OK for file in found)
    print(f"{len(found) - wrong} of {len(found)} files are right")
    return _BROKEN if wrong else _YES


def _serve(options: argparse.Namespace) -> int:
    from api.serve import serve

    return serve(_settings(options), api_only=options.api_only)


def _worker(options: argparse.Namespace) -> int:
    from dataclasses import replace

    from api.settings import places
    from api.worker import run

    settings = _settings(options)
    if options.queues is not None:
        settings = replace(settings, worker_queues=tuple(_names(options.queues)))
    if options.concurrency is not None:
        settings = replace(settings, worker_concurrency=places("--concurrency", options.concurrency))
    return run(settings, migrate=not options.no_migrate)


def _migrate(options: argparse.Namespace) -> int:
    from api.database import migrate

    migrate(_settings(options))
    return _YES


def _keys_create(options: argparse.Namespace) -> int:
    from api.auth import create_api_key

    print(create_api_key(_settings(options), role=options.role, name=options.name, jkt=options.dpop_jkt))
    return _YES


def _keys_rotate(options: argparse.Namespace) -> int:
    from datetime import timedelta

    from api.keys import MASTER_OVERLAP, SIGNING_OVERLAP
    from api.rotation import rotate_master, rotate_signing

    if options.after is not None and options.after < 0:
        raise InputInvalid("--after takes seconds from now")
    rotate, usual = (rotate_master, MASTER_OVERLAP) if options.master else (rotate_signing, SIGNING_OVERLAP)
    after = usual if options.after is None else timedelta(seconds=options.after)
    print(json.dumps(rotate(_settings(options), after=after)))
    return _YES


def _keys_retire(options: argparse.Namespace) -> int:
    from api.rotation import retire_master

    print(json.dumps(retire_master(_settings(options), options.key_id)))
    return _YES


def _keys_init(options: argparse.Namespace) -> int:
    from datetime import UTC, datetime

    from api.keys import open_keys

    settings = _settings(options)
    open_keys(settings, now=datetime.now(UTC))
    print(json.dumps({"keys": str(settings.keys)}))
    return _YES


def _keys_list(options: argparse.Namespace) -> int:
    from api.rotation import list_keys

    for key in list_keys(_settings(options)):
        print(json.dumps(key))
    return _YES


def _backup(options: argparse.Namespace) -> int:
    from api.backup import back_up

    with _counter("copying", "file") as done:
        answer = back_up(_settings(options), Path(options.out), done=done)
    print(json.dumps(answer))
    return _YES


def _restore(options: argparse.Namespace) -> int:
    from api.backup import restore

    with _counter("restoring", "file") as done:
        answer = restore(_settings(options), Path(options.source), end_all_consents=options.end_all_consents, done=done)
    print(json.dumps(answer))
    return _YES


def _ledger_verify(options: argparse.Namespace) -> int:
    from api.audit import verify_ledger, verify_proof, verify_served

    keys = None if options.keys is None else Path(options.keys)
    if options.proof:
        answer = verify_proof(
            Path(options.proof),
            keys=keys,
            settings=_settings(options),
            origin=options.origin,
            witnesses=None if options.witnesses is None else Path(options.witnesses),
            quorum=options.quorum,
        )
    elif options.url:
        answer = verify_served(options.url, keys=keys, origin=options.origin)
    else:
        answer = verify_ledger(_settings(options))
    print(json.dumps(answer))
    return _YES if answer["valid"] else _NO


def _ledger_witness(options: argparse.Namespace) -> int:
    import time

    from api.audit import published_keys
    from api.log_client import LogClient
    from api.service import wall_clock
    from api.witnessing import keep_looking, look_once, open_witness_key, vkey_of
    from consent.witness import Cosigned, NotCosigned

    def say(line: str) -> None:
        print(f"mien: {line}", file=sys.stderr, flush=True)

    key = open_witness_key(Path(options.key))
    keys = None if options.keys is None else published_keys(Path(options.keys), None)
    say(f"this witness is {vkey_of(key, name=options.name)}")
    with LogClient.at(options.url) as client:

        def look() -> Cosigned | NotCosigned:
            return look_once(client, Path(options.state), key, name=options.name, keys=keys, now=wall_clock())

        found = look() if options.once else keep_looking(look, say=say, wait=lambda: time.sleep(options.every))
    if isinstance(found, NotCosigned):
        say(f"{found.code.value}: {found.code.meaning}; not signed")
        return _NO
    print(json.dumps({"cosigned": found.checkpoint.size, "log": found.checkpoint.origin}))
    return _YES


def _token_verify(options: argparse.Namespace) -> int:
    from api.token_check import verify_token_file

    answer = verify_token_file(
        Path(options.file), keys=Path(options.keys), status=options.status, audience=options.audience
    )
    print(json.dumps(answer))
    return _YES if answer["holds"] else _NO


def _evidence_verify(options: argparse.Namespace) -> int:
    from api.evidence import verify_evidence_file

    keys = None if options.keys is None else Path(options.keys)
    answer = verify_evidence_file(Path(options.file), keys=keys, settings=_settings(options))
    print(json.dumps(answer))
    return _YES if answer["valid"] else _NO


def _clip_verify(options: argparse.Namespace) -> int:
    from api.audit import verify_clip_file

    answer = verify_clip_file(
        _settings(options), Path(options.file), None if options.anchor is None else Path(options.anchor)
    )
    print(json.dumps(answer, indent=2, ensure_ascii=False))
    return _YES if answer["state"] == "Trusted" else _NO


def _demo(options: argparse.Namespace) -> int:
    with _simulator():
        from lab.demo import demo

    return demo(Path(options.out), weights=_settings(options).weights)


# --- what commands share ---------------------------------------------------------------------------------------------


def _settings(options: argparse.Namespace) -> Settings:
    from dataclasses import replace

    from api.settings import read_settings

    settings = read_settings(os.environ)
    if getattr(options, "weights", None):
        return replace(settings, weights=Path(options.weights))
    return settings


def _read(name: str) -> bytes:
    """The bytes of a file, refused before reading when it is larger than anything we judge."""
    file = Path(name)
    if not file.is_file():
        raise InputInvalid(f"{name} is no file", code="file_missing")
    if file.stat().st_size > _MOST_BYTES:
        raise InputInvalid(f"{name} is larger than {_MOST_BYTES // 1_000_000} MB", code="media_too_large")
    return file.read_bytes()


_MOST_BYTES = 64_000_000


def _long_ago() -> datetime:
    from datetime import UTC, datetime

    return datetime(2000, 1, 1, tzinfo=UTC)


@contextlib.contextmanager
def _simulator() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise InputInvalid(
            f"the simulated person is not installed ({error.name} is missing): pip install 'mien[simulate]'",
            code="simulator_missing",
        ) from error


@contextlib.contextmanager
def _own_output() -> Iterator[None]:
    """Keep what model libraries print in C (stdout and stderr) out of our answers; errors still leave as exceptions."""
    sys.stdout.flush()
    saved_out, saved_err = os.dup(1), os.dup(2)
    real_err = sys.stderr
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
            sys.stderr = open(saved_err, "w", closefd=False, buffering=1)  # noqa: SIM115 - restored below
            yield
    finally:
        sys.stderr = real_err
        os.dup2(saved_out, 1)
        os.dup2(saved_err, 2)
        os.close(saved_out)
        os.close(saved_err)


@contextlib.contextmanager
def _bar(what: str) -> Iterator[Callable[[float], None]]:
    """A progress bar on stderr; the callable takes the share done, 0..1."""
    from tqdm import tqdm

    with tqdm(total=100, desc=what, unit="%", file=sys.stderr, disable=None, leave=False) as bar:

        def progress(share: float) -> None:
            bar.update(int(100 * share) - bar.n)

        yield progress


@contextlib.contextmanager
def _counter(what: str, unit: str = "take") -> Iterator[Callable[[int, int], None]]:
    """Progress on stderr, a bar or, where nobody watches, a line for every tenth; the callable takes how many of how many."""
    from tqdm import tqdm

    watched = sys.stderr.isatty()
    with tqdm(total=0, desc=what, unit=unit, file=sys.stderr, mininterval=1.0, disable=not watched, leave=False) as bar:
        said = 0

        def done(ready: int, of: int) -> None:
            nonlocal said
            bar.total = of
            bar.update(ready - bar.n)
            tenth = 10 * ready // max(of, 1)
            if tenth > said and not watched:
                said = tenth
                print(f"mien: {what} {ready} of {of}", file=sys.stderr, flush=True)

        yield done


# --- the parser ------------------------------------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mien",
        description="Lets a real person's face into generated video only with that person's proven, living consent.",
        epilog="example: mien demo --out out/demo",
    )
    verbs = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    examine = _add(
        verbs,
        "examine",
        _examine,
        "the verdict on a recording",
        "mien examine take.mp4 --digits 480215 --turns left,right,left",
    )
    examine.add_argument("capture", help="recording: mp4, mov, webm, mkv or avi")
    _asked(examine)
    examine.add_argument("--mirrored", action="store_true", help="the recording's pictures are mirrored")
    examine.add_argument("--policy", choices=("strict", "simulated"), default="strict")
    examine.add_argument("--json", metavar="FILE", help="write the verdict here too")
    examine.add_argument("--repeat", type=int, metavar="N", help="judge it N times as a worker does, for benchmarks")
    examine.add_argument("--plot", metavar="FILE.png", help="draw yaw, mouth, digits and checks over time")

    simulate = _add(
        verbs,
        "simulate",
        _simulate,
        "a recording of a simulated person, or an attack on it",
        "mien simulate take.mp4 --digits 480215 --turns left,right,left --attack photo",
    )
    simulate.add_argument("out", help="file to write (mp4)")
    _asked(simulate)
    simulate.add_argument(
        "--portrait", metavar="IMG", help="whose face; default: scikit-image's public-domain test portrait"
    )
    simulate.add_argument("--person", metavar="NAME", help="one of the simulated people, face and voice: p00, p01, ...")
    simulate.add_argument(
        "--attack",
        metavar="NAME",
        help="photo, flat_print, screen_replay, voice_over, ...; an unknown name lists them all",
    )
    simulate.add_argument("--seed", type=int, default=1, help="same seed, same recording (default 1)")

    compare = _add(verbs, "compare", _compare, "are these faces the same person?", "mien compare one.jpg two.jpg")
    compare.add_argument("a", nargs="?", help="picture")
    compare.add_argument("b", nargs="?", help="picture")
    compare.add_argument(
        "--pairs", metavar="FILE.csv", help="many pairs: columns a,b, paths from here or from the file's folder"
    )

    transcribe = _add(
        verbs, "transcribe", _transcribe, "the digits said in a recording", "mien transcribe digits.wav --expect 480215"
    )
    transcribe.add_argument("audio", help="sound file, or a recording with sound")
    transcribe.add_argument("--language", choices=("en", "zh", "ko"), default="en")
    transcribe.add_argument(
        "--engine", choices=("vosk", "whisper"), help="default: the best one installed for the language"
    )
    transcribe.add_argument("--expect", metavar="DIGITS", help="accepted only when exactly these were said")

    evaluate = _add(
        verbs,
        "evaluate",
        _evaluate,
        "error rates on recordings: whole takes with attacks on them, and parts of real people's",
        "mien evaluate recordings --json rates.json --plots rates --report rates.md",
    )
    evaluate.add_argument("folder", help="recordings, laid out as the docstring of lab/evaluate.py says")
    evaluate.add_argument(
        "--json", metavar="OUT", help="write the figures here; what was found of whole takes is kept beside it"
    )
    evaluate.add_argument("--plots", metavar="FOLDER", help="draw the figures of whole takes (PNG)")
    evaluate.add_argument("--report", metavar="FILE.md", help="write all of it as a page")
    evaluate.add_argument("--policy", choices=("strict", "simulated"), default="strict")
    _jobs(evaluate)

    corpus = _add(
        verbs,
        "corpus",
        _corpus,
        "recordings of simulated people and of attacks on them, to evaluate",
        "mien corpus out/corpus --genuine 150 --attempts 150",
    )
    corpus.add_argument("folder", help="what is there already is kept; laid out as the docstring of lab/corpus.py says")
    corpus.add_argument("--genuine", type=int, default=10, metavar="N", help="takes of people doing as asked (10)")
    corpus.add_argument("--attempts", type=int, default=10, metavar="N", help="attempts of each species (10)")
    corpus.add_argument("--species", metavar="A,B", help="default: every attack there is")
    corpus.add_argument("--people", metavar="P,Q", help="default: everybody")
    corpus.add_argument("--path", default="standard", metavar="A,B", help="standard, small_turns, no_speech (standard)")
    corpus.add_argument("--live", action="store_true", help="as in a live session, with the times of its cues")
    corpus.add_argument("--seed", type=int, default=1, help="same seed, same corpus (default 1)")
    _jobs(corpus)

    _weights_verbs(verbs)
    serve = _add(verbs, "serve", _serve, "the service with its worker", "mien serve")
    serve.add_argument(
        "--api-only", action="store_true", help="no worker, no migration, no first keys: one of several that serve"
    )
    worker = _add(
        verbs, "worker", _worker, "one more worker on the same database", "mien worker --queues portrait,story"
    )
    worker.add_argument("--queues", metavar="A,B", help="kinds of jobs to take (MIEN_WORKER_QUEUES)")
    worker.add_argument(
        "--concurrency", metavar="KIND=N,...", help="places of their own for kinds (MIEN_WORKER_CONCURRENCY)"
    )
    worker.add_argument("--no-migrate", action="store_true", help="the schema must be there: somebody else migrates")
    _add(verbs, "migrate", _migrate, "bring the database's schema up to date", "mien migrate")
    demo = _add(verbs, "demo", _demo, "the whole story on a simulated person", "mien demo --out out/demo")
    demo.add_argument("--out", default="out/demo", metavar="DIR")

    keys = _group(verbs, "keys", "API keys, and the service's own", "mien keys create --role backend --name studio")
    create = _add(keys, "create", _keys_create, "prints an API key once", "mien keys create --role app --name shop")
    create.add_argument("--role", choices=("app", "backend", "auditor", "admin"), required=True)
    create.add_argument("--name", required=True)
    create.add_argument(
        "--dpop-jkt", metavar="JKT", help="of a backend: the key it must prove to hold, by its RFC 7638 thumbprint"
    )
    rotate = _add(keys, "rotate", _keys_rotate, "adds the next signing or master key", "mien keys rotate --signing")
    which = rotate.add_mutually_exclusive_group(required=True)
    which.add_argument("--signing", action="store_true", help="published at once, signs ten minutes later")
    which.add_argument(
        "--master", action="store_true", help="wraps in a moment; the worker wraps again what others wrapped"
    )
    rotate.add_argument("--after", type=float, metavar="SECONDS", help="when it comes into use, from now")
    retire = _add(
        keys,
        "retire",
        _keys_retire,
        "takes a master key out, once nothing is wrapped with it",
        "mien keys retire mk_0123456789abcdef",
    )
    retire.add_argument("key_id", help="as mien keys list names it")
    _add(
        keys,
        "init",
        _keys_init,
        "the service's key file, made where there is none; needs no database",
        "mien keys init",
    )
    _add(keys, "list", _keys_list, "the service's own keys, and how much each wraps", "mien keys list")

    backup = _add(verbs, "backup", _backup, "a backup of database and sealed files", "mien backup backups/monday")
    backup.add_argument("out", help="folder to write, which must not exist")
    restored = _add(verbs, "restore", _restore, "fills an empty database from a backup", "mien restore backups/monday")
    restored.add_argument("source", help="the backup's folder")
    restored.add_argument(
        "--end-all-consents",
        action="store_true",
        help="the storage with the shred list is lost: everybody is asked again, since nobody knows who revoked",
    )

    ledger = _group(verbs, "ledger", "the log of consent events", "mien ledger verify --proof receipt.json")
    verify = _add(
        ledger,
        "verify",
        _ledger_verify,
        "check the log in the database, a log that is served, or a receipt offline",
        "mien ledger verify --proof receipt.json",
    )
    what = verify.add_mutually_exclusive_group()
    what.add_argument("--proof", metavar="FILE", help="a receipt (JSON or .tlog-proof); checked without the database")
    what.add_argument("--url", help="a log as it is served: every entry, every tile, the latest checkpoint")
    what.add_argument(
        "--database", action="store_true", help="the log in this service's database; what happens by default"
    )
    verify.add_argument("--keys", metavar="JWKS", help="the service's public keys; default: those of this service")

    verify.add_argument("--origin", metavar="NAME", help="the log's name, if you know it")
    verify.add_argument("--witnesses", metavar="FILE", help="keys of witnesses who must have cosigned the receipt")
    verify.add_argument("--quorum", type=int, default=1, metavar="N", help="how many of them (default 1)")

    watch = _add(
        ledger,
        "witness",
        _ledger_witness,
        "cosign a log's checkpoints, as long as it keeps what it had",
        "mien ledger witness --url https://mien.example --state seen.json --key witness.pem",
    )
    watch.add_argument("--url", required=True, help="address of the service whose log it is")
    watch.add_argument("--state", required=True, metavar="FILE", help="what was seen of that log; one file a log")
    watch.add_argument(
        "--key", required=True, metavar="FILE", help="the witness's own key (PEM); made if it is missing"
    )
    watch.add_argument("--name", default="witness", help="the witness's name, best an address without scheme")
    watch.add_argument(
        "--keys", metavar="JWKS", help="the log's public keys, at first contact; default: as it gives them"
    )
    watch.add_argument("--once", action="store_true", help="one round, then exit: 0 cosigned, 1 refused")
    watch.add_argument("--every", type=float, default=30.0, metavar="S", help="seconds between rounds (default 30)")
    token = _group(verbs, "token", "consent tokens", _TOKEN_EXAMPLE)
    holds = _add(token, "verify", _token_verify, "check a consent token without asking the gate", _TOKEN_EXAMPLE)
    holds.add_argument("file", help="the token, as text")
    holds.add_argument("--keys", metavar="JWKS", required=True, help="the service's public keys")
    holds.add_argument(
        "--status", metavar="FILE|URL", required=True, help="the status list that the token names, fetched or to fetch"
    )
    holds.add_argument("--audience", metavar="NAME", help="the backend it must be for; default: the one it names")

    evidence = _group(verbs, "evidence", "evidence packs", "mien evidence verify evidence.json")
    prove = _add(
        evidence,
        "verify",
        _evidence_verify,
        "check an evidence pack, offline",
        "mien evidence verify evidence.json --keys jwks.json",
    )
    prove.add_argument("file")
    prove.add_argument("--keys", metavar="JWKS", help="the service's public keys; default: those of this service")

    clip = _group(verbs, "clip", "marked clips", "mien clip verify clip.mp4")
    check = _add(
        clip, "verify", _clip_verify, "check a clip's manifest, offline", "mien clip verify clip.mp4 --anchor ca.pem"
    )
    check.add_argument("file")
    check.add_argument("--anchor", metavar="PEM", help="trust anchor; default: the authority of this service's keys")
    _gate_verbs(verbs)
    return parser


def _gate_verbs(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from api import cli_gate

    gate = _group(verbs, "gate", "the gate, from a script", _ASK_EXAMPLE)
    cli_gate.add_ask_options(_add(gate, "ask", cli_gate.ask, "ask whether something may be made", _ASK_EXAMPLE))
    cli_gate.add_envoy_options(
        _add(gate, "envoy", cli_gate.stand_beside_envoy, "answer Envoy's ext_authz over gRPC", _ENVOY_EXAMPLE)
    )
    example = "mien conformance http://127.0.0.1:9000/generate --gate-port 8791"
    what = "does a generator's integration stop when the gate says no"
    cli_gate.add_conformance_options(_add(verbs, "conformance", cli_gate.check_integration, what, example))


_ENVOY_EXAMPLE = (
    "mien gate envoy --url https://mien.example --backend studio --key-file key.txt --proof-key key.pem "
    "--listen 127.0.0.1:9191"
)
_ASK_EXAMPLE = (
    "mien gate ask --url https://mien.example --backend studio --key-file key.txt --purpose cameo "
    "--token token.jwt --media photo.jpg --job job.json --seconds 10"
)


_TOKEN_EXAMPLE = "mien token verify token.jwt --keys jwks.json --status status.jwt"  # noqa: S105 - an example


def _weights_verbs(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    weights = _group(verbs, "weights", "model weights: list, fetch, check", "mien weights fetch")
    _add(weights, "list", _weights_list, "the model cards and what is here", "mien weights list")
    fetch = _add(
        weights, "fetch", _weights_fetch, "fetch and verify what is missing", "mien weights fetch --from ~/weights"
    )
    fetch.add_argument("card", nargs="*", help="cards to fetch; default: the default set")
    fetch.add_argument("--from", dest="source", metavar="FOLDER", help="look here first")
    fetch.add_argument("--accept-noncommercial", action="store_true", help="accept licences that forbid commercial use")
    _add(weights, "check", _weights_check, "check sizes and SHA-256", "mien weights check")


def _asked(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--digits", help="the digits asked for, such as 480215")
    parser.add_argument("--turns", help="the turns asked for, such as left,right,left (the person's own sides)")
    parser.add_argument(
        "--steps", metavar="S,T", help="in place of both, in order: 480,left,215,right or nod2,left,nod1"
    )
    parser.add_argument("--path", choices=("standard", "small_turns", "no_speech"), default="standard")
    parser.add_argument("--extra-time", action="store_true", help="the person asked for twice the time")
    parser.add_argument("--language", choices=("en", "zh", "ko"), default="en")


def _jobs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="processes (default: cores)")


def _group(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser], name: str, what: str, example: str
) -> argparse._SubParsersAction[argparse.ArgumentParser]:
    parser = verbs.add_parser(name, help=what, description=what, epilog=f"example: {example}")
    return parser.add_subparsers(dest="verb", required=True, metavar="VERB")


def _add(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    run: Callable[[argparse.Namespace], int],
    what: str,
    example: str,
) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=what, description=what, epilog=f"example: {example}")
    parser.add_argument("--weights", metavar="DIR", help=argparse.SUPPRESS)
    parser.set_defaults(run=run)
    return parser


if __name__ == "__main__":
    main()
