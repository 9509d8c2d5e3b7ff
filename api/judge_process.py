"""Judging in a process of its own, which can be killed: a decoder or a model that crashes, hangs or eats memory on what
somebody handed in takes neither the worker nor the next recording with it.

    worker                                             judge (spawned, keeps its models)
      | -- length, pickled HandedIn ------------------>  | examines
      | watches its time and its memory                  |
      | <----------------------- length, pickled answer  |

Past either limit the judge is killed and another started; the caller gets a :class:`JudgeFailed`, tries again as after any
failure, and in the end nothing was measured. What the judge answers is not trusted, for it has read hostile bytes: only values
of the kinds that an answer is made of are taken from it, and never code.

The judge ends with the worker: it notices within a second that it was orphaned, and when it is stuck in native code and
notices nothing, an alarm of the operating system ends it after its time. It gets neither keys nor the database's address.
Recordings go through a pipe, never through a file or a command line; no core is dumped.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import io
import logging
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import StrEnum
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue
from typing import Any, cast

from api.examiner import Examiner, HandedIn, Judged
from api.settings import PREFIX, Settings
from liveness.errors import EngineError, MediaError

log = logging.getLogger("mien.worker")

MODELS = "api.judge_process:open_models"
"""What the judge examines with, as ``module:function`` of settings; tests name another."""

_MOST_ANSWER = 200_000_000  # bytes; a portrait of 4096x4096 is 50 MB
_WATCH_S = 0.02  # between two looks at its memory: at 5 GB a second, 100 MB
_ORPHAN_S = 1.0
_PAGE = os.sysconf("SC_PAGE_SIZE")
_ALLOCATION = {"MALLOC_ARENA_MAX": "2", "MALLOC_MMAP_THRESHOLD_": "4194304", "MALLOC_TRIM_THRESHOLD_": "33554432"}
"""For the C library: what is freed is used again, which saves a fifth of the time against asking the system for every picture,
and given back between two recordings. Left to itself it kept 0.2 GB more with each recording (glibc raises its threshold, and
every thread gets a heap of its own); other systems ignore this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """What one recording may cost.

    seconds : wall clock; a dozen times what a take of 20 s needs on two cores (measured: 4 to 5 s), for busy machines and
    longer takes.
    start_seconds : until the models are there. memory : bytes resident; measured 0.93 GB for 20 s of 720p, 0.4 more with the
    largest speech model, and 20 MB for each further second.
    idle_memory : bytes resident after an answer, above which another process takes its place while nobody
    waits; libraries keep about 10 MB with each recording. Watched where ``/proc`` says it; elsewhere only time is.
    """

    seconds: float = 60.0
    start_seconds: float = 120.0
    memory: int = 2_000_000_000
    idle_memory: int = 1_200_000_000


class Ending(StrEnum):
    """Why a judge gave no answer; the ``code`` of :class:`JudgeFailed`."""

    TIMED_OUT = "judge_timed_out"
    TOO_MUCH_MEMORY = "judge_out_of_memory"
    CRASHED = "judge_crashed"
    NOT_STARTED = "judge_not_started"
    CLOSED = "judge_closed"


class JudgeFailed(EngineError):
    """The recording was not judged. ``code``: an :class:`Ending`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """A ``MediaError`` or another failure, with its code; ``media`` tells which."""

    message: str
    code: str
    media: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """First message of a judge: the models are there."""


# --- the worker's side -----------------------------------------------------------------------------------------------


class JudgeProcess:
    """``Examiner`` in another process, one recording at a time. A context manager: the process ends with it."""

    def __init__(self, settings: Settings, *, bounds: Bounds = Bounds(), opens: str = MODELS) -> None:
        """Starts it; :meth:`wait_until_ready` tells whether its models are there."""
        self._settings = replace(settings, database_url=None, keys=Path(os.devnull), keys_json=None)
        self._bounds = bounds
        self._opens = opens
        self._lock = threading.Lock()
        self._closed = False
        self._process, self._connection, self._is_ready = self._start()

    def __enter__(self) -> JudgeProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def wait_until_ready(self) -> None:
        """Raises: JudgeFailed, also when its models cannot be loaded."""
        with self._lock:
            self._ready()

    def examine(self, handed: HandedIn) -> Judged:
        """Raises: MediaError for what is no recording; EngineError, JudgeFailed when nothing was judged."""
        with self._lock:
            self._ready()
            answer = self._ask(pickle.dumps(handed))
            if resident_bytes(self._process.pid) > self._bounds.idle_memory:
                log.info("the judge has grown; another takes its place")
                self._again()
        match answer:
            case Judged():
                return answer
            case Refused(media=True):
                raise MediaError(answer.message, code=answer.code)
            case Refused():
                raise EngineError(answer.message, code=answer.code)
            case _:
                raise JudgeFailed("the judge gave no verdict", code=Ending.CRASHED)

    def close(self) -> None:
        """End it now, whatever it is doing."""
        self._closed = True
        _end(self._process, self._connection)

    def _start(self) -> tuple[subprocess.Popen[bytes], Connection, bool]:
        """A process whose models are being loaded."""
        ours, its = socket.socketpair()
        with its:
            process = subprocess.Popen(
                [sys.executable, "-m", "api.judge_process", str(its.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=sys.stderr.fileno() if _has_number(sys.stderr) else subprocess.DEVNULL,  # libraries print
                pass_fds=(its.fileno(),),
                env=_environment(),
            )
        connection = Connection(ours.detach())
        with contextlib.suppress(OSError):  # it is gone already; whoever waits for it will know
            connection.send_bytes(pickle.dumps((self._opens, self._settings, self._bounds)))
        return process, connection, False

    def _ready(self) -> None:
        if self._closed:
            raise JudgeFailed("the judge was closed", code=Ending.CLOSED)
        if self._is_ready:
            return
        answer = self._answer(b"", self._bounds.start_seconds)
        if isinstance(answer, Ready):
            self._is_ready = True
            return
        self._again()
        refused = answer if isinstance(answer, Refused) else None
        message = refused.message if refused is not None else "the judge does not start"
        raise JudgeFailed(message, code=refused.code if refused is not None else Ending.NOT_STARTED)

    def _ask(self, message: bytes) -> object:
        try:
            return self._answer(message, self._bounds.seconds)
        except JudgeFailed as failed:
            log.error("the judge was ended: %s", failed.code)
            if failed.code != Ending.CLOSED:
                self._again()
            raise

    def _again(self) -> None:
        """Another process in the place of this one; its models load while nobody waits."""
        _end(self._process, self._connection)
        if not self._closed:
            self._process, self._connection, self._is_ready = self._start()

    def _answer(self, message: bytes, seconds: float) -> object:
        """What it answers to ``message`` within the bounds; it is killed when it passes one. Raises: JudgeFailed."""
        with _watched(self._process, seconds, self._bounds.memory) as ending:
            try:
                if message:
                    self._connection.send_bytes(message)
                # with its whole answer it has not passed a bound, whatever the watch says a moment later
                answer = self._connection.recv_bytes(_MOST_ANSWER)
            except (OSError, EOFError) as error:
                self._process.kill()
                status = self._process.wait()
                if self._closed:
                    raise JudgeFailed("the judge was closed", code=Ending.CLOSED) from error
                code = ending[0] if ending else _ending_of(status)
                raise JudgeFailed(f"the judge ended with {status}", code=code) from error
        try:
            return _read(answer)
        except Exception as error:  # whatever broken or hostile bytes raise
            raise JudgeFailed("the judge's answer is none", code=Ending.CRASHED) from error


class JudgePool:
    """``Examiner`` with several judges: as many recordings at a time, each in a process of its own."""

    def __init__(self, settings: Settings, size: int, *, bounds: Bounds = Bounds(), opens: str = MODELS) -> None:
        self._judges = [JudgeProcess(settings, bounds=bounds, opens=opens) for _ in range(size)]
        self._free: SimpleQueue[JudgeProcess] = SimpleQueue()
        for judge in self._judges:
            self._free.put(judge)

    def __enter__(self) -> JudgePool:
        return self

    def __exit__(self, *_: object) -> None:
        for judge in self._judges:
            judge.close()

    def wait_until_ready(self) -> None:
        """Raises: JudgeFailed."""
        for judge in self._judges:
            judge.wait_until_ready()

    def examine(self, handed: HandedIn) -> Judged:
        """By the first judge that is free. Raises: as :meth:`JudgeProcess.examine`."""
        judge = self._free.get()
        try:
            return judge.examine(handed)
        finally:
            self._free.put(judge)


def _ending_of(status: int) -> Ending:
    """Of a judge that ended by itself. Its own alarm may be quicker than we are."""
    return Ending.TIMED_OUT if status == -signal.SIGALRM else Ending.CRASHED


@contextmanager
def _watched(process: subprocess.Popen[bytes], seconds: float, memory: int) -> Iterator[list[Ending]]:
    """Kills the process past either bound, from a thread of its own: whoever waits for the process then waits no more.

    The list holds the reason then.
    """
    done = threading.Event()
    ending: list[Ending] = []
    until = time.monotonic() + seconds

    def watch() -> None:
        while not done.wait(_WATCH_S):
            if time.monotonic() >= until:
                ending.append(Ending.TIMED_OUT)
            elif resident_bytes(process.pid) > memory:
                ending.append(Ending.TOO_MUCH_MEMORY)
            if ending:
                process.kill()
                return

    thread = threading.Thread(target=watch, name="watching the judge", daemon=True)
    thread.start()
    try:
        yield ending
    finally:
        done.set()
        thread.join()


def _environment() -> dict[str, str]:
    """Ours without our settings. OpenCV, once imported, leaves an empty entry in the path of libraries, which stands for the
    folder we happen to be in: it is taken out."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)} | _ALLOCATION
    if "LD_LIBRARY_PATH" in env:
        env["LD_LIBRARY_PATH"] = ":".join(entry for entry in env["LD_LIBRARY_PATH"].split(":") if entry)
    return env


def resident_bytes(pid: int) -> int:
    """Memory that a process holds; 0 where the system does not tell, or it is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * _PAGE
    except (OSError, ValueError, IndexError):
        return 0


def _end(process: subprocess.Popen[bytes], connection: Connection) -> None:
    process.kill()  # it holds nothing that is not ours too
    process.wait()
    with contextlib.suppress(OSError):
        connection.close()


def _has_number(stream: Any) -> bool:
    try:
        stream.fileno()
    except (AttributeError, OSError, ValueError):
        return False
    return True


class _Values(pickle.Unpickler):
    """Reads values that an answer is made of, and nothing that would run: of our packages the classes only, and what NumPy
    writes arrays with."""

    _OTHERS = frozenset(
        {
            ("datetime", "datetime"),
            ("datetime", "timezone"),
            ("datetime", "timedelta"),
            ("numpy", "ndarray"),
            ("numpy", "dtype"),
            ("numpy._core.multiarray", "_reconstruct"),
            ("numpy._core.multiarray", "scalar"),
            ("numpy._core.numeric", "_frombuffer"),
            ("copyreg", "_reconstructor"),
            ("builtins", "object"),
        }
    )
    _OURS = ("liveness.", "api.examiner", "api.judge_process")

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in self._OTHERS:
            return super().find_class(module, name)
        found = super().find_class(module, name) if module.startswith(self._OURS) and "." not in name else None
        # a dataclass or an enumeration: made from its fields, and making one does nothing else
        if isinstance(found, type) and (hasattr(found, "__dataclass_fields__") or issubclass(found, StrEnum)):
            return found
        raise pickle.UnpicklingError(f"{module}.{name} is no part of an answer")


def _read(answer: bytes) -> object:
    return _Values(io.BytesIO(answer)).load()


# --- the judge's side ------------------------------------------------------------------------------------------------


def open_models(settings: Settings) -> Examiner:
    """Raises: WeightsError, EngineError."""
    from api.engines import open_examining
    from api.examiner import ModelExaminer

    engines, finder = open_examining(settings)
    return ModelExaminer(engines=engines, finder=finder)


def main(number: int, parent: int) -> None:
    """Judge until the worker closes its end."""
    for name in (signal.SIGINT, signal.SIGTERM):  # sent to a whole group of processes: the worker decides
        signal.signal(name, signal.SIG_IGN)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)  # ends the process even from within native code
    threading.Thread(target=_leave_with, args=(parent,), name="parent", daemon=True).start()
    connection = Connection(number)
    opens, settings, bounds = pickle.loads(connection.recv_bytes())  # noqa: S301 from the worker, whom we trust
    _limit(bounds)
    signal.alarm(round(bounds.start_seconds) + 5)
    try:
        examiner = _opened(opens, settings)
    except Exception as error:  # of any kind: the worker is told, and raises it there
        connection.send_bytes(pickle.dumps(_refused(error)))
        return
    connection.send_bytes(pickle.dumps(Ready()))
    while True:
        signal.alarm(0)
        try:
            handed = pickle.loads(connection.recv_bytes())  # noqa: S301 as above
        except (EOFError, OSError):
            return
        signal.alarm(round(bounds.seconds) + 5)
        answer = pickle.dumps(_answer(examiner, handed))
        del handed  # the recording is not kept until the next
        _give_back()  # before the worker looks at how much memory is held
        connection.send_bytes(answer)
        del answer


def _answer(examiner: Examiner, handed: HandedIn) -> Judged | Refused:
    try:
        return examiner.examine(handed)
    except Exception as error:  # whatever a model raises
        return _refused(error)


def _refused(error: Exception) -> Refused:
    known = isinstance(error, EngineError | MediaError) or hasattr(error, "code")
    return Refused(
        # a library's message may hold anything; ours never names a person
        message=str(error) if known else f"examining failed ({type(error).__name__})",
        code=str(getattr(error, "code", EngineError.code)),
        media=isinstance(error, MediaError),
    )


def _opened(opens: str, settings: Settings) -> Examiner:
    module, _, name = opens.partition(":")
    opener = cast("Callable[[Settings], Examiner]", getattr(importlib.import_module(module), name))
    return opener(settings)


def _limit(bounds: Bounds) -> None:
    """A second line behind the watch, for one huge allocation between two looks; and no core, which would hold the
    recording."""
    import resource

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":  # elsewhere it is not kept, or counts what is only reserved
        resource.setrlimit(resource.RLIMIT_DATA, (2 * bounds.memory, 2 * bounds.memory))


def _give_back() -> None:
    """Return to the system what the C library holds free; only glibc has the call."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _leave_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_ORPHAN_S)
    os._exit(0)


if __name__ == "__main__":
    # under its own name, not as __main__: that is where pickles look for the classes
    from api.judge_process import main as judge_until_closed

    judge_until_closed(int(sys.argv[1]), int(sys.argv[2]))
