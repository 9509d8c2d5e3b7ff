"""Stories of several jobs, and who is in which medium."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from likeness.backends import cards
from likeness.chain import plan_of, shots_of
from likeness.errors import RemoteError
from likeness.remote import FaultCode, MediaKind, Mode, RemoteJob, Role
from likeness.vendor_job import CheckedFilm, CheckedPicture, CheckedSound, media_type_of, promised, who_is_shown
from liveness.template import FaceTemplate, template
from tests.backends.kit import medium

CARD = cards()["jimeng"]
PNG = b"\x89PNG\r\n\x1a\n"


def story(frames: int, seconds: int, **more: Any) -> RemoteJob:
    media = tuple(medium(Role.KEYFRAME, MediaKind.PICTURE, number) for number in range(frames))
    fields: dict[str, Any] = {"prompt": "The sea.", "resolution": "720p", "media": media}
    return RemoteJob(**{"model": "jimeng-3.0-story", "mode": Mode.KEYFRAMES, "seconds": seconds} | fields | more)


def refused(job: RemoteJob) -> str:
    with pytest.raises(RemoteError) as error:
        plan_of(job, CARD)
    return str(error.value.code)


def test_a_story_is_as_long_as_its_shots_or_is_not_made() -> None:
    for frames, seconds, shot_s in ((2, 5, 5), (2, 10, 10), (4, 15, 5), (4, 30, 10), (10, 45, 5)):
        plan = plan_of(story(frames, seconds), CARD)
        assert (plan.shot_s, plan.parts, plan.shot_model) == (shot_s, frames - 1, "jimeng-3.0")
    for frames, seconds in ((1, 5), (3, 5), (3, 15), (4, 20), (11, 50)):
        assert refused(story(frames, seconds)) == FaultCode.INPUT_INVALID


def test_each_shot_begins_where_the_one_before_ends_and_says_its_own_words() -> None:
    job = story(4, 15, prompts=("She rises.", "", "She sits."))
    shots = shots_of(job, plan_of(job, CARD), ())
    assert [[each.sha256 for each in shot.media] for shot in shots] == [
        [one.sha256, other.sha256] for one, other in zip(job.media, job.media[1:], strict=False)
    ]
    assert [shot.prompt for shot in shots] == ["The sea. She rises.", "The sea.", "The sea. She sits."]
    assert {(shot.mode, shot.model, shot.seconds, shot.prompts) for shot in shots} == {
        (Mode.FIRST_LAST_FRAME, "jimeng-3.0", 5, ())
    }
    assert all(media.consents == ("con_alice",) for shot in shots for media in shot.media)


def test_frames_that_are_to_be_made_come_first_and_are_all_there_before_a_shot() -> None:
    reference = (medium(Role.REFERENCE, MediaKind.PICTURE),)
    job = story(0, 10, model="jimeng-4.0-story", mode=Mode.REFERENCE, media=reference, prompts=("dawn", "noon", "dusk"))
    plan = plan_of(job, CARD)
    assert [part.prompt for part in plan.pictures] == ["The sea. dawn", "The sea. noon", "The sea. dusk"]
    assert {part.mode for part in plan.pictures} == {Mode.IMAGE}
    assert plan.parts == 5
    made = [CheckedPicture(content=PNG + bytes([n]), consents=("con_alice",)) for n in range(3)]
    assert [shot.media[0].content for shot in shots_of(job, plan, made)] == [made[0].content, made[1].content]
    with pytest.raises(RemoteError):
        shots_of(job, plan, made[:2])
    assert refused(replace(job, prompts=("dawn",))) == FaultCode.INPUT_INVALID


# --- who is in it ----------------------------------------------------------------------------------------------------


def face(*values: float) -> FaceTemplate:
    return template(np.array(values, np.float32), contract_id="x")


ALICE, BOB = face(1, 0, 0), face(0, 1, 0)
KNOWN = {"con_alice": [ALICE], "con_bob": [BOB, face(0, 1, 0.2)]}


def test_each_face_is_its_best_match_and_one_that_is_nobodys_spoils_it() -> None:
    assert who_is_shown((), KNOWN, same_person=0.4) == ()
    assert who_is_shown((face(0.1, 1, 0), face(1, 0.1, 0), ALICE), KNOWN, same_person=0.4) == ("con_bob", "con_alice")
    assert who_is_shown((ALICE, face(0, 0, 1)), KNOWN, same_person=0.4) is None
    assert who_is_shown((ALICE, None), KNOWN, same_person=0.4) is None
    assert who_is_shown((ALICE,), {}, same_person=0.4) is None
    broken = replace(ALICE, vector=np.array([np.nan, 0, 0], np.float32))
    assert who_is_shown((broken,), KNOWN, same_person=0.4) is None, "what cannot be compared is nobody's"


def test_who_is_only_heard_or_only_moves_need_not_be_seen() -> None:
    alice = CheckedPicture(content=PNG, consents=("con_alice",))
    voice = CheckedSound(content=b"RIFF....WAVE", consents=("con_bob",), seconds=1)
    dance = CheckedFilm(content=b"....ftyp", consents=("con_bob",), seconds=1)
    assert promised(Mode.SPEECH_TO_VIDEO, (alice, voice)) == {"con_alice"}
    assert promised(Mode.PERFORMANCE, (alice, dance)) == {"con_alice"}
    assert promised(Mode.EDIT, (dance,)) == {"con_bob"}
    assert promised(Mode.REFERENCE, (alice, dance, voice)) == {"con_alice", "con_bob"}


@pytest.mark.parametrize(
    ("content", "kind", "said"),
    [
        (PNG, MediaKind.PICTURE, "image/png"),
        (b"RIFF....WEBP", MediaKind.PICTURE, "image/webp"),
        (b"RIFF....WAVE", MediaKind.SOUND, "audio/wav"),
        (b"ID3\x04", MediaKind.SOUND, "audio/mpeg"),
        (b"OggS", MediaKind.SOUND, "audio/ogg"),
        (b"\0\0\0\x18ftypqt  ", MediaKind.VIDEO, "video/quicktime"),
        (b"\0\0\0\x18ftypisom", MediaKind.VIDEO, "video/mp4"),
        (b"GIF89a", MediaKind.PICTURE, None),
        (PNG, MediaKind.SOUND, None),
        (b"\x80\x04\x95", MediaKind.VIDEO, None),
    ],
)
def test_a_medium_is_what_its_bytes_say(content: bytes, kind: MediaKind, said: str | None) -> None:
    if said is None:
        with pytest.raises(RemoteError):
            media_type_of(content, kind)
    else:
        assert media_type_of(content, kind) == said
