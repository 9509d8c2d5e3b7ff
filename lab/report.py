"""``report.html``: what the demo did, on one page that opens without a network."""

from __future__ import annotations

import html
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """One step: what it is (English and Chinese), how it ended, and how long it took."""

    name: str
    en: str
    zh: str
    result: str
    seconds: float


_STYLE = """
:root{color-scheme:light dark;--ink:#1d2433;--soft:#667085;--line:#e3e7ef;--back:#fbfcfe;--card:#fff;--good:#1f8a5b;--no:#c2403a}
@media (prefers-color-scheme:dark){:root{--ink:#e8ecf4;--soft:#98a2b3;--line:#2a3242;--back:#10141c;--card:#171d29;--good:#4cc38a;--no:#ff8a80}}
*{box-sizing:border-box}
body{margin:0;background:var(--back);color:var(--ink);font:16px/1.55 system-ui,"PingFang SC","Microsoft YaHei",sans-serif}
main{max-width:980px;margin:0 auto;padding:40px 20px 80px}h1{font-size:34px;margin:0 0 4px}h2{margin:44px 0 12px;font-size:21px}
.soft{color:var(--soft)}table{width:100%;border-collapse:collapse;background:var(--card);border:1px solid var(--line);border-radius:12px;overflow:hidden}
td,th{padding:10px 14px;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}td.s{text-align:right;white-space:nowrap;color:var(--soft)}
.no{color:var(--no)}.good{color:var(--good)}img,video{max-width:100%;border-radius:12px;border:1px solid var(--line);background:#000}
img{background:#fff}.pair{display:grid;grid-template-columns:1fr 2.4fr;gap:18px}@media(max-width:700px){.pair{grid-template-columns:1fr}}
a{color:inherit}code{font-size:13px}
"""


def write_report(out: Path, scenes: list[Scene], tried_out: list[dict[str, Any]]) -> None:
    """Write ``report.html`` beside the files it shows. ``tried_out``: the cases of a dry run."""
    rows = "\n".join(_row(scene) for scene in scenes)
    files = " · ".join(
        f'<a href="{html.escape(file.name)}">{html.escape(file.name)}</a>'
        for file in sorted(out.iterdir())
        if file.suffix in {".json", ".png", ".mp4", ".pem"}
    )
    page = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<title>Mien: the whole story</title><style>{_STYLE}</style></head><body><main>
<h1>Mien</h1>
<p class="soft">From a live check to a consented clip, and back. <span lang="zh-Hans">从活体检测到经同意的视频，再到撤回。</span></p>
<p>The person below is simulated, from a public-domain portrait; every record made here carries the assurance
<code>simulated</code>. <span lang="zh-Hans">下面的人是由公有领域肖像模拟的；此处的一切记录只具有“模拟”级别。</span></p>
<h2>What happened <span class="soft" lang="zh-Hans">经过</span></h2>
<table><tr><th>Step</th><th>Result</th><th></th></tr>
{rows}
</table>
<h2>The live check <span class="soft" lang="zh-Hans">活体检测</span></h2>
<img src="verdict.png" alt="Yaw, mouth opening and recognised digits over time, with every check and its value">
<h2>What the consent allowed <span class="soft" lang="zh-Hans">该同意允许什么</span></h2>
<p class="soft">Each purpose is a choice of its own, and off until the person turns it on.
<span lang="zh-Hans">每项用途都单独选择，未经本人开启一律不允许。</span></p>
{_matrix(tried_out)}
<h2>The recording, and the clip <span class="soft" lang="zh-Hans">录像与生成的视频</span></h2>
<div class="pair"><video src="capture.mp4" controls muted playsinline preload="metadata"></video>
<video src="clip.mp4" controls playsinline preload="metadata"></video></div>
<p class="soft">The clip was withdrawn by the service when the consent was revoked; this copy was fetched before.
<span lang="zh-Hans">撤回同意后服务已下架该视频；这里是撤回前取得的副本。</span></p>
<h2>Files <span class="soft" lang="zh-Hans">文件</span></h2><p>{files}</p>
</main></body></html>
"""
    (out / "report.html").write_text(page, encoding="utf-8")


def _matrix(cases: list[dict[str, Any]]) -> str:
    """Purposes down, backends across: allowed, or the rule that stands against it."""
    purposes, backends = (list(dict.fromkeys(str(case[name]) for case in cases)) for name in ("purpose", "backend"))
    said = {(case["purpose"], case["backend"]): case for case in cases}
    head = "".join(f"<th>{html.escape(backend)}</th>" for backend in backends)
    body = "\n".join(
        f"<tr><td>{html.escape(purpose.replace('_', ' '))}</td>"
        + "".join(_cell(said[purpose, backend]) for backend in backends)
        + "</tr>"
        for purpose in purposes
    )
    return f"<table><tr><th></th>{head}</tr>\n{body}\n</table>"


def _cell(case: dict[str, Any]) -> str:
    if case["allowed"]:
        return '<td class="good">✓ allowed <span lang="zh-Hans">允许</span></td>'
    return f'<td class="no">{html.escape(", ".join(case["reasons"]))}</td>'


def _row(scene: Scene) -> str:
    kind = "no" if scene.name in ("refusal", "narrow", "revoke") else "good"
    return (
        f'<tr><td>{html.escape(scene.en)}<br><span class="soft" lang="zh-Hans">{html.escape(scene.zh)}</span></td>'
        f'<td class="{kind}">{html.escape(scene.result)}</td><td class="s">{scene.seconds:.1f} s</td></tr>'
    )
