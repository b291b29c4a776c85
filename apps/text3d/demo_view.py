"""What the demo shows, as HTML in which every text that a visitor or a model wrote is escaped."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from apps.text3d.judging import MEASURES
from common.demo import escape, notice

if TYPE_CHECKING:
    from apps.text3d.demo_answers import SceneAnswer
    from apps.text3d.export.turntable import Frames
    from apps.text3d.judging.geometry import Verdict
    from apps.text3d.workbench import Moment

#: Points that the loss curve has at most, and its size in the units of its own drawing.
POINTS, WIDE, HIGH = 240, 640, 110
#: What each question ends with; it is said once.
FORM = " Answer Yes or No only."
#: Log-odds, in nats, at which a bar is full: e⁶ : 1, or 99.75 %.
FULL = 6.0
ASKED = {
    "object": "The right kinds are there",
    "colour": "in the right colours",
    "count": "in the right number",
    "relation": "and stand as they should",
}
KINDS = {"semantic": "What is there", "spatial": "How it stands", "consistency": "All sides together"}

CSS = """
.html-container { padding: 0 !important; }
.look { margin: 0; }
.look img { display: block; width: 100%; border-radius: 10px; border: 1px solid var(--border-color-primary); }
.look figcaption { margin-top: 0.4rem; font-size: 0.86rem; color: var(--body-text-color-subdued); }
.empty { border: 1px dashed var(--border-color-primary); border-radius: 10px; padding: 3.2rem 1rem; text-align: center;
  color: var(--body-text-color-subdued); }
.done { height: 0.4rem; border-radius: 4px; background: var(--border-color-primary); margin: 0.5rem 0 0.2rem; }
.done div { height: 100%; border-radius: 4px; background: var(--color-accent); }
.loss { margin: 0.5rem 0 0; }
.loss figcaption { display: flex; justify-content: space-between; font-size: 0.82rem;
  color: var(--body-text-color-subdued); font-variant-numeric: tabular-nums; }
.loss svg { display: block; width: 100%; height: 6.5rem; background: var(--background-fill-secondary);
  border-radius: 8px; }
.loss polyline { fill: none; stroke: var(--color-accent); stroke-width: 1.2; opacity: 0.35;
  vector-effect: non-scaling-stroke; }
.loss polyline.mean { stroke-width: 2.2; opacity: 1; }
.bars { width: 100%; border-collapse: collapse; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
.bars, .bars tr, .bars tbody, .bars thead, .bars th, .bars td { border: 0 !important; background: none !important; }
.bars th, .bars td { padding: 0.28rem 0.5rem !important; text-align: left; }
.bars thead th { font-size: 0.82rem; font-weight: 550; color: var(--body-text-color-subdued); }
.bars tbody th { font-weight: 500; overflow-wrap: anywhere; }
.bars .group th { font-weight: 650; padding-top: 0.6rem !important; }
.bars .value { text-align: right; white-space: nowrap; }
.bars .rail { width: 26%; min-width: 6rem; }
.bars.asked thead th { white-space: nowrap; }
.bars .track { position: relative; height: 0.85rem; border-radius: 4px; background: var(--border-color-primary); }
.bars .track.odds::after { content: ""; position: absolute; left: 50%; top: -0.15rem; bottom: -0.15rem; width: 1px;
  background: var(--body-text-color-subdued); }
.bars .bar { position: absolute; top: 0; height: 100%; border-radius: 4px; background: #2e9e5b; }
.bars .bar.wrong { background: #d1495b; }
.verdict { margin: 0.2rem 0 0.4rem; font-weight: 600; }
.reasons { margin: 0.4rem 0 0; padding-left: 1.2rem; font-size: 0.88rem; }
.aside { font-size: 0.84rem; color: var(--body-text-color-subdued); margin: 0.2rem 0 0.5rem; }
"""


def empty_html(text: str) -> str:
    """The place of the pictures while there are none."""
    return f'<div class="empty">{escape(text)}</div>'


def moment_html(moment: Moment) -> str:
    """A scene on its way: views from all around, how far it is, and its loss."""
    step, steps = moment.step, moment.steps
    turns = ", ".join(f"{360 * view // len(moment.views)}°" for view in range(len(moment.views)))
    said = f"step {step} of {steps}, {moment.doing}; seen from {turns}, where 0° is the prompt's own side"
    bar = f'<div class="done"><div style="width:{step / max(1, steps):.1%}"></div></div>'
    figure = f'<figure class="look"><img src="{_png(moment.views)}" alt="{escape(said)}">{bar}'
    return f"{figure}<figcaption>{escape(said)}</figcaption></figure>{loss_html(moment.losses)}"


def made_html(sheet: Path | None, moment: Moment, note: str) -> str:
    """The finished scene's contact sheet and its loss; the last look where there is no sheet."""
    ended = "" if moment.step == moment.steps else f", stopped before its {moment.steps}"
    said = f"finished after {moment.step} step{'' if moment.step == 1 else 's'}{ended}" + (f"; {note}" if note else "")
    if sheet is None:
        source = _png(moment.views)
    else:
        source = f"data:image/png;base64,{base64.b64encode(sheet.read_bytes()).decode('ascii')}"
    picture = f'<img src="{source}" alt="{escape(said)}">'
    loss = loss_html(moment.losses)
    return f'<figure class="look">{picture}<figcaption>{escape(said)}</figcaption></figure>{loss}'


def loss_html(losses: Sequence[tuple[int, float]]) -> str:
    """The loss by step, raw and as a running mean; nothing before the second step."""
    known = [(step, value) for step, value in losses if math.isfinite(value)]
    if len(known) < 2:
        return ""
    # At most POINTS of them, each the mean of its neighbours, so that the page stays light.
    width = math.ceil(len(known) / POINTS)
    groups = [known[at : at + width] for at in range(0, len(known), width)]
    points = [(group[-1][0], sum(value for _, value in group) / len(group)) for group in groups]
    window = max(1, len(points) // 30)
    smooth = []
    for at, (step, _) in enumerate(points):
        near = [value for _, value in points[max(0, at - window) : at + window + 1]]
        smooth.append((step, sum(near) / len(near)))
    values = [value for _, value in points]
    box = (known[0][0], known[-1][0], min(values), max(values))
    lines = f'<polyline points="{_path(points, box)}"/><polyline class="mean" points="{_path(smooth, box)}"/>'
    label = f"loss from {known[0][1]:.3g} to {known[-1][1]:.3g}"
    return (
        f'<figure class="loss"><svg viewBox="0 0 {WIDE} {HIGH}" preserveAspectRatio="none" role="img" '
        f'aria-label="{label}">{lines}</svg><figcaption><span>step {known[0][0]}</span><span>{label}; the strong line '
        f"is its running mean</span><span>step {known[-1][0]}</span></figcaption></figure>"
    )


def judged_html(verdict: Verdict) -> str:
    """The geometry judge's shares as bars, and what is wrong."""
    rows = ""
    for name in MEASURES:
        share = getattr(verdict, name)
        asked = not math.isnan(share)
        value = f"{share:.0%}" if asked else "not asked"
        kind = "" if not asked or share == 1 else " wrong"
        bar = f'<div class="bar{kind}" style="left:0;width:{share:.1%}"></div>' if asked else ""
        rows += f'<tr><th scope="row">{ASKED[name]}</th><td class="value">{value}</td>'
        rows += f'<td class="rail"><div class="track">{bar}</div></td></tr>'
    title = "All that the prompt asks for is there" if verdict.correct else "Not all that the prompt asks for is there"
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in verdict.reasons)
    listed = f'<ul class="reasons">{reasons}</ul>' if reasons else ""
    head = '<tr><th scope="col">Geometry judge</th><th class="value" scope="col">share</th><th></th></tr>'
    return (
        f'<p class="verdict">{title}</p><p class="aside">Read off the field itself, which no guidance sees.</p>'
        f'<table class="bars"><thead>{head}</thead><tbody>{rows}</tbody></table>{listed}'
    )


def asked_html(answers: Sequence[SceneAnswer], silent: str) -> str:
    """Each question with the log-odds of its right answer, or why nobody was asked."""
    if not answers:
        return notice("caution", "No vision-language model was asked:", f"{silent}. The judge's bars stand alone.")
    rows, kind = "", ""
    for answer in answers:
        if answer.kind != kind:
            kind = answer.kind
            rows += f'<tr class="group"><th colspan=5 scope="rowgroup">{escape(KINDS.get(kind, kind))}</th></tr>'
        rows += _answer_row(answer)
    head = '<th scope="col">Question</th><th scope="col">right is</th><th class="value" scope="col">log-odds</th>'
    head += '<th></th><th class="value" scope="col">right in</th>'
    right, total = sum(one.right for one in answers), sum(len(one.odds) for one in answers)
    return (
        f'<p class="verdict">The vision-language model is right in {right} of {total} answers</p>'
        '<p class="aside">Log-odds of the right answer, in nats, mean over the views that it was asked about; right '
        "of the middle the model says what is true of the prompt.</p>"
        f'<table class="bars asked"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
    )


def _answer_row(answer: SceneAnswer) -> str:
    mean = answer.mean
    half = min(1.0, abs(mean) / FULL) * 50 if math.isfinite(mean) else 0.0
    left, kind = (50.0, "") if mean > 0 else (50 - half, " wrong")
    bar = f'<div class="bar{kind}" style="left:{left:.1f}%;width:{half:.1f}%"></div>'
    where = "; ".join(f"{place}: {odds:+.2f}" for place, odds in answer.odds)
    views = f"{answer.right} of {len(answer.odds)}"
    return (
        f'<tr><th scope="row" title="{escape(answer.text)}">{escape(answer.text.removesuffix(FORM))}</th>'
        f"<td>{'yes' if answer.expected else 'no'}</td>"
        f'<td class="value" title="{escape(where)}">{mean:+.2f}</td>'
        f'<td class="rail"><div class="track odds">{bar}</div></td><td class="value">{views}</td></tr>'
    )


def gif_html(path: Path) -> str:
    """The turntable where there is no ffmpeg to make a film of it."""
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    source = f"data:image/gif;base64,{data}"
    return f'<figure class="look"><img src="{source}" alt="turntable"><figcaption>turntable</figcaption></figure>'


def _path(points: Sequence[tuple[int, float]], box: tuple[float, float, float, float]) -> str:
    first, last, low, high = box
    across, up = max(last - first, 1), max(high - low, 1e-12)
    return " ".join(
        f"{WIDE * (step - first) / across:.1f},{5 + (HIGH - 10) * (high - value) / up:.1f}" for step, value in points
    )


def _png(views: Frames) -> str:
    """Views side by side, as a picture in the page itself."""
    import numpy as np
    from PIL import Image

    buffer = BytesIO()
    Image.fromarray(np.concatenate(list(views), axis=1)).save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}"
