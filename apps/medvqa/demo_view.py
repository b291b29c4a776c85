"""What the demo shows, as HTML in which every text that a visitor, a model or a file wrote is escaped."""

from __future__ import annotations

import base64
from io import BytesIO
from typing import TYPE_CHECKING

from apps.medvqa.answers import CORRECT
from apps.medvqa.assistant import DISCLAIMER, Answer
from apps.medvqa.pocket import LABEL, Finding, Study
from apps.medvqa.pocket.catalogue import MODALITIES
from apps.medvqa.viewer import View
from apps.medvqa.workbench import Truth
from common.demo import escape, notice, sentence

if TYPE_CHECKING:
    from PIL.Image import Image

    from apps.medvqa.answers import AnswerScore

SIDE = 1024  # pixels of the longer side of a large picture as it is shown

CSS = """
.html-container { padding: 0 !important; }
/* gradio hides what overflows its page, and nothing can stick inside what scrolls by itself */
.gradio-container { overflow: clip !important; }
#disclaimer { position: sticky; top: 0; z-index: 40; overflow: visible; }
.disclaimer { border-radius: 8px; padding: 0.45rem 0.9rem; font-size: 0.9rem; background: #fdf0d5; color: #6b4305;
  border: 1px solid #efd9a8; box-shadow: 0 2px 6px rgb(0 0 0 / 6%); }
.disclaimer strong { margin-right: 0.35rem; }
.dark .disclaimer { background: #3a2b10; color: #f6d99b; border-color: #5c4518; }
.picture { margin: 0; }
.picture img { display: block; width: 100%; aspect-ratio: 1; max-height: 32rem; object-fit: contain;
  border-radius: 10px; background: #000; }
.picture figcaption { margin-top: 0.45rem; font-size: 0.86rem; color: var(--body-text-color-subdued);
  overflow-wrap: anywhere; }
.picture figcaption div { color: inherit; }
.tag { display: inline-block; font-size: 0.78rem; font-weight: 550; border-radius: 999px; padding: 0.05rem 0.55rem;
  background: #fdf0d5; color: #7a4d05; margin: 0 0.35rem 0.2rem 0; }
.dark .tag { background: #4a3510; color: #f6d99b; }
.card { border: 1px solid var(--border-color-primary); border-top: 4px solid var(--color-accent);
  border-radius: 10px; padding: 0.75rem 0.95rem 0.85rem; background: var(--block-background-fill); }
.card.good { border-top-color: #2e9e5b; } .card.bad { border-top-color: #d1495b; }
.card.plain { border-top-color: var(--border-color-primary); }
.card h4 { margin: 0; font-size: 0.82rem; font-weight: 550; color: var(--body-text-color-subdued);
  overflow-wrap: anywhere; }
.card .said { font-size: 1.7rem; line-height: 1.3; margin: 0.3rem 0 0.45rem; font-weight: 600;
  letter-spacing: -0.01em; overflow-wrap: anywhere; }
.card .said.long { font-size: 1.15rem; font-weight: 500; }
.card .verdict { margin: 0.15rem 0 0.4rem; font-size: 1rem; font-weight: 600; }
.card.good .verdict { color: #23804a; } .card.bad .verdict { color: #b73b4c; }
.dark .card.good .verdict { color: #6fcf97; } .dark .card.bad .verdict { color: #f0808e; }
.card details { font-size: 0.92rem; } .card summary { cursor: pointer; color: var(--body-text-color-subdued); }
.card details p { margin: 0.4rem 0 0; overflow-wrap: anywhere; }
.card .seen { margin: 0.5rem 0 0; font-size: 0.8rem; color: var(--body-text-color-subdued); }
.facts { display: flex; flex-wrap: wrap; gap: 0.3rem; list-style: none; margin: 0.45rem 0 0; padding: 0; }
.facts li { font-size: 0.84rem; border-radius: 6px; padding: 0.08rem 0.5rem; margin: 0;
  background: var(--background-fill-secondary); border: 1px solid var(--border-color-primary); }
.facts b { font-weight: 500; color: var(--body-text-color-subdued); margin-right: 0.3rem; }
.notice p { overflow-wrap: anywhere; }
.parts { width: 100%; border-collapse: collapse; font-size: 0.92rem; font-variant-numeric: tabular-nums;
  margin-top: 0.5rem; }
.parts, .parts tr, .parts tbody, .parts th, .parts td { border: 0 !important; background: none !important; }
.parts th, .parts td { padding: 0.28rem 0.6rem !important; text-align: left; }
.parts th { font-weight: 500; white-space: nowrap; width: 1%; }
.parts .value { text-align: right; width: 4rem; }
.parts .what { color: var(--body-text-color-subdued); font-size: 0.82rem; white-space: nowrap; width: 1%; }
.parts tr.total > * { border-bottom: 1px solid var(--border-color-primary) !important; font-weight: 650; }
.parts .track { background: var(--border-color-primary); border-radius: 4px; height: 0.85rem; min-width: 5rem; }
.parts .bar { background: var(--color-accent); border-radius: 4px; height: 100%; }
.parts .good .bar { background: #2e9e5b; } .parts .bad .bar { background: #d1495b; }
"""

# What each part of a score measures.
PARTS = {
    "form": "stands in its tags",
    "recall": "what the reference has",
    "precision": "nothing beyond it",
    "certainty": "as sure as it",
    "language": "of the question",
    "consistent": "no conflict",
}
# What vetoed an answer, in words.
VETOES = {
    "polarity": "present and absent mixed up",
    "side": "the wrong side",
    "sides": "the wrong sides",
    "number": "the wrong number",
    "finding": "another finding",
    "place": "the wrong place",
    "value": "another value",
    "modality": "the wrong modality",
    "plane": "the wrong plane",
    "contradiction": "the answer contradicts itself",
    "name": "another name",
}


def disclaimer_html() -> str:
    """Stands above everything, and stays there."""
    text = f"<strong>{escape(DISCLAIMER)}</strong>Every drawn picture is a {escape(LABEL)}."
    return f'<div class="disclaimer" role="note">{text}</div>'


def picture_html(picture: Image, view: View, study: Study | None = None) -> str:
    """The picture as the model sees it; a large one is shown smaller.

    Args:
        picture: RGB.
        view: where it comes from.
        study: what it was drawn from, where it is a phantom.
    """
    width, height = view.size
    if max(picture.size) > SIDE:
        picture = picture.copy()
        picture.thumbnail((SIDE, SIDE))
    buffer = BytesIO()
    picture.save(buffer, "PNG")
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    tags = ""
    if study is not None:
        kind = f"{study.organ} {MODALITIES[study.modality]}"
        about = f"{kind}, {width} × {height} pixels of {study.spacing_mm(width):.2g} mm"
        tags = _tag(LABEL) + (_tag("held out from training") if study.held else "")
    else:
        about = " · ".join(part for part in (view.name, f"{width:,} × {height:,} pixels", view.about) if part)
    alt = f"{LABEL}: {about}" if study is not None else about
    image = f'<img src="data:image/png;base64,{data}" alt="{escape(alt)}">'
    return f'<figure class="picture">{image}<figcaption>{tags}<div>{escape(about)}</div></figcaption></figure>'


def answer_html(answer: Answer, seen: str) -> str:
    """The answer, large; its reasoning folded away; and how the picture was shown."""
    said = answer.text or "(no answer)"
    long = " long" if len(said) > 60 else ""
    folded = ""
    if answer.reasoning:
        folded = f"<details><summary>Reasoning</summary><p>{escape(answer.reasoning)}</p></details>"
    elif not answer.text:
        folded = f"<details><summary>What the model said</summary><p>{escape(answer.completion)}</p></details>"
    return (
        f'<article class="card" role="status"><h4>{escape(answer.question)}</h4><p class="said{long}">'
        f'{escape(said)}</p>{folded}<p class="seen">{escape(seen)}</p></article>'
    )


def score_html(score: AnswerScore) -> str:
    """The verdict with its veto and reason, and the parts of the score as bars."""
    reason = sentence(score.reason)
    if score.correct:
        told = notice("good", "Counts as correct.", reason)
    elif score.veto:
        told = notice("bad", f"Vetoed: {VETOES.get(score.veto, score.veto)}.", reason)
    else:
        told = notice("caution", f"Counts as wrong (below {CORRECT:g}).", reason)
    kind = "total good" if score.correct else "total bad"
    rows = _bar("score", score.score, kind, "of 1")
    rows += "".join(_bar(name, value, "", PARTS.get(name, "")) for name, value in score.parts.items())
    return f'{told}<table class="parts"><caption class="sr-only">The score and its parts</caption>{rows}</table>'


def truth_html(truth: Truth, study: Study, answer: Answer | None) -> str:
    """What the phantom shows, the right answer to the question, and whether the model's is exactly that."""
    kind = {True: "good", False: "bad", None: "plain"}[truth.right]
    verdict = ""
    if truth.right is not None and answer is not None:
        # Not "right": that may be a side.
        word = "✓ Exactly correct" if truth.right else "✗ Wrong"
        verdict = f'<p class="verdict">{word}: “{escape(answer.text)}”</p>'
    if truth.reference:
        told = f"Correct answer: <strong>{escape(truth.reference)}</strong>"
    else:
        told = "Phantoms do not answer this question by themselves; the reference decides."
    facts = "".join(
        f"<li><b>{escape(name)}</b>{escape(value)}</li>"
        for finding in study.findings
        for name, value in _facts(finding)
    )
    facts = facts or "<li>nothing abnormal</li>"
    return (
        f'<article class="card {kind}" role="status"><h4>Exact truth of this phantom</h4>{verdict}'
        f'<p class="reference">{told}</p><ul class="facts">{facts}</ul></article>'
    )


def _facts(finding: Finding) -> list[tuple[str, str]]:
    facts = [("finding", finding.kind), ("side", finding.side), ("zone", finding.zone)]
    facts.append(("size", f"{finding.size_mm} mm" if finding.size_mm else ""))
    return [(name, value) for name, value in [*facts, ("count", str(finding.count))] if value]


def _bar(name: str, value: float, kind: str, what: str) -> str:
    track = f'<div class="track"><div class="bar" style="width:{min(1.0, max(0.0, value)):.1%}"></div></div>'
    return (
        f'<tr class="{kind}"><th scope="row">{escape(name)}</th><td class="value">{value:.2f}</td>'
        f'<td>{track}</td><td class="what">{escape(what)}</td></tr>'
    )


def _tag(text: str) -> str:
    return f'<span class="tag">{escape(text)}</span>'
