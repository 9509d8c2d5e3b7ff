"""The one interface to vendors' generators: what is asked, what is exchanged, what is answered. Nothing here sends.

An adapter (``remote_<vendor>.py``) is a set of generators that yield :class:`Exchange` and are sent :class:`Answer`: it says
what to send and what an answer means, and knows no socket and no clock. Whoever runs it (:mod:`api.remote`) carries exchanges
out, and holds the rules that are the same for all vendors:

    - an exchange that may make work or cost (``spends``) is never sent again unless it certainly did not arrive
    - its secret is put in by :class:`Credential` at the moment of sending, so that neither an exchange nor a handle holds one
    - an answer is first shown to :meth:`RemoteBackend.fault`; an adapter's steps only see answers that are none
    - a callback, signed or not, leads to reading the job again and to nothing else

What a vendor's models can do is in ``backends.toml`` (:mod:`likeness.backends`), never in code.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeVar

from likeness.errors import RemoteError

if TYPE_CHECKING:
    from likeness.backends import BackendCard, RemoteModel

_T = TypeVar("_T")
Json: TypeAlias = "bool | int | float | str | Sequence[Json] | Mapping[str, Json] | None"

_VENDOR_CODE = re.compile(r"[A-Za-z0-9_.:-]{1,80}")
_KEY = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


# --- what is asked ---------------------------------------------------------------------------------------------------


class Mode(StrEnum):
    """What a clip is made from.

    text_to_video      the prompt alone; invents people, shows nobody.
    first_frame        a picture that the clip begins with.
    first_last_frame   one that it begins with and one that it ends with.
    keyframes          three or more, in order.
    reference          pictures, videos or sounds of who and what is to be in it.
    speech_to_video    a picture of somebody, who says what is heard in a recording.
    performance        a picture of somebody, who moves as another person does in a video: two likenesses.
    edit, extend       a video that is changed, or goes on.
    image              no clip: a picture to be a frame of one.
    """

    TEXT_TO_VIDEO = "text_to_video"
    FIRST_FRAME = "first_frame"
    FIRST_LAST_FRAME = "first_last_frame"
    KEYFRAMES = "keyframes"
    REFERENCE = "reference"
    SPEECH_TO_VIDEO = "speech_to_video"
    PERFORMANCE = "performance"
    EDIT = "edit"
    EXTEND = "extend"
    IMAGE = "image"


class Role(StrEnum):
    """What a medium is for."""

    FIRST_FRAME = "first_frame"
    LAST_FRAME = "last_frame"
    KEYFRAME = "keyframe"
    REFERENCE = "reference"
    SPEAKER = "speaker"
    VOICE = "voice"
    PERFORMER = "performer"
    SOURCE = "source"


class MediaKind(StrEnum):
    PICTURE = "picture"
    VIDEO = "video"
    SOUND = "sound"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Media:
    """Bytes that the gate has looked at, which are the bytes that go out: never an address that somebody else can change.

    sha256 : of ``content``. consents : of the people it shows or lets hear; ``()`` where the gate found nobody.
    asset : the name under which the vendor keeps these very bytes, verified as these people, by our own records.
    address : where this service gives out these very bytes for a while, for a vendor that takes nothing else.
    """

    role: Role
    kind: MediaKind
    media_type: str
    content: bytes = field(repr=False)
    sha256: str
    consents: tuple[str, ...]
    asset: str | None = None
    address: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if hashlib.sha256(self.content).hexdigest() != self.sha256:
            raise RemoteError("the bytes are not those that were checked", code=FaultCode.INPUT_INVALID)

    @property
    def base64(self) -> str:
        return base64.b64encode(self.content).decode()

    @property
    def data_uri(self) -> str:
        return f"data:{self.media_type};base64,{self.base64}"

    @property
    def at(self) -> str:
        """The address. Raises: RemoteError ``no_address``."""
        if self.address is None:
            raise RemoteError("the vendor takes media by address only", code=FaultCode.NO_ADDRESS)
        return self.address


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RemoteJob:
    """One clip to be made. Nothing free-form but the prompt: a field that nobody checked is a way around the gate.

    model : its name on the backend's card, not the vendor's id. seconds : whole. sound : wanted or not; always said to the
    vendor, for silence is not every vendor's default. callback : where the vendor may tell that something changed.
    prompts : of each way from a keyframe to the next, after the common one; ``()``: nothing more is said.
    """

    model: str
    mode: Mode
    prompt: str = field(repr=False)
    seconds: int
    ratio: str | None = None
    resolution: str | None = None
    seed: int | None = None
    sound: bool = False
    media: tuple[Media, ...] = ()
    callback: str | None = field(default=None, repr=False)
    prompts: tuple[str, ...] = field(default=(), repr=False)

    def prompt_of(self, place: int) -> str:
        """Of the way from the keyframe at this place to the next."""
        return " ".join(each for each in (self.prompt, *self.prompts[place : place + 1]) if each)

    def of(self, *roles: Role) -> tuple[Media, ...]:
        """The media with these roles, in order."""
        return tuple(each for each in self.media if each.role in roles)

    def one(self, role: Role) -> Media:
        """The only medium with this role. Raises: RemoteError ``input_invalid``."""
        found = self.of(role)
        if len(found) != 1:
            raise RemoteError(f"{len(found)} media are {role.value}, 1 wanted", code=FaultCode.INPUT_INVALID)
        return found[0]


# --- what is exchanged -----------------------------------------------------------------------------------------------


class Credential(Protocol):
    """Proves to a vendor who asks. Its repr holds no secret."""

    def headers(self, exchange: Exchange, *, now: datetime) -> Mapping[str, str]:
        """What to add to the headers of this exchange, sent at this moment."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Exchange:
    """A request to be sent. Nothing in it but the body (which holds prompts and faces) may not be logged.

    spends : may make work or cost, so it must not be sent twice unless the first certainly did not arrive.
    at_most_bytes : of the answer; seconds : for all of it.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)
    auth: Credential | None = None
    spends: bool = False
    seconds: float = 60.0
    at_most_bytes: int = 4 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answer:
    """What came back, whole. Header names are lower-case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)

    def doc(self) -> Doc:
        """The body as a JSON object. Raises: RemoteError ``answer_unreadable``."""
        try:
            return Doc(json.loads(self.body))
        except (ValueError, RecursionError):
            raise unreadable("the answer is no JSON") from None

    def doc_or_empty(self) -> Doc:
        """The same, for who only looks for a vendor's code in it."""
        try:
            return self.doc()
        except RemoteError:
            return Doc({})


class Doc:
    """A JSON object from outside, read member by member; what has another shape raises ``answer_unreadable``."""

    __slots__ = ("_members",)

    def __init__(self, value: object) -> None:
        if not isinstance(value, Mapping):
            raise unreadable("an object was wanted")
        self._members: Mapping[str, object] = value

    def has(self, name: str) -> bool:
        """Whether it is there and not null."""
        return self._members.get(name) is not None

    def text(self, name: str) -> str:
        """A string; a whole number is given as its digits, for ids come as either."""
        value = self._members.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        if not isinstance(value, str):
            raise unreadable(f"{name} is no text")
        return value

    def text_or(self, name: str, default: str = "") -> str:
        return self.text(name) if self.has(name) else default

    def number(self, name: str) -> float:
        value = self._members.get(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise unreadable(f"{name} is no number")
        return float(value)

    def number_or_none(self, name: str) -> float | None:
        return self.number(name) if self.has(name) else None

    def flag(self, name: str) -> bool:
        return self._members.get(name) is True

    def doc(self, name: str) -> Doc:
        return Doc(self._members.get(name))

    def doc_or_empty(self, name: str) -> Doc:
        value = self._members.get(name)
        return Doc(value) if isinstance(value, Mapping) else Doc({})

    def docs(self, name: str) -> list[Doc]:
        """A list of objects; nothing at all counts as an empty one."""
        value = self._members.get(name)
        if value is None:
            return []
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise unreadable(f"{name} is no list")
        return [Doc(each) for each in value]

    def texts(self, name: str) -> list[str]:
        """A string or a list of strings, as a list."""
        value = self._members.get(name)
        if value is None:
            return []
        listed = [value] if isinstance(value, str) else value
        if not isinstance(listed, Sequence) or not all(isinstance(each, str) for each in listed):
            raise unreadable(f"{name} is no list of texts")
        return [str(each) for each in listed]

    def rows(self, name: str) -> list[Sequence[object]]:
        """A list of lists; nothing at all counts as an empty one."""
        value = self._members.get(name, [])
        if not isinstance(value, list) or not all(isinstance(each, list) for each in value):
            raise unreadable(f"{name} is no list of lists")
        return value

    def names(self) -> tuple[str, ...]:
        return tuple(self._members)


def unreadable(why: str) -> RemoteError:
    return RemoteError(why, code=FaultCode.ANSWER_UNREADABLE)


Steps: TypeAlias = Generator[Exchange, Answer, _T]
"""An adapter's procedure: yields what to send, is sent the answer, returns what was wanted. May raise RemoteError."""


def call(
    method: str,
    url: str,
    *,
    auth: Credential | None,
    body: Mapping[str, Json] | None = None,
    headers: Mapping[str, str] | None = None,
    spends: bool = False,
) -> Exchange:
    """An exchange of JSON. Members that are ``None`` are left out."""
    said = dict(headers or {})
    content = b""
    if body is not None:
        content = json.dumps({name: value for name, value in body.items() if value is not None}).encode()
        said["Content-Type"] = "application/json"
    return Exchange(method=method, url=url, headers=said, body=content, auth=auth, spends=spends)


def form(fields: Mapping[str, str], *, file_field: str, name: str, media: Media) -> tuple[bytes, dict[str, str]]:
    """A multipart body with one file (RFC 7578), and its header. The boundary comes from the content, so that the same
    upload is the same bytes."""
    boundary = f"mien-{media.sha256[:32]}"
    lines = [
        f'--{boundary}\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode()
        for key, value in fields.items()
    ]
    head = f'Content-Disposition: form-data; name="{file_field}"; filename="{name}"\r\nContent-Type: {media.media_type}'
    lines += [f"--{boundary}\r\n{head}\r\n\r\n".encode(), media.content, f"\r\n--{boundary}--\r\n".encode()]
    return b"".join(lines), {"Content-Type": f"multipart/form-data; boundary={boundary}"}


# --- what is answered ------------------------------------------------------------------------------------------------


class FaultCode(StrEnum):
    """Why no clip came, the same words for all vendors.

    backend_retired        the vendor has ended it. Nothing is sent.
    backend_without_api    the vendor offers no interface that one may use. Nothing is sent.
    credentials_missing    the operator named no key.
    credentials_refused    the vendor does not take the key.
    not_entitled           the account may not use this model.
    credit_exhausted       the account has no money left.
    mode_unsupported       this model does not make clips of that kind. Nothing is sent.
    input_invalid          outside of what the model takes.
    hidden_face            the request names somebody without showing bytes. Nothing is sent.
    person_unverified      the vendor takes real people only after its own check of them; theirs is missing.
    no_address             the vendor fetches media from an address, and this service has none that it could reach.
    input_refused          the vendor's moderation refused prompt or media. Never try again.
    output_refused         the vendor's moderation withheld what was made.
    rate_limited           too many requests or jobs; waiting helps.
    vendor_unavailable     the vendor does not answer or is out of order.
    vendor_failed          the vendor tried and failed.
    job_unknown            the vendor does not know the job (any more).
    job_expired            the job or its output lay too long.
    job_cancelled          somebody cancelled it at the vendor's.
    submit_outcome_unknown the answer to the order was lost and the vendor cannot say whether it has it: it may run and cost.
    output_missing         the vendor says done and gives nothing.
    output_unusable        what was given is too large, of another kind, or from an address that we do not fetch from.
    answer_unreadable      the vendor answered something undocumented.
    deadline               it took longer than the backend may take.
    callback_forged        a callback is not by the vendor, or too old.
    """

    BACKEND_RETIRED = "backend_retired"
    BACKEND_WITHOUT_API = "backend_without_api"
    CREDENTIALS_MISSING = "credentials_missing"
    CREDENTIALS_REFUSED = "credentials_refused"
    NOT_ENTITLED = "not_entitled"
    CREDIT_EXHAUSTED = "credit_exhausted"
    MODE_UNSUPPORTED = "mode_unsupported"
    INPUT_INVALID = "input_invalid"
    HIDDEN_FACE = "hidden_face"
    PERSON_UNVERIFIED = "person_unverified"
    NO_ADDRESS = "no_address"
    INPUT_REFUSED = "input_refused"
    OUTPUT_REFUSED = "output_refused"
    RATE_LIMITED = "rate_limited"
    VENDOR_UNAVAILABLE = "vendor_unavailable"
    VENDOR_FAILED = "vendor_failed"
    JOB_UNKNOWN = "job_unknown"
    JOB_EXPIRED = "job_expired"
    JOB_CANCELLED = "job_cancelled"
    SUBMIT_OUTCOME_UNKNOWN = "submit_outcome_unknown"
    OUTPUT_MISSING = "output_missing"
    OUTPUT_UNUSABLE = "output_unusable"
    ANSWER_UNREADABLE = "answer_unreadable"
    DEADLINE = "deadline"
    CALLBACK_FORGED = "callback_forged"


class Again(StrEnum):
    """Whether the same exchange may be sent again.

    no     it would be answered the same.
    safe   nothing came of it, and waiting helps.
    unsure something may have come of it: yes if it spends nothing, otherwise the job is looked for.
    """

    NO = "no"
    SAFE = "safe"
    UNSURE = "unsure"


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """What is wrong, and whether to send the same again. ``after_s``: the vendor says when."""

    code: FaultCode
    again: Again = Again.NO
    vendor_code: str | None = None
    after_s: float | None = None

    def error(self) -> RemoteError:
        named = f" ({self.vendor_code})" if self.vendor_code else ""
        return RemoteError(f"the vendor says {self.code.value}{named}", code=self.code, vendor_code=self.vendor_code)


_BLOCKED = frozenset({FaultCode.INPUT_REFUSED, FaultCode.OUTPUT_REFUSED, FaultCode.PERSON_UNVERIFIED})
_OF_STATUS: dict[int, Fault] = {
    400: Fault(code=FaultCode.INPUT_INVALID),
    401: Fault(code=FaultCode.CREDENTIALS_REFUSED),
    402: Fault(code=FaultCode.CREDIT_EXHAUSTED),
    403: Fault(code=FaultCode.NOT_ENTITLED),
    404: Fault(code=FaultCode.JOB_UNKNOWN),
    409: Fault(code=FaultCode.INPUT_INVALID),
    410: Fault(code=FaultCode.JOB_EXPIRED),
    413: Fault(code=FaultCode.INPUT_INVALID),
    422: Fault(code=FaultCode.INPUT_INVALID),
    429: Fault(code=FaultCode.RATE_LIMITED, again=Again.SAFE),
}


def fault_of_status(answer: Answer, *, vendor_code: str = "") -> Fault | None:
    """What HTTP itself says (RFC 9110), for all that a vendor's own words leave open; ``None`` for success."""
    if answer.status < 300:
        return None
    fault = _OF_STATUS.get(answer.status)
    if fault is None:
        server = answer.status >= 500 or answer.status == 408
        fault = (
            Fault(code=FaultCode.VENDOR_UNAVAILABLE, again=Again.UNSURE)
            if server
            else Fault(code=FaultCode.ANSWER_UNREADABLE)
        )
    wait = answer.headers.get("retry-after", "")
    return Fault(
        code=fault.code,
        again=fault.again,
        vendor_code=vendor_word(vendor_code),
        after_s=float(wait) if wait.isdecimal() else None,
    )


def vendor_word(code: str) -> str | None:
    """A vendor's own code, if it looks like one; sentences are not kept."""
    return code if _VENDOR_CODE.fullmatch(code) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteHandle:
    """All that is needed to ask for a job later, also by another process: more than its id. Holds no secret.

    key : ours, chosen before the order. ids : the vendor's names and addresses; each adapter knows its own.
    """

    backend: str
    model: str
    mode: Mode
    key: str
    ids: Mapping[str, str]

    def to_json(self) -> dict[str, Json]:
        return {"backend": self.backend, "model": self.model, "mode": self.mode.value, "key": self.key, "ids": self.ids}

    @classmethod
    def from_json(cls, value: object) -> RemoteHandle:
        """Raises: RemoteError, ValueError."""
        read = Doc(value)
        ids = read.doc("ids")
        return cls(
            backend=read.text("backend"),
            model=read.text("model"),
            mode=Mode(read.text("mode")),
            key=read.text("key"),
            ids={name: ids.text(name) for name in ids.names()},
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Output:
    """Something that was made: at an address for a while, or here. ``guarded``: fetched with the vendor's credential."""

    kind: MediaKind
    url: str | None = None
    content: bytes | None = field(default=None, repr=False)
    guarded: bool = False


@dataclass(frozen=True, slots=True)
class Queued:
    """Waiting at the vendor's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """Being made. ``progress``: 0 to 1, where the vendor says so."""

    progress: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Succeeded:
    """Made. Fetch it now: addresses die within the hour at some vendors."""

    outputs: tuple[Output, ...]

    def __post_init__(self) -> None:
        if not self.outputs:
            raise RemoteError("done, and there is nothing", code=FaultCode.OUTPUT_MISSING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """Not made, and it will not be."""

    fault: Fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked:
    """The vendor's moderation refused what went in or what came out."""

    fault: Fault


@dataclass(frozen=True, slots=True)
class Cancelled:
    """Cancelled at the vendor's."""


@dataclass(frozen=True, slots=True)
class Expired:
    """The vendor has forgotten the job or its output."""


RemoteState: TypeAlias = Queued | Running | Succeeded | Failed | Blocked | Cancelled | Expired


def ended_by(fault: Fault) -> Blocked | Failed:
    """The state of a job that ended with this."""
    return Blocked(fault=fault) if fault.code in _BLOCKED else Failed(fault=fault)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Callback:
    """A message that says it is a vendor's. Header names are lower-case; ``path`` carries the query."""

    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


# --- who answers -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """The operator's part: where, and as whom. ``secrets`` are by the names that the card asks for."""

    host: str
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    options: Mapping[str, str] = field(default_factory=dict)

    def secret(self, name: str) -> str:
        """Raises: RemoteError ``credentials_missing``."""
        value = self.secrets.get(name, "")
        if not value:
            raise RemoteError(f"no {name} is configured", code=FaultCode.CREDENTIALS_MISSING)
        return value


class RemoteBackend:
    """A vendor's generator. Subclasses say what to send and what answers mean; what a vendor lacks keeps its default."""

    def __init__(self, card: BackendCard, account: Account) -> None:
        self.card, self.account = card, account

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.card.name!r})"

    def submit(self, job: RemoteJob, *, key: str) -> Steps[RemoteHandle]:
        """Order the job. ``key``: a lower-case UUID of ours, never used for another order."""
        raise NotImplementedError

    def look(self, handle: RemoteHandle) -> Steps[RemoteState]:
        """Where the job stands."""
        raise NotImplementedError

    def cancel(self, handle: RemoteHandle) -> Steps[bool]:
        """Ask that it be stopped; whether the vendor says that it will be."""
        yield from ()
        return False

    def forget(self, handle: RemoteHandle) -> Steps[bool]:
        """Have deleted what the vendor keeps of a job that has ended, inputs and outputs; whether the vendor says that it did.
        Only asked where the card says ``forgets``."""
        yield from ()
        return False

    def find(self, job: RemoteJob, *, key: str) -> Steps[RemoteHandle | None]:
        """The job that an order with this key made, after its answer was lost; ``None``: not found, which is no proof."""
        yield from ()
        return None

    def hear(self, callback: Callback, *, now: datetime) -> Steps[bool]:
        """Whether a callback proves to be the vendor's; false where this vendor signs none.

        Raises: RemoteError ``callback_forged``.
        """
        yield from ()
        return False

    def named(self, callback: Callback) -> str | None:
        """The vendor's id of the job that a callback is about, where callbacks are set once for the whole account."""
        return None

    def fetch(self, output: Output) -> Exchange:
        """How an output that has an address is had."""
        if output.url is None:
            raise RemoteError("the output has no address", code=FaultCode.OUTPUT_MISSING)
        return Exchange(method="GET", url=output.url)

    def fault(self, exchange: Exchange, answer: Answer) -> Fault | None:
        """What is wrong with an answer; ``None``: the steps may read it."""
        return fault_of_status(answer)

    # --- for subclasses

    def model(self, name: str) -> RemoteModel:
        return self.card.model(name)

    def url(self, path: str) -> str:
        return self.account.host.rstrip("/") + path

    def handle(self, job: RemoteJob, key: str, **ids: str) -> RemoteHandle:
        return RemoteHandle(backend=self.card.name, model=job.model, mode=job.mode, key=key, ids=ids)


def check_key(key: str) -> None:
    """Raises: ValueError, unless it is a lower-case UUID: what every vendor's handle of ours takes."""
    if not _KEY.fullmatch(key):
        raise ValueError("the key of a job is a lower-case UUID")
