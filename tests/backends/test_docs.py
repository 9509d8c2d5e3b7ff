"""The table of vendors in ``docs/backends.md`` says what the cards say.

To write it again: ``python -m tests.backends.test_docs``.
"""

from __future__ import annotations

from pathlib import Path

from likeness.backends import BackendCard, Standing, cards
from likeness.remote import Mode
from tests.backends.test_every_backend import EVERY_ENDING, EVERY_ERROR, EVERY_MODE, stub_class

DOC = Path(__file__).resolve().parents[2] / "docs" / "backends.md"
BEGIN, END = "<!-- table: begin -->\n", "<!-- table: end -->\n"
WORDS = {
    Mode.TEXT_TO_VIDEO: "text",
    Mode.FIRST_FRAME: "first frame",
    Mode.FIRST_LAST_FRAME: "first and last frame",
    Mode.KEYFRAMES: "keyframes",
    Mode.REFERENCE: "reference",
    Mode.SPEECH_TO_VIDEO: "speech",
    Mode.PERFORMANCE: "performance",
    Mode.EDIT: "edit",
    Mode.EXTEND: "extend",
    Mode.IMAGE: "picture",
}
ALL = {
    "seedance", "jimeng", "kling", "kling_legacy", "vidu", "veo", "omni", "runway", "luma", "luma_legacy", "pixverse",
    "higgsfield", "tencent", "tencent_vod", "wan", "fal", "replicate", "comfyui", "diffusers", "liveportrait", "sora",
    "midjourney", "pika",
}  # fmt: skip


def row(card: BackendCard) -> str:
    models = "<br>".join(
        f"`{model.name}`: {', '.join(WORDS[mode] for mode in Mode if mode in model.modes)}"
        + (" (a)" if model.by_address else "")
        + (" (v)" if model.real_people == "verified" else "")
        for model in card.models
    )
    match card.standing:
        case Standing.LIVE:
            stub = stub_class(card.name)
            modes = sum(param.values[0] == card.name for param in EVERY_MODE)
            tried = f"{modes} modes, {len(stub.errors)} errors, {len(stub.endings)} endings"
            told = {"none": "looks", "hint": "looks, unsigned hints", "signed": "looks, signed callbacks"}
            how = told[card.callbacks.value] + (", for the account" if card.told_by == "account" else "")
        case Standing.LOCAL:
            tried, how = "on this machine, not against a stub", "–"
        case _:
            models, tried, how = card.why, "refused before anything is sent", "–"
    return f"| `{card.name}` {card.title} | {models} | {how} | {tried} | {card.checked} |"


def table() -> str:
    head = "| backend | models: modes | told by | verified against | read |\n| --- | --- | --- | --- | --- |\n"
    return head + "\n".join(row(card) for card in cards().values()) + "\n"


def test_the_table_of_vendors_says_what_the_cards_say() -> None:
    text = DOC.read_text(encoding="utf-8")
    assert text.partition(BEGIN)[2].partition(END)[0] == table(), "run: python -m tests.backends.test_docs"


def test_every_backend_that_was_asked_for_is_there() -> None:
    assert set(cards()) == ALL
    assert len(EVERY_MODE) + len(EVERY_ERROR) + len(EVERY_ENDING) > 250


if __name__ == "__main__":
    before, _, rest = DOC.read_text(encoding="utf-8").partition(BEGIN)
    DOC.write_text(before + BEGIN + table() + END + rest.partition(END)[2], encoding="utf-8")
