"""Makes an ordered clip once: asks the gate, generates, marks, asks again, and only then releases.

In between it looks every two seconds, and at once when a notice says that a consent changed, whether the records still
allow what its permit allowed, and stops when they do not. That saves work; the asking at the end is what counts.

Safe to run twice at once or again after a crash: each run takes the clip over under an id of its own, and only the run that
holds it last can release it. What an overtaken run made is thrown away, and its permit does not count as a use.
"""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from api.clip_events import CHANNEL
from api.engines import Bounded, FaceEngines, generators_when_needed
from api.gate import ask, reasons_to_json, redeem, withheld
from api.interruptions import Interruptions, Watch
from api.judging import still_of
from api.media import Erased, Sealed, Unsealable, templates_from_bytes
from api.orders import Order, order_from_bytes
from api.queue import MOST_TRIES
from api.routes_clips import question_of
from api.service import Service
from api.settings import Settings
from api.storage import Store, new_id
from api.tables import ClipRow, ConsentRow, MediaRow, PermitRow
from consent.gate import Permit
from likeness.double import Double, Still, double_from_photograph
from likeness.errors import LikenessError
from likeness.generate import Generator, RenderRequest, generate
from likeness.provenance import ManifestSigner, MarkedClip, mark
from liveness.capture import Audio
from liveness.decode import decode_picture, decode_sound
from liveness.errors import LivenessError
from liveness.policy import STRICT
from liveness.template import FaceTemplate

log = logging.getLogger("mien.worker")

LONGEST_CLIP_S = 60  # two minutes of work for a minute of film on two cores; others wait meanwhile
_PROGRESS_EVERY_S = 0.4
_LOOK_AGAIN_S = 2.0
_MARKING = 0.98  # share of the progress that pictures are


class Overtaken(Exception):
    """The clip is no longer this run's: cancelled, withdrawn, or taken over by another run."""


class Stopped(Exception):
    """The clip cannot be made, for a reason that trying again does not mend."""

    def __init__(self, code: str, reasons: list[dict[str, object]] | None = None) -> None:
        super().__init__(code)
        self.code, self.reasons = code, reasons or []


@dataclass(frozen=True, slots=True, kw_only=True)
class Renderers:
    """Local generators by name, how faces are looked at, how many clips are made at once, and who interrupts them."""

    generators: dict[str, Generator]
    faces: FaceEngines
    bound: Bounded
    interruptions: Interruptions = field(default_factory=Interruptions)


def open_renderers(settings: Settings, faces: FaceEngines) -> Renderers:
    """Raises: WeightsError."""
    return Renderers(generators=generators_when_needed(settings, faces), faces=faces, bound=Bounded(1))


def render_clip(service: Service, renderers: Renderers, clip_id: str, *, tried: int = 0) -> bool:
    """Make this clip and release it; false when there was nothing to do, or it was refused, failed or overtaken.

    Raises: whatever a generator failed with, when there is another try.
    """
    run_id = new_id("run")
    try:
        work = _begin(service, renderers, clip_id, run_id, tried)
        consents = [consent_id for consent_id, _ in work.permit.consents]
        with (
            renderers.bound.place(),
            renderers.interruptions.watching(consents) as watch,
            _workplace(service) as folder,
        ):
            marked = _make(service, renderers, work, watch, Path(folder) / "clip.mp4")
            _release(service, work, marked)
    except Overtaken:
        log.info("%s is no longer to be made", clip_id)
        return False
    except Stopped as stopped:
        _fail(service, clip_id, run_id, stopped.code, stopped.reasons)
        return False
    except (LikenessError, LivenessError) as error:
        log.warning("%s: %s", clip_id, error)
        _fail(service, clip_id, run_id, error.code, [])
        return False
    except Exception as error:
        if tried < MOST_TRIES - 1:
            raise
        log.error("%s failed for the last time: %s", clip_id, type(error).__name__)
        _fail(service, clip_id, run_id, "internal_error", [])
        return False
    log.info("%s released", clip_id)
    return True


@dataclass(frozen=True, slots=True, kw_only=True)
class _Work:
    """A clip that this run may make."""

    clip_id: str
    run_id: str
    order: Order = field(repr=False)
    permit: Permit
    doubles: tuple[Double, ...] = field(repr=False)
    sound: Audio | None = field(repr=False)


def _begin(service: Service, renderers: Renderers, clip_id: str, run_id: str, tried: int) -> _Work:
    """Take the clip over, ask the gate at the start of the work, spend its permit, and load who is shown."""
    with service.database.transaction() as store:
        clip = store.get(ClipRow, clip_id, lock=True)
        if clip is None or not store.start_run(clip_id, run_id):
            raise Overtaken
        if tried >= MOST_TRIES:
            raise Stopped("internal_error")
        store.give_back(clip.permit_id)
        try:
            order = order_from_bytes(service.vault.get(store, clip.order_id, owner=clip_id))
        except Erased:
            raise Overtaken from None
        store.notify(CHANNEL, clip_id)
    permit = _asked(service, order, "clip_start")
    with service.database.transaction() as store:
        store.lock_consents(consent_id for consent_id, _ in permit.consents)  # then the clip, as a revocation does
        clip = _mine(store, clip_id, run_id)
        clip.permit_id = permit.permit_id
        why = redeem(service, store, permit)
        if why is not None:
            raise Stopped(why)
        try:
            doubles = _doubles(service, store, order, permit, renderers.faces)
            sound = None if order.sound is None else decode_sound(_media(service, store, order.sound, order.owner)[1])
        except (Erased, Unsealable):
            raise Stopped("media_expired") from None
    return _Work(clip_id=clip_id, run_id=run_id, order=order, permit=permit, doubles=doubles, sound=sound)


def _asked(service: Service, order: Order, stage: str, own_permit: str | None = None) -> Permit:
    answer = ask(service, question_of(order, caller=order.owner, stage=stage, own_permit=own_permit))
    if not isinstance(answer.outcome, Permit):
        raise Stopped("gate_refused", reasons_to_json(answer.outcome))
    return answer.outcome


def _doubles(service: Service, store: Store, order: Order, permit: Permit, faces: FaceEngines) -> tuple[Double, ...]:
    """One double for each person of the permit: of the handed-in photograph that shows them, or of their own portrait."""
    pictures = [_media(service, store, media_id, order.owner)[1] for media_id in order.media]
    photographs = [still_of(decode_picture(content), faces.finder, faces.embedder) for content in pictures]
    doubles = []
    for consent_id, subject_id in permit.consents:
        row = store.get(ConsentRow, consent_id)
        if row is None:
            raise Erased
        kept = service.vault.get(store, row.templates_id, owner=consent_id)
        templates = [t for t in templates_from_bytes(kept) if t is not None]
        if not photographs:
            portrait = decode_picture(service.vault.get(store, row.portrait_id, owner=consent_id))
            doubles.append(
                Double(subject_id=subject_id, consent_id=consent_id, portrait=portrait, template=templates[0])
            )
            continue
        doubles.append(_of_photograph(photographs, subject_id, consent_id, templates))
    return tuple(doubles)


def _of_photograph(photographs: list[Still], subject_id: str, consent_id: str, templates: list[FaceTemplate]) -> Double:
    for photograph in photographs:
        double = double_from_photograph(
            photograph,
            subject_id=subject_id,
            consent_id=consent_id,
            live_templates=templates,
            same_person=STRICT.same_person.value,
        )
        if isinstance(double, Double):
            return double
    raise Stopped("photograph_unusable")


def _media(service: Service, store: Store, media_id: str, owner: str) -> tuple[MediaRow, bytes]:
    row = store.get(MediaRow, media_id)
    if row is None or row.key_id != owner:
        raise Erased
    return row, service.vault.get(store, row.content_id, owner=media_id)


def _make(service: Service, renderers: Renderers, work: _Work, watch: Watch, out: Path) -> MarkedClip:
    generator = renderers.generators.get(work.order.backend)
    if generator is None:
        raise Stopped("generator_unavailable")
    order = work.order
    request = RenderRequest(
        script=order.script,
        sound=work.sound,
        language=order.language,
        width=order.width,
        height=order.height,
        max_seconds=min(order.max_seconds or LONGEST_CLIP_S, work.permit.obligations.max_seconds),
    )
    clip = generate(work.permit, work.doubles, request, generator, now=service.now())
    return mark(
        clip,
        work.permit,
        ManifestSigner(service.keys.authority),
        out,
        progress=_teller(service, work, watch, clip.frame_count),
    )


def _teller(service: Service, work: _Work, watch: Watch, frames: int) -> Callable[[int], None]:
    """Tells how far the clip is, now and then, and stops the work when it is no longer wanted or no longer allowed."""
    told = looked = time.monotonic()

    def tell(done: int) -> None:
        nonlocal told, looked
        if watch.take() or time.monotonic() - looked >= _LOOK_AGAIN_S:
            looked = time.monotonic()
            _stop_if_withheld(service, work)
        if time.monotonic() - told < _PROGRESS_EVERY_S:
            return
        told = time.monotonic()
        with service.database.transaction() as store:
            if not store.set_progress(work.clip_id, work.run_id, min(1.0, done / max(frames, 1)) * _MARKING):
                raise Overtaken
            store.notify(CHANNEL, work.clip_id)

    return tell


def _stop_if_withheld(service: Service, work: _Work) -> None:
    with service.database.transaction() as store:
        clip = store.get(ClipRow, work.clip_id)
        if clip is None or clip.run_id != work.run_id or clip.state != "running":
            raise Overtaken
        why = withheld(service, store, work.permit, now=service.now())
    if why is not None:
        raise Stopped(why)


def _release(service: Service, work: _Work, marked: MarkedClip) -> None:
    """Ask once more, then hand the clip over, in one transaction with the end of its permit."""
    _asked(service, work.order, "clip_release", own_permit=work.permit.permit_id)
    content, now = marked.path.read_bytes(), service.now()
    with service.database.transaction() as store:
        # a revocation comes before this or after it, never between; it locks the consent first, and then the clip
        consents = store.consents_shared(consent_id for consent_id, _ in work.permit.consents)
        clip = _mine(store, work.clip_id, work.run_id)
        for consent_id, _ in work.permit.consents:
            consent = consents.get(consent_id)
            if consent is None or consent.revoked_at is not None:
                raise Stopped("gate_refused", [{"code": "revoked"}])
            if consent.suspended_at is not None:
                raise Stopped("gate_refused", [{"code": "suspended"}])
        clip.content_id = service.vault.put(store, content, kind=Sealed.CLIP, data_key_id=clip.data_key_id, now=now)
        service.vault.erase(store, clip.order_id, now=now)
        clip.state, clip.progress, clip.finished_at = "done", 1.0, now
        clip.sha256, clip.duration_ms = marked.sha256, marked.duration_ms
        permit = store.get(PermitRow, work.permit.permit_id, lock=True)
        if permit is not None:
            permit.completed_at, permit.output_sha256 = now, marked.sha256
        store.notify(CHANNEL, work.clip_id)


def _fail(service: Service, clip_id: str, run_id: str, code: str, reasons: list[dict[str, object]]) -> None:
    now = service.now()
    with service.database.transaction() as store:
        clip = store.get(ClipRow, clip_id, lock=True)
        if clip is None or clip.state not in ("queued", "running") or clip.run_id not in (None, run_id):
            return
        clip.state, clip.code, clip.reasons, clip.finished_at = "failed", code, reasons, now
        store.give_back(clip.permit_id)
        service.vault.destroy_key(store, clip.data_key_id, now=now)
        store.notify(CHANNEL, clip_id)
    log.info("%s failed: %s", clip_id, code)


def _mine(store: Store, clip_id: str, run_id: str) -> ClipRow:
    clip = store.get(ClipRow, clip_id, lock=True)
    if clip is None or clip.run_id != run_id or clip.state != "running":
        raise Overtaken
    return clip


def _workplace(service: Service) -> tempfile.TemporaryDirectory[str]:
    """Where the clip lies in the open until it is sealed; empty again afterwards."""
    place = service.settings.var / "work"
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    return tempfile.TemporaryDirectory(dir=place)
