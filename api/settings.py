"""Settings of the service: the only reader of the environment.

Every name that starts with ``MIEN_`` must be in :data:`SETTINGS`; an unknown one stops the start, because a misspelt
limit that is silently ignored is worse than a service that does not come up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from consent.authority import SubjectAssurance
from liveness.policy import POLICIES

PREFIX = "MIEN_"
LONGEST_DEADLINE_S = 604_800  # a week
NOT_NAMED = "operator not named"  # in records of installations that do not say who answers for them
_THIS_MACHINE = ("127.0.0.1", "::1", "0.0.0.0", "::", None)  # noqa: S104 - compared with, not listened on


class SettingsInvalid(Exception):
    """A setting is unknown or has a value that cannot be used. One line, for the terminal."""

    code = "settings_invalid"


@dataclass(frozen=True, slots=True)
class Setting:
    """One name in the environment: its default as written there, and what it is for."""

    name: str
    default: str
    help: str


SETTINGS = (
    Setting("MIEN_DATABASE_URL", "", "PostgreSQL to use; unset: an embedded one under MIEN_VAR"),
    Setting(
        "MIEN_DATABASE_OWNER_URL", "", "the same PostgreSQL as the schema's owner, for migrations; unset: the above"
    ),
    Setting("MIEN_VAR", "var", "folder for everything the service keeps"),
    Setting("MIEN_WEIGHTS", "", "folder of the model weights; unset: weights/ under MIEN_VAR"),
    Setting("MIEN_WEIGHTS_FROM", "", "folder that weights fetch looks in first"),
    Setting("MIEN_MODEL_CARDS", "", "cards of models of your own, in the form of liveness/models.toml"),
    Setting("MIEN_KEYS", "", "the service's key file (0600); unset: keys.json under MIEN_VAR, made at first start"),
    Setting("MIEN_KEYS_JSON", "", "content of the key file, instead of a file"),
    Setting(
        "MIEN_MASTER_KEY",
        "file:",
        "what wraps people's data keys, the first of a list: file: (the key file), tink-keyset:PATH, aws-kms://, gcp-kms://",
    ),
    Setting(
        "MIEN_STORAGE",
        "",
        "folder or URL (s3://bucket/prefix) where sealed files lie; unset: media/ under MIEN_VAR",
    ),
    Setting("MIEN_POLICY", "strict", "liveness policy of sessions that name none: strict or simulated"),
    Setting("MIEN_MINIMUM_ASSURANCE", "web", "least assurance for a permit: simulated, curated, web or attested"),
    Setting("MIEN_HOST", "127.0.0.1", "address to listen on"),
    Setting("MIEN_PORT", "8000", "port to listen on"),
    Setting("MIEN_PUBLIC_URL", "", "address that callers see; unset: made from host and port"),
    Setting("MIEN_CONTROLLER", NOT_NAMED, "organisation that answers for the processing, as records name it"),
    Setting(
        "MIEN_LOG_ORIGIN", "", "name of the log, fixed by its first checkpoint; unset: made from the public address"
    ),
    Setting("MIEN_WITNESSES", "", "file of the witnesses whose cosignatures are kept, a verifier key a line"),
    Setting("MIEN_CONTROLLER_CONTACT", "not given", "how a person reaches it"),
    Setting("MIEN_JURISDICTION", "ZZ", "whose law applies (ISO 3166)"),
    Setting("MIEN_STORAGE_LOCATION", "ZZ", "where the data lies (ISO 3166)"),
    Setting("MIEN_LIVE_SESSIONS", "", "live sessions at once in this process; unset: two a core"),
    Setting(
        "MIEN_CHECK_CONSENT",
        "recorded",
        "recorded: a challenge may be drawn without the person's recorded yes to the check; required: it may not",
    ),
    Setting(
        "MIEN_ATTESTATION", "", "file (TOML) of the apps whose devices may vouch for recordings; unset: nobody does"
    ),
    Setting(
        "MIEN_WEBHOOK_LOOPBACK", "no", "yes: webhooks may go to this machine over plain http; for development only"
    ),
    Setting(
        "MIEN_FETCH_LOOPBACK", "no", "yes: media may be fetched from this machine over plain http; for development only"
    ),
    Setting(
        "MIEN_OUTPUT_CHECK",
        "required",
        "required: a clip whose bytes were not handed in is not released; handed_in: only those that were are checked",
    ),
    Setting(
        "MIEN_MISMATCHES_A_DAY",
        "50",
        "faces that are not a person's that a key may try on them in a day; then it is refused without looking",
    ),
    Setting(
        "MIEN_LOOK_ALIKES",
        "no",
        "yes: people may ask to be told of faces like theirs in refused questions",
    ),
    Setting(
        "MIEN_LOOK_ALIKES_ROTATION", "1", "number of the secret rotation of their codes; another one makes all anew"
    ),
    Setting(
        "MIEN_EVALUATION", "", "file that mien evaluate --json wrote: the error rates that the audit console shows"
    ),
    Setting(
        "MIEN_LOOK_ALIKES_MEMORY_MB",
        "256",
        "memory for their codes in a process that looks up, 72 MB a million; more people, or 0: searched in PostgreSQL",
    ),
    Setting("MIEN_OPENING_MINUTES", "15", "how long an approved opening of biometric media lasts"),
    Setting(
        "MIEN_IDENTIFY_PER_MINUTE",
        "12",
        "how often an address may ask POST /v1/clips/identify, in each process; 0: nobody may",
    ),
    Setting(
        "MIEN_CAPTION_FONTS",
        "",
        "font files for captions, a list with commas, tried in order before Noto Sans SC (if fetched) and DejaVu Sans",
    ),
    Setting("MIEN_ACCEPT_NONCOMMERCIAL", "no", "yes: weights under a non-commercial licence may be loaded"),
    Setting("MIEN_BACKENDS", "", "file (TOML, 0600) of accounts with vendors' generators; unset: none are used"),
    Setting("MIEN_BACKENDS_TOML", "", "content of that file, instead of a file"),
    Setting(
        "MIEN_CLIP_DEADLINE_S",
        "86400",
        "seconds after which a clip that is not done is given up, if its order names none",
    ),
    Setting(
        "MIEN_WORKER_QUEUES",
        "",
        "kinds of jobs that workers take, with commas; unset: judge, portrait, story, cameo, remote, deliver, housekeeping",
    ),
    Setting(
        "MIEN_WORKER_CONCURRENCY",
        "",
        "kinds with places of their own, such as portrait=2,remote=32; unset: by the cores, clips made here share half",
    ),
    Setting(
        "MIEN_WORKER_MEMORY_MB", "", "memory that a worker may use; unset: four fifths of the machine's or container's"
    ),
    Setting(
        "MIEN_WORKER_GRACE_S",
        "4",
        "seconds that running jobs get when a worker is told to stop; the rest is given back",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Parsed settings. Paths are as given (relative ones are from the working folder)."""

    database_url: str | None = field(default=None, repr=False)
    database_owner_url: str | None = field(default=None, repr=False)
    var: Path = Path("var")
    weights: Path = Path("var/weights")
    weights_from: Path | None = None
    model_cards: Path | None = None
    keys: Path = Path("var/keys.json")
    keys_json: str | None = field(default=None, repr=False)
    master_key: tuple[str, ...] = ("file:",)
    storage: str | None = None
    policy: str = "strict"
    minimum_assurance: SubjectAssurance = SubjectAssurance.WEB
    host: str = "127.0.0.1"
    port: int = 8000
    public_url: str = "http://127.0.0.1:8000"
    log_origin: str = "127.0.0.1:8000/v1/log"
    witnesses: Path | None = None
    controller: str = NOT_NAMED
    controller_contact: str = "not given"
    jurisdiction: str = "ZZ"
    storage_location: str = "ZZ"
    attestation: Path | None = None
    check_consent: str = "recorded"
    live_sessions: int | None = None
    webhook_loopback: bool = False
    fetch_loopback: bool = False
    output_check: str = "required"
    mismatches_a_day: int = 50
    look_alikes: bool = False
    look_alikes_rotation: int = 1
    evaluation: Path | None = None
    look_alikes_memory_mb: int = 256
    opening_minutes: int = 15
    identify_per_minute: int = 12
    caption_fonts: tuple[Path, ...] = ()
    accept_noncommercial: bool = False
    backends: Path | None = None
    backends_toml: str | None = field(default=None, repr=False)
    clip_deadline_s: int = 86_400
    worker_queues: tuple[str, ...] = ()
    worker_concurrency: tuple[tuple[str, int], ...] = ()
    worker_memory_mb: int | None = None
    worker_grace_s: int = 4

    @property
    def files(self) -> str:
        """Where sealed files lie."""
        return self.storage or str(self.var / "media")

    @property
    def page_origin(self) -> str:
        """Where web pages live, as browsers write it. Passkeys are bound to its host name; an address of numbers has none."""
        parts = urlsplit(self.public_url)
        host = "localhost" if parts.hostname in _THIS_MACHINE else str(parts.hostname)
        usual = {"http": 80, "https": 443}.get(parts.scheme)
        return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}" + (
            "" if parts.port in (None, usual) else f":{parts.port}"
        )


def read_settings(environment: Mapping[str, str]) -> Settings:
    """Settings from an environment such as ``os.environ``.

    Raises:
        SettingsInvalid: naming the setting; never its value when that may be a secret.
    """
    known = {setting.name: setting.default for setting in SETTINGS}
    unknown = sorted(name for name in environment if name.startswith(PREFIX) and name not in known)
    if unknown:
        raise SettingsInvalid(f"unknown setting {unknown[0]} (known: {', '.join(sorted(known))})")
    values = {name: environment.get(name, "").strip() or default for name, default in known.items()}
    var = Path(values["MIEN_VAR"])
    host, port = values["MIEN_HOST"], _port(values["MIEN_PORT"])
    public_url = values["MIEN_PUBLIC_URL"].rstrip("/") or f"http://{host}:{port}"
    return Settings(
        database_url=_database_url("MIEN_DATABASE_URL", values["MIEN_DATABASE_URL"]),
        database_owner_url=_database_url("MIEN_DATABASE_OWNER_URL", values["MIEN_DATABASE_OWNER_URL"]),
        var=var,
        weights=Path(values["MIEN_WEIGHTS"] or var / "weights"),
        weights_from=Path(values["MIEN_WEIGHTS_FROM"]) if values["MIEN_WEIGHTS_FROM"] else None,
        model_cards=Path(values["MIEN_MODEL_CARDS"]) if values["MIEN_MODEL_CARDS"] else None,
        keys=Path(values["MIEN_KEYS"] or var / "keys.json"),
        keys_json=values["MIEN_KEYS_JSON"] or None,
        master_key=_master_key(values["MIEN_MASTER_KEY"]),
        storage=values["MIEN_STORAGE"] or None,
        policy=_one_of("MIEN_POLICY", values["MIEN_POLICY"], tuple(POLICIES)),
        minimum_assurance=SubjectAssurance(
            _one_of("MIEN_MINIMUM_ASSURANCE", values["MIEN_MINIMUM_ASSURANCE"], tuple(SubjectAssurance))
        ),
        host=host,
        port=port,
        public_url=public_url,
        log_origin=_log_origin(values["MIEN_LOG_ORIGIN"], public_url),
        witnesses=Path(values["MIEN_WITNESSES"]) if values["MIEN_WITNESSES"] else None,
        controller=values["MIEN_CONTROLLER"],
        controller_contact=values["MIEN_CONTROLLER_CONTACT"],
        jurisdiction=values["MIEN_JURISDICTION"],
        storage_location=values["MIEN_STORAGE_LOCATION"],
        attestation=Path(values["MIEN_ATTESTATION"]) if values["MIEN_ATTESTATION"] else None,
        check_consent=_one_of("MIEN_CHECK_CONSENT", values["MIEN_CHECK_CONSENT"], ("recorded", "required")),
        live_sessions=_count("MIEN_LIVE_SESSIONS", values["MIEN_LIVE_SESSIONS"]),
        webhook_loopback=_one_of("MIEN_WEBHOOK_LOOPBACK", values["MIEN_WEBHOOK_LOOPBACK"], ("yes", "no")) == "yes",
        fetch_loopback=_one_of("MIEN_FETCH_LOOPBACK", values["MIEN_FETCH_LOOPBACK"], ("yes", "no")) == "yes",
        output_check=_one_of("MIEN_OUTPUT_CHECK", values["MIEN_OUTPUT_CHECK"], ("required", "handed_in")),
        mismatches_a_day=_count("MIEN_MISMATCHES_A_DAY", values["MIEN_MISMATCHES_A_DAY"]) or 0,
        identify_per_minute=_count("MIEN_IDENTIFY_PER_MINUTE", values["MIEN_IDENTIFY_PER_MINUTE"]) or 0,
        look_alikes=_one_of("MIEN_LOOK_ALIKES", values["MIEN_LOOK_ALIKES"], ("yes", "no")) == "yes",
        look_alikes_rotation=_count("MIEN_LOOK_ALIKES_ROTATION", values["MIEN_LOOK_ALIKES_ROTATION"]) or 0,
        evaluation=Path(values["MIEN_EVALUATION"]) if values["MIEN_EVALUATION"] else None,
        look_alikes_memory_mb=_within("MIEN_LOOK_ALIKES_MEMORY_MB", values["MIEN_LOOK_ALIKES_MEMORY_MB"], 0, 1_000_000),
        opening_minutes=_minutes("MIEN_OPENING_MINUTES", values["MIEN_OPENING_MINUTES"]),
        caption_fonts=_files("MIEN_CAPTION_FONTS", values["MIEN_CAPTION_FONTS"]),
        accept_noncommercial=_one_of("MIEN_ACCEPT_NONCOMMERCIAL", values["MIEN_ACCEPT_NONCOMMERCIAL"], ("yes", "no"))
        == "yes",
        backends=Path(values["MIEN_BACKENDS"]) if values["MIEN_BACKENDS"] else None,
        backends_toml=values["MIEN_BACKENDS_TOML"] or None,
        clip_deadline_s=_within("MIEN_CLIP_DEADLINE_S", values["MIEN_CLIP_DEADLINE_S"], 10, LONGEST_DEADLINE_S),
        worker_queues=tuple(each.strip() for each in values["MIEN_WORKER_QUEUES"].split(",") if each.strip()),
        worker_concurrency=places("MIEN_WORKER_CONCURRENCY", values["MIEN_WORKER_CONCURRENCY"]),
        worker_memory_mb=_within("MIEN_WORKER_MEMORY_MB", values["MIEN_WORKER_MEMORY_MB"], 500, 10_000_000)
        if values["MIEN_WORKER_MEMORY_MB"]
        else None,
        worker_grace_s=_within("MIEN_WORKER_GRACE_S", values["MIEN_WORKER_GRACE_S"], 0, 3600),
    )


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise SettingsInvalid(f"{name} must be one of {', '.join(allowed)}")
    return value


def _port(value: str) -> int:
    if not value.isascii() or not value.isdigit() or not 0 < int(value) < 65536:
        raise SettingsInvalid("MIEN_PORT must be a number from 1 to 65535")
    return int(value)


def _log_origin(value: str, public_url: str) -> str:
    """A name without spaces and plus, as checkpoints have it: the log's address without the scheme, if none is given."""
    name = value or public_url.partition("://")[2] + "/v1/log"
    if any(character.isspace() or character == "+" for character in name) or len(name) > 255:
        raise SettingsInvalid("MIEN_LOG_ORIGIN must have no spaces and no plus")
    return name


def _database_url(name: str, value: str) -> str | None:
    """With the driver that the service uses; ``None`` for the embedded database."""
    if not value:
        return None
    scheme, separator, rest = value.partition("://")
    if not separator or scheme not in ("postgresql", "postgres", "postgresql+psycopg"):
        raise SettingsInvalid(f"{name} must start with postgresql://")
    return f"postgresql+psycopg://{rest}"


def _count(name: str, value: str) -> int | None:
    """A number of 0 to 999, or ``None`` for nothing."""
    if not value:
        return None
    if not value.isdecimal() or len(value) > 3:
        raise SettingsInvalid(f"{name} must be a number from 0 to 999")
    return int(value)


def _master_key(value: str) -> tuple[str, ...]:
    named = tuple(each.strip() for each in value.split(",") if each.strip())
    for each in named:
        if each != "file:" and not each.startswith("tink-keyset:") and "://" not in each:
            raise SettingsInvalid("MIEN_MASTER_KEY takes file:, tink-keyset:PATH, and URIs of key management services")
    return named


def _files(name: str, value: str) -> tuple[Path, ...]:
    named = tuple(Path(each.strip()) for each in value.split(",") if each.strip())
    for path in named:
        if not path.is_file():
            raise SettingsInvalid(f"{name} names {path}, which is no file")
    return named


def _minutes(name: str, value: str) -> int:
    """1 to 60."""
    if not value.isdecimal() or not 1 <= int(value) <= 60:
        raise SettingsInvalid(f"{name} must be a number of minutes from 1 to 60")
    return int(value)


def _within(name: str, value: str, least: int, most: int) -> int:
    if not value.isdecimal() or not least <= int(value) <= most:
        raise SettingsInvalid(f"{name} must be a number from {least} to {most}")
    return int(value)


def places(name: str, value: str) -> tuple[tuple[str, int], ...]:
    """``portrait=2,remote=32``. Raises: SettingsInvalid."""
    found = []
    for each in value.split(","):
        kind, separator, number = (part.strip() for part in each.partition("="))
        if not (kind or separator or number):
            continue
        if not kind or not number.isdecimal() or not 1 <= int(number) <= 256:
            raise SettingsInvalid(f"{name} takes kinds of jobs with their places, such as portrait=2,remote=32")
        found.append((kind, int(number)))
    return tuple(found)
