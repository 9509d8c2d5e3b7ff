"""Everything that goes into a job and shows no face to look at: handles, voices, and what a shown job names without bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from api.line import Line
from api.outputs import handle_sha256
from api.tables import MediaRow
from consent.gate import GateCode, InputSeen
from consent.job import Hides, hidden_inputs
from consent.tokens import ConsentToken, TokenProblem

if TYPE_CHECKING:
    from api.gate import Question

_CODES = {Hides.ADDRESS: GateCode.REMOTE_INPUT, Hides.FILE: GateCode.HIDDEN_FACE}
_MOST_SHOWN = 100


def inputs_of(line: Line, question: Question, held: Sequence[ConsentToken | TokenProblem]) -> tuple[InputSeen, ...]:
    """Whose likeness each of them carries, by our own records or as the backend declared, or that nobody knows.

    1. Kinds of inputs that are not known here.
    2. Handles: the people of the permit that they were registered under.
    3. Voices: each sound among the media is declared, as the person's of a token or as nobody's.
    4. The job, where it was shown: its media are those that were handed in; nothing in it hides a face.
    """
    seen = [InputSeen(place=name[:_MOST_SHOWN], problem=GateCode.INPUT_UNSEEN) for name in question.unread]  # 1
    inner = hidden_inputs(question.job) if question.job is not None else ()
    named = [*question.handles, *(one.value for one in inner if one.value is not None)]
    hashed = {handle_sha256(question.backend, each) for each in named}
    known = line.store.handle_consents(question.backend, hashed) if hashed else {}

    def carried(place: str, handle: str) -> InputSeen:
        consents = known.get(handle_sha256(question.backend, handle), ())
        return InputSeen(place=place, consents=consents, problem=None if consents else GateCode.HIDDEN_FACE)

    seen += [carried(f"handles/{number}", handle) for number, handle in enumerate(question.handles)]  # 2
    media = {media_id: line.store.get(MediaRow, media_id) for media_id in question.media}
    declared = dict(question.voices)
    for number, (media_id, token) in enumerate(question.voices):  # 3
        row = media.get(media_id)
        if row is None or row.key_id != question.media_owner:
            seen.append(InputSeen(place=f"voices/{number}", problem=GateCode.INPUT_UNSEEN))
        elif token is not None:
            whose = held[token] if token < len(held) else None
            consents = (whose.consent_id,) if isinstance(whose, ConsentToken) else ()
            problem = None if consents else GateCode.NO_TOKEN
            seen.append(InputSeen(place=f"voices/{number}", consents=consents, problem=problem))
    for number, (media_id, row) in enumerate(media.items()):
        if row is not None and row.kind == "sound" and media_id not in declared:
            seen.append(InputSeen(place=f"media/{number}", problem=GateCode.VOICE_UNDECLARED))
    if question.job is not None:  # 4
        looked_at = {row.sha256 for row in media.values() if row is not None and row.key_id == question.media_owner}
        seen += [
            InputSeen(place=f"job/media/{number}", problem=GateCode.INPUT_UNSEEN)
            for number, sha256 in enumerate(question.job.media)
            if sha256 not in looked_at
        ]
    for one in inner:
        if one.value is not None:
            seen.append(carried(f"job{one.place}", one.value))
        else:
            seen.append(InputSeen(place=f"job{one.place}", problem=_CODES[one.how]))
    return tuple(seen)
