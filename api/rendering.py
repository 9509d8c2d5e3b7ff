"""Makes an ordered clip once: asks the gate, generates, marks, looks at who is in it, asks again, and only then releases.

In between it looks every two seconds, and at once when a notice says that a consent changed, whether the records still
allow what its permit allowed, and stops when they do not. That saves work; the asking at the end is what counts.

Safe to run twice at once or again after a crash: each run takes the clip over under an id of its own, and only the run that
holds it last can release it. What an overtaken run made is thrown away, and its permit does not count as a use.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path

from api import outputs
from api.capacity import DoesNotFit, Room, memory_of
from api.clip_endings import DEADLINE, fail, is_overdue, tell_done
from api.clip_events import CHANNEL
from api.clip_registry import Looks, register
from api.engines import Bounded, FaceEngines, generators_when_needed
from api.examiner import still_of
from api.faces import faces_in
from api.gate import ask, consent_named, reasons_to_json, redeem, withheld
from api.interruptions import Interruptions, Watch
from api.marks import looks_of, put_marks, workplace
from api.media import Erased, Sealed, Unsealable, templates_from_bytes
from api.orders import Order, order_from_bytes
from api.queue import MOST_TRIES
from api.remote_clips import WAITING, Remotes, WhoIsShown, drop_parts, open_remotes, remote_clip
from api.routes_clips import question_of
from api.service import Service
from api.settings import Settings
from api.storage import Store, new_id
from api.tables import ClipRow, ConsentRow, MediaRow, PermitRow
from api.vendor_people import asset_of
from consent.gate import Permit
from likeness.double import Double, Still, double_from_photograph
from likeness.errors import LikenessError
from likeness.generate import Cameo, Content, Generator, Line, RenderRequest, Shot, Speech, Story, generate
from likeness.provenance import MarkedClip
from likeness.sound_av import decode_film_sound
from likeness.vendor_job import Checked, CheckedFilm, CheckedPicture, CheckedSound, Wish, promised, who_is_shown
from liveness.decode import decode, decode_picture, decode_sound, sample_pictures
from liveness.errors import LivenessError
from liveness.policy import STRICT, Limit
from liveness.template import FaceTemplate

log = logging.getLogger("mien.worker")

LONGEST_CLIP_S = 60  # two minutes of work for a minute of film on two cores; others wait meanwhile
_FILM = replace(
    STRICT,
    analysis_fps=Limit(24, "fps", "design: what clips are made at"),
    analysis_short_side=Limit(720, "px", "design: 30 s are then 1 GB in memory"),
)
"""How the film of a cameo is read: as recordings are, but finer."""
_FILM_EVERY_MS = 200  # of a film that goes to a vendor, looked at for faces
_PROGRESS_EVERY_S = 0.4
_LOOK_AGAIN_S = 2.0
_MARKING = 0.98  # share of the progress that pictures are
_STEPS = 1000  # that a vendor's clip is counted in
_AMPLE = 1 << 40  # bytes, where nobody bounds them


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
    remotes: Remotes = field(default_factory=Remotes)
    room: Room = field(default_factory=lambda: Room(_AMPLE))

    def place_for(self, order: Order) -> AbstractContextManager[None]:
        """A place among those that work at once: a clip that a vendor makes waits elsewhere than one that is made here."""
        return (self.bound if order.remote is None else self.remotes.bound).place()


def open_renderers(
    settings: Settings, faces: FaceEngines, *, at_once: int = 1, remote_at_once: int = 8, room: Room | None = None
) -> Renderers:
    """``at_once``: clips made here; ``remote_at_once``: clips waited for; ``room``: memory that the former share.

    Raises: WeightsError, SettingsInvalid.
    """
    return Renderers(
        generators=generators_when_needed(settings, faces),
        faces=faces,
        bound=Bounded(at_once),
        remotes=replace(open_remotes(settings), bound=Bounded(remote_at_once)),
        room=room or Room(_AMPLE),
    )


def render_clip(service: Service, renderers: Renderers, clip_id: str, *, tried: int = 0) -> bool:
    """Make this clip and release it; false when there was nothing to do, or it was refused, failed or overtaken.

    Raises: whatever a generator failed with, when there is another try.
    """
    run_id = new_id("run")
    try:
        order = _taken_over(service, clip_id, run_id, tried)
        # before the permit is spent: it would run out meanwhile
        with renderers.room.taken(memory_of(order)), renderers.place_for(order):
            work = _begin(service, renderers, clip_id, run_id, order)
            consents = [consent_id for consent_id, _ in work.permit.consents]
            with renderers.interruptions.watching(consents) as watch, workplace(service.settings) as folder:
                marked = _make(service, renderers, work, watch, Path(folder) / "clip.mp4")
                _check_who_is_in_it(service, renderers, work, marked)
                _release(service, work, marked, looks_of(service, marked))
    except DoesNotFit as more:
        need = {"code": "memory_insufficient", "need_mb": more.need_mb, "have_mb": more.whole_mb}
        _fail(service, clip_id, run_id, "memory_insufficient", [need])
        return False
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
    """A clip that this run may make. ``made_from``: pixels of each portrait and bytes of each file: whoever has them can show
    that a clip was made from them. ``film``: the one that a cameo is made in."""

    clip_id: str
    run_id: str
    order: Order = field(repr=False)
    permit: Permit
    doubles: tuple[Double, ...] = field(repr=False)
    content: Content | None = field(default=None, repr=False)
    pictures: tuple[Checked, ...] = field(default=(), repr=False)
    made_from: tuple[bytes, ...] = field(repr=False)
    film: bytes | None = field(default=None, repr=False)


def _taken_over(service: Service, clip_id: str, run_id: str, tried: int) -> Order:
    """The clip is this run's from now on; what was ordered."""
    with service.database.transaction() as store:
        clip = store.get(ClipRow, clip_id, lock=True)
        if clip is None or not store.start_run(clip_id, run_id):
            raise Overtaken
        store.give_back(clip.permit_id)
        try:
            order = order_from_bytes(service.vault.get(store, clip.order_id, owner=clip_id))
        except Erased:
            raise Overtaken from None
        late = is_overdue(service, clip, now=service.now())
        store.notify(CHANNEL, clip_id)
    if late:
        raise Stopped(DEADLINE)
    if tried >= MOST_TRIES:
        raise Stopped("internal_error")
    return order


def _begin(service: Service, renderers: Renderers, clip_id: str, run_id: str, order: Order) -> _Work:
    """Ask the gate at the start of the work, spend the clip's permit, and load who is shown."""
    permit = _asked(service, order, "clip_start")
    with service.database.transaction() as store:
        store.lock_consents(consent_id for consent_id, _ in permit.consents)  # then the clip, as a revocation does
        clip = _mine(store, clip_id, run_id)
        clip.permit_id = permit.permit_id
        why = redeem(service, store, permit)
        if why is not None:
            raise Stopped(why)
        try:
            # a vendor gets the pictures; who is in them the gate has just judged
            doubles = () if order.remote is not None else _doubles(service, store, order, permit, renderers.faces)
            everybody = {} if order.remote is None else _enrolled(service, store, permit)
            pictures = () if order.remote is None else _checked(service, store, order, everybody)
            ids = [each for each in (*order.media, order.sound, order.music) if each is not None]
            media = {media_id: _media(service, store, media_id, order.owner)[1] for media_id in ids}
        except (Erased, Unsealable):
            raise Stopped("media_expired") from None
    # outside: reading a film takes seconds, and nobody's withdrawal waits for it
    content = None if order.remote is not None else _content(order, permit, media)
    pictures = tuple(_measured(each, everybody, renderers.faces) for each in pictures)
    film = media[order.media[0]] if order.kind == "cameo" else None
    shown = [picture.content for picture in pictures] or [each for each in media.values() if each is not film]
    return _Work(
        clip_id=clip_id,
        run_id=run_id,
        order=order,
        permit=permit,
        doubles=doubles,
        content=content,
        pictures=pictures,
        made_from=(*(double.portrait.tobytes() for double in doubles), *shown),
        film=film,
    )


def _asked(service: Service, order: Order, stage: str, own_permit: str | None = None) -> Permit:
    answer = ask(service, question_of(order, caller=order.owner, stage=stage, own_permit=own_permit))
    if not isinstance(answer.outcome, Permit):
        raise Stopped("gate_refused", reasons_to_json(answer.outcome))
    return answer.outcome


def _doubles(service: Service, store: Store, order: Order, permit: Permit, faces: FaceEngines) -> tuple[Double, ...]:
    """One double for each person of the permit: of the handed-in photograph that shows them alone, or of their own portrait,
    which is also how a story, a cameo and a portrait of several people know them."""
    portraits = order.media if order.kind == "portrait" and len(permit.consents) == 1 else ()
    pictures = [_media(service, store, media_id, order.owner)[1] for media_id in portraits]
    photographs = [still_of(decode_picture(content), faces.finder, faces.embedder) for content in pictures]
    doubles = []
    for consent_id, subject_id in permit.consents:
        row = store.get(ConsentRow, consent_id)
        if row is None:
            raise Erased
        templates = _templates(service, store, consent_id)
        if not photographs:
            portrait = decode_picture(service.vault.get(store, row.portrait_id, owner=consent_id))
            doubles.append(
                Double(subject_id=subject_id, consent_id=consent_id, portrait=portrait, template=templates[0])
            )
            continue
        doubles.append(_of_photograph(photographs, subject_id, consent_id, templates))
    return tuple(doubles)


def _content(order: Order, permit: Permit, media: Mapping[str, bytes]) -> Content:
    """What is to be made of the doubles, from the media that were handed in for it."""
    sound, music = (None if each is None else decode_film_sound(media[each]) for each in (order.sound, order.music))
    match order.kind:
        case "portrait":
            subjects = dict(permit.consents)
            return Speech(
                script=order.script,
                sound=sound,
                lines=tuple(
                    Line(text=line.text, of=None if line.consent is None else subjects.get(line.consent, ""))
                    for line in order.lines
                ),
                language=order.language,
                together=decode_picture(media[order.media[0]]) if len(permit.consents) > 1 else None,
            )
        case "story":
            photographs = tuple(decode_picture(media[media_id]) for media_id in order.media)
            shots = tuple(Shot(seconds=shot.seconds, caption=shot.caption) for shot in order.shots)
            return Story(photographs=photographs, shots=shots, speech=sound, music=music)
        case "cameo":
            capture = decode(media[order.media[0]], policy=_FILM)
            subjects = dict(permit.consents)
            face_of = subjects.get(order.face_of or "", "")  # nobody's: the generator refuses
            film = media[order.media[0]]
            own = None if capture.audio is None else decode_film_sound(film, origin_ms=capture.facts.video_start_ms)
            return Cameo(film=capture.frames, sound=own, face_of=face_of)
        case other:
            raise Stopped("generator_unavailable", [{"code": "kind_unknown", "kind": other}])


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


def _checked(
    service: Service, store: Store, order: Order, everybody: Mapping[str, Sequence[FaceTemplate]]
) -> tuple[Checked, ...]:
    """The very bytes that the gate looked at: handed-in photographs and films in their order, or everybody's own portrait; then
    the recording. Who is in which is told by the templates that the gate went by. How long films and recordings are is for
    :func:`_measured`."""
    checked: list[Checked] = []
    for media_id in order.media:
        row, content = _media(service, store, media_id, order.owner)
        found = templates_from_bytes(service.vault.get(store, row.templates_id, owner=media_id))
        shown = _shown(found, everybody, media_id)
        if row.kind == "video":
            checked.append(CheckedFilm(content=content, consents=shown, seconds=0.0))
        else:
            checked.append(_picture(service, store, order.backend, content, shown))
    if not order.media:
        for consent_id in everybody:
            consent = store.get(ConsentRow, consent_id)
            if consent is None:
                raise Erased
            content = service.vault.get(store, consent.portrait_id, owner=consent_id)
            checked.append(_picture(service, store, order.backend, content, (consent_id,)))
    if order.sound is not None:
        _, content = _media(service, store, order.sound, order.owner)
        checked.append(CheckedSound(content=content, consents=_voices(service, order), seconds=0.0))
    return tuple(checked)


def _measured(checked: Checked, everybody: Mapping[str, Sequence[FaceTemplate]], faces: FaceEngines) -> Checked:
    """With its length. A film is looked at once more, and more closely than when it was handed in: it is about to leave."""
    match checked:
        case CheckedPicture():
            return checked
        case CheckedSound():
            audio = decode_sound(checked.content)
            return replace(checked, seconds=len(audio.samples) / audio.rate_hz)
        case CheckedFilm():
            frames = sample_pictures(checked.content, _FILM_EVERY_MS)
            found = [template for frame in frames for _, template in faces_in(frame.image, faces)]
            shown = _shown(found, everybody, "a film")
            return replace(checked, consents=shown, seconds=max(1, frames[-1].at_ms) / 1000)


def _enrolled(service: Service, store: Store, permit: Permit) -> dict[str, list[FaceTemplate]]:
    """Templates of everybody of the permit, by consent, in its order."""
    return {consent_id: _templates(service, store, consent_id) for consent_id, _ in permit.consents}


def _shown(
    found: Sequence[FaceTemplate | None], everybody: Mapping[str, Sequence[FaceTemplate]], media_id: str
) -> tuple[str, ...]:
    shown = who_is_shown(found, everybody, same_person=STRICT.same_person.value)
    if shown is None:  # the gate would not have let it through
        raise Stopped("gate_refused", [{"code": "unknown_face", "place": media_id}])
    return shown


def _picture(service: Service, store: Store, backend: str, content: bytes, shown: tuple[str, ...]) -> CheckedPicture:
    """A picture, with the name under which the vendor keeps it as one of the person in it, if it does."""
    sha256 = hashlib.sha256(content).hexdigest()
    asset = asset_of(service, store, shown[0], backend, sha256=sha256) if len(shown) == 1 else None
    return CheckedPicture(content=content, consents=shown, asset=asset)


def _voices(service: Service, order: Order) -> tuple[str, ...]:
    """Whose voice the recording is, as it was declared to the gate."""
    of = dict(order.voices).get(order.sound or "")
    named = None if of is None or of >= len(order.tokens) else consent_named(service, order.tokens[of])
    return () if named is None else (named,)


def _who(service: Service, work: _Work, faces: FaceEngines) -> WhoIsShown:
    """Looks at pictures that a vendor made on the way to a clip."""

    def who(content: bytes) -> tuple[str, ...] | None:
        with service.database.transaction() as store:
            everybody = _enrolled(service, store, work.permit)
        found = [template for _, template in faces_in(decode_picture(content), faces)]
        return who_is_shown(found, everybody, same_person=STRICT.same_person.value)

    return who


def _templates(service: Service, store: Store, consent_id: str) -> list[FaceTemplate]:
    row = store.get(ConsentRow, consent_id)
    if row is None:
        raise Erased
    kept = service.vault.get(store, row.templates_id, owner=consent_id)
    return [template for template in templates_from_bytes(kept) if template is not None]


def _media(service: Service, store: Store, media_id: str, owner: str) -> tuple[MediaRow, bytes]:
    row = store.get(MediaRow, media_id)
    if row is None or row.key_id != owner:
        raise Erased
    return row, service.vault.get(store, row.content_id, owner=media_id)


def _make(service: Service, renderers: Renderers, work: _Work, watch: Watch, out: Path) -> MarkedClip:
    if work.order.remote is not None:
        return _have_made(service, renderers, work, work.order.remote, watch, out)
    generator = renderers.generators.get(work.order.backend)
    if generator is None or work.content is None:
        raise Stopped("generator_unavailable")
    order = work.order
    request = RenderRequest(
        content=work.content,
        width=order.width,
        height=order.height,
        max_seconds=min(order.max_seconds or LONGEST_CLIP_S, work.permit.obligations.max_seconds),
    )
    clip = generate(work.permit, work.doubles, request, generator, now=service.now())
    original = None
    if work.film is not None:
        original = out.with_name("film")  # in this run's own folder, which is emptied afterwards
        original.write_bytes(work.film)
    tell = _teller(service, work, watch, clip.frame_count)
    return put_marks(service, work.permit, clip, out, made_from=work.made_from, original=original, progress=tell)


def _have_made(service: Service, renderers: Renderers, work: _Work, wish: Wish, watch: Watch, out: Path) -> MarkedClip:
    """The same by a vendor: ordered, waited for, fetched, and marked here like any other."""
    tell = _teller(service, work, watch, _STEPS)

    def look_and_tell(far: float) -> None:
        """Each time: it is seldom, and nothing is fetched that may not be had any more."""
        _stop_if_withheld(service, work)
        tell(round(far * _STEPS))

    clip = remote_clip(
        service,
        renderers.remotes,
        clip_id=work.clip_id,
        backend_name=work.order.backend,
        wish=wish,
        permit=work.permit,
        checked=work.pictures,
        who=_who(service, work, renderers.faces),
        may_leave=lambda store: _stop_if_ended(service, store, work),
        tell=look_and_tell,
        ends_it=lambda error: (
            isinstance(error, Stopped) or (isinstance(error, Overtaken) and not _in_hand(service, work.clip_id))
        ),
    )
    last = round((1 - WAITING) * _STEPS)
    with renderers.bound.place():  # from here on it is work of this machine
        marked = put_marks(
            service,
            work.permit,
            clip,
            out,
            made_from=work.made_from,
            progress=lambda done: tell(_STEPS - last + done * last // clip.frame_count),
        )
    drop_parts(service, work.clip_id)
    return marked


def _check_who_is_in_it(service: Service, renderers: Renderers, work: _Work, marked: MarkedClip) -> None:
    """Whatever made it: nobody else may be in the finished file, nobody promised be missing, and its marks must hold.

    In a cameo the film's own person need not be seen any more; one face was promised. Nor need whoever only lent a
    vendor's clip their voice or their movements. Raises Stopped, LivenessError.
    """
    order, remote = work.order, work.order.remote is not None
    shows = frozenset({order.face_of}) if order.kind == "cameo" and order.face_of is not None else None
    if order.remote is not None:
        shows = promised(order.remote.mode, work.pictures)
    reasons = outputs.check_made(
        service,
        renderers.faces,
        work.permit,
        marked.path.read_bytes(),
        shows=shows,
        policy=outputs.LOOKED_AT if remote else outputs.OWN_LOOKED_AT,
    )
    with service.database.transaction() as store:
        _mine(store, work.clip_id, work.run_id)
        shown = outputs.write_down(store, work.permit, reasons, by=None, sha256=marked.sha256, now=service.now())
    if reasons:
        raise Stopped(reasons[0].code, shown)


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


def _stop_if_ended(service: Service, store: Store, work: _Work) -> None:
    """With the consents locked, so that no withdrawal comes in between."""
    store.consents_shared(consent_id for consent_id, _ in work.permit.consents)
    why = withheld(service, store, work.permit, now=service.now())
    if why is not None:
        raise Stopped(why)


def _stop_if_withheld(service: Service, work: _Work) -> None:
    with service.database.transaction() as store:
        clip = store.get(ClipRow, work.clip_id)
        if clip is None or clip.run_id != work.run_id or clip.state != "running":
            raise Overtaken
        why = withheld(service, store, work.permit, now=service.now())
        late = is_overdue(service, clip, now=service.now())
    if why is not None or late:
        raise Stopped(why or DEADLINE)


def _in_hand(service: Service, clip_id: str) -> bool:
    """Whether some run still makes it."""
    with service.database.transaction() as store:
        clip = store.get(ClipRow, clip_id)
        return clip is not None and clip.state in ("queued", "running")


def _release(service: Service, work: _Work, marked: MarkedClip, looks: Looks) -> None:
    """Ask once more, then hand the clip over, in one transaction with the end of its permit."""
    _asked(service, work.order, "clip_release", own_permit=work.permit.permit_id)
    content, now = marked.path.read_bytes(), service.now()
    with service.database.transaction() as store:
        # a revocation comes before this or after it, never between; it locks the consent first, and then the clip
        consents = store.consents_shared(consent_id for consent_id, _ in work.permit.consents)
        clip = _mine(store, work.clip_id, work.run_id)
        if is_overdue(service, clip, now=now):
            raise Stopped(DEADLINE)
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
        register(
            store,
            permit_id=work.permit.permit_id,
            backend=work.permit.backend,
            clip_id=work.clip_id,
            file_sha256=marked.sha256,
            watermark=marked.manifest.watermark,
            looks=looks,
            now=now,
        )
        tell_done(store, clip, now=now)


def _fail(service: Service, clip_id: str, run_id: str, code: str, reasons: list[dict[str, object]]) -> None:
    now = service.now()
    with service.database.transaction() as store:
        clip = store.get(ClipRow, clip_id, lock=True)
        if clip is None or clip.state not in ("queued", "running") or clip.run_id not in (None, run_id):
            return
        fail(service, store, clip, code, reasons, now=now)
    log.info("%s failed: %s", clip_id, code)


def _mine(store: Store, clip_id: str, run_id: str) -> ClipRow:
    clip = store.get(ClipRow, clip_id, lock=True)
    if clip is None or clip.run_id != run_id or clip.state != "running":
        raise Overtaken
    return clip
