"""Everything about one person in one archive: for them to keep, to read, and for programs to read.

It holds what is theirs alone. A clip that shows somebody else too is listed and not included. What is not there any more, or
never leaves (face templates), is named with the reason.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from tempfile import SpooledTemporaryFile
from typing import IO, Any

from api import look_alikes, persons
from api.audit_search import Page
from api.consents import receipt_of
from api.media import Erased, Unsealable
from api.persons import Self
from api.service import Service
from api.storage import Store
from api.tables import ConsentRow, VerdictRow
from consent import terms as agreed
from consent.canonical import write_instant
from consent.ledger import SALT_BYTES
from consent.record import read_record
from liveness.reasons import ADVICE, Reason

FORMAT = "mien-export-1"
_IN_MEMORY = 16 * 1024 * 1024
_PAGE = 200
_MOST_PAGES = 500

README = """\
# Your data / 您的数据

## English
This archive holds what the service keeps about you. `index.json` lists every file with its SHA-256 for programs.

- `consents/`: for each consent the signed record (`record.jws`, and readable as `record.json`), the receipt that proves it is
  in the log (`receipt.json`; check it with `mien ledger verify --proof receipt.json --keys keys.json`), the exact words you
  agreed to (`terms.txt`), and what the check of your face found (`live-check.json`).
- `uses.json`: every use of your likeness, and every clip. `clips/`: the clips that show only you.
- `attempts.json`: everyone who asked to use your face with a leave of yours, also those who were refused, and why.
- `admin-views.json`: everyone who looked at your data, and why.
- `look-alikes.json`: what you were told of faces like yours; `look-alikes.jws`: your signed yes to being told, if you gave it.
- `portraits/`: the picture your double is made from, while there is one.
- `not-included.json`: what is not here, and why. Face templates never leave the service; recordings of your live checks are
  erased after the check.

Whoever has `receipt.json` can recognise your entries in the log. Keep it as you would keep a contract.

## 中文
此压缩包包含本服务保存的与您有关的内容。`index.json` 为程序列出每个文件及其 SHA-256。

- `consents/`：每份同意的签名记录（`record.jws`，可读版本为 `record.json`）、证明其已写入日志的回执（`receipt.json`，可用
  `mien ledger verify --proof receipt.json --keys keys.json` 核对）、您所同意的原文（`terms.txt`）以及面容核实的结果
  （`live-check.json`）。
- `uses.json`：对您形象的每一次使用和每一段短片。`clips/`：只有您一人的短片。
- `attempts.json`：每一个持您的许可请求使用您面容的人，包括被拒绝的，以及原因。
- `admin-views.json`：每一个查阅过您数据的人，以及原因。
- `look-alikes.json`：已告知您的相似面孔；`look-alikes.jws`：您同意接收告知的签名记录（如有）。
- `portraits/`：制作您的分身所用的图片（如仍保存）。
- `not-included.json`：未包含的内容及原因。人脸模板绝不离开本服务；面容核实的录像在核实后即删除。

持有 `receipt.json` 的人可以在日志中认出属于您的条目，请像保管合同一样保管它。
"""


@dataclass(slots=True)
class _Archive:
    """A zip that remembers what is in it."""

    zip: zipfile.ZipFile
    now: datetime
    files: list[dict[str, Any]] = field(default_factory=list)
    missing: list[dict[str, str]] = field(default_factory=list)

    def put(self, path: str, content: bytes, about: str) -> None:
        entry = zipfile.ZipInfo(path, date_time=self.now.timetuple()[:6])
        entry.compress_type = zipfile.ZIP_DEFLATED
        entry.external_attr = 0o600 << 16
        self.zip.writestr(entry, content)
        self.files.append(
            {"path": path, "bytes": len(content), "sha256": hashlib.sha256(content).hexdigest(), "about": about}
        )

    def put_json(self, path: str, value: Any, about: str) -> None:
        self.put(path, json.dumps(value, ensure_ascii=False, indent=1).encode(), about)

    def leave_out(self, what: str, why: str) -> None:
        self.missing.append({"what": what, "why": why})


def export(service: Service, store: Store, me: Self, *, now: datetime) -> IO[bytes]:
    """The archive, as a file that is gone when it is closed; open, at its beginning."""
    file = SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 - the caller streams it and closes it
    with zipfile.ZipFile(file, "w") as zipped:
        archive = _Archive(zipped, now)
        archive.put("README.md", README.encode(), "what is in here, in English and Chinese")
        archive.put_json("keys.json", service.keys.public.to_jwks(), "public keys that the records are signed with")
        mine = persons.consents_with_this_face(service, store, me)
        for row in store.consents_of_subject(me.subject_id):
            _consent(service, store, archive, row, shows_face=row.consent_id in mine, now=now)
        _clips(service, store, archive, me, mine)
        lists: tuple[tuple[str, Callable[[str | None], Page], str], ...] = (
            ("uses.json", lambda cursor: persons.uses(store, me, cursor=cursor, most=_PAGE), "uses and clips"),
            ("attempts.json", lambda cursor: persons.attempts(store, me, cursor=cursor, most=_PAGE), "who asked"),
            (
                "admin-views.json",
                lambda cursor: persons.looks(store, me, now=now, cursor=cursor, most=_PAGE),
                "who looked",
            ),
            (
                "look-alikes.json",
                lambda cursor: look_alikes.alerts(store, me, cursor=cursor, most=_PAGE),
                "what you were told of faces like yours",
            ),
        )
        said = look_alikes.statement_of(store, me.consent_id)
        if said is not None and said.record is not None:
            archive.put("look-alikes.jws", said.record.encode(), "your signed yes to being told of look-alikes")
            archive.leave_out("the code made from your face for that", "it never leaves the service")
        for path, page, about in lists:
            archive.put_json(path, _all(page), about)
        archive.leave_out("face templates", "they can be turned back into a face, and never leave the service")
        archive.leave_out("recordings of live checks", "erased after the check, at the latest after 24 hours")
        archive.put_json("not-included.json", archive.missing, "what is not here, and why")
        index = {
            "format": FORMAT,
            "made_at": write_instant(now),
            "subject_id": me.subject_id,
            "files": archive.files,
        }
        archive.put_json("index.json", index, "this list")
    file.seek(0)
    return file


def _all(page: Callable[[str | None], Page]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    cursor: str | None = None
    for _ in range(_MOST_PAGES):
        one = page(cursor)
        found += one.to_json()["results"]
        cursor = one.next
        if cursor is None:
            break
    return found


def _consent(
    service: Service, store: Store, archive: _Archive, row: ConsentRow, *, shows_face: bool, now: datetime
) -> None:
    folder = f"consents/{row.consent_id}"
    last = store.consent_events(row.consent_id)[-1]
    record = read_record(last.record, service.keys.public)
    archive.put(f"{folder}/record.jws", last.record.encode(), "the signed record")
    archive.put_json(
        f"{folder}/record.json",
        {
            "consent_id": row.consent_id,
            "state": record.state_at(now).value,
            "purposes": [purpose.value for purpose in record.purposes],
            "audience": list(record.audience),
            "expires_at": write_instant(record.expires_at),
            "terms": {"version": record.granted.terms_version, "sha256": record.granted.terms_sha256},
            "controller": {"name": record.granted.controller.name, "contact": record.granted.controller.contact},
            "events": [{"kind": event.kind, "at": write_instant(event.at)} for event in record.events],
        },
        "the record in readable form",
    )
    if len(row.salt) == SALT_BYTES:
        receipt = receipt_of(service, store, row, last, now=now)
        archive.put(f"{folder}/receipt.json", receipt.to_json().encode(), "proof that it is in the log")
    words = agreed.by_sha256(record.granted.terms_sha256)
    if words is not None:
        archive.put(f"{folder}/terms.txt", words.text.encode(), "the words agreed to")
    verdict = store.get(VerdictRow, row.challenge_id)
    if record.granted.authority is not None:
        archive.leave_out(f"live check of {row.consent_id}", "it is that of whoever agreed for you, not yours")
    elif verdict is not None:
        archive.put_json(f"{folder}/live-check.json", _verdict(verdict), "what the check of the face found")
    if row.portrait_id is None:
        return
    try:
        picture = service.vault.get(store, row.portrait_id, owner=row.consent_id)
    except (Erased, Unsealable):
        archive.leave_out(f"portrait of {row.consent_id}", "destroyed when the consent ended")
        return
    if not shows_face:
        why = "the face of that consent is not the one of the consent you asked with; ask with its own token"
        archive.leave_out(f"portrait of {row.consent_id}", why)
        return
    ending = "png" if picture.startswith(b"\x89PNG") else "webp" if picture.startswith(b"RIFF") else "jpg"
    archive.put(f"portraits/{row.consent_id}.{ending}", picture, "the picture your double is made from")


def _verdict(verdict: VerdictRow) -> dict[str, Any]:
    """In words; no scores: with them, somebody who holds the archive could learn to come closer."""
    return {
        "at": write_instant(verdict.judged_at),
        "live": verdict.live,
        "assurance": verdict.assurance,
        "en": "You were shown live." if verdict.live else "You could not be shown live.",
        "zh": "已确认是您本人在镜头前。" if verdict.live else "未能确认是您本人在镜头前。",
        "checks": [{"name": check["name"], "outcome": check["outcome"]} for check in verdict.detail.get("checks", [])],
        "reasons": [
            {"code": code, "en": ADVICE[Reason(code)].en, "zh": ADVICE[Reason(code)].zh} for code in verdict.reasons
        ],
    }


def _clips(service: Service, store: Store, archive: _Archive, me: Self, mine: set[str]) -> None:
    for clip in store.clips_of_subject(me.subject_id):
        if clip.state != "done":
            continue
        if not set(store.consents_of_clip(clip.clip_id)) <= mine:
            archive.leave_out(f"clip {clip.clip_id}", "it shows somebody else too")
            continue
        try:
            content = service.vault.get(store, clip.content_id, owner=clip.clip_id)
        except (Erased, Unsealable):
            archive.leave_out(f"clip {clip.clip_id}", "it was erased")
            continue
        archive.put(f"clips/{clip.clip_id}.mp4", content, "a clip that shows you")
