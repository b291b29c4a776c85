"""What the demo shows, as HTML in which every text that a user, a model or a corpus wrote is escaped."""

from __future__ import annotations

import base64
import math
from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import TYPE_CHECKING

from apps.captioning.measures.facts import Fact, Facts, compare, name_of
from apps.captioning.pocket.scene import Scene
from apps.captioning.workbench import Attention, Paid
from common.demo import escape

if TYPE_CHECKING:
    from PIL.Image import Image

    from apps.captioning.beam import NBest

SIDE = 512  # pixels of an uploaded picture as it is shown

CSS = """
.html-container { padding: 0 !important; }
.picture { margin: 0; }
.picture img { display: block; width: 100%; max-height: 22rem; object-fit: contain; border-radius: 10px;
  border: 1px solid var(--border-color-primary); background: var(--background-fill-secondary); }
.picture.drawn img { image-rendering: pixelated; aspect-ratio: 1; object-fit: cover; max-height: none; }
.picture figcaption { margin-top: 0.45rem; font-size: 0.86rem; color: var(--body-text-color-subdued); }
.tag { display: inline-block; font-size: 0.78rem; font-weight: 550; border-radius: 999px; padding: 0.05rem 0.55rem;
  background: #fdf0d5; color: #7a4d05; margin-right: 0.35rem; }
.dark .tag { background: #4a3510; color: #f6d99b; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(16rem, 1fr)); gap: 0.8rem; }
.card { border: 1px solid var(--border-color-primary); border-top: 4px solid var(--border-color-primary);
  border-radius: 10px; padding: 0.75rem 0.95rem 0.85rem; background: var(--block-background-fill); }
.card.good { border-top-color: #2e9e5b; } .card.bad { border-top-color: #d1495b; }
.card h4 { margin: 0; font-size: 0.82rem; font-weight: 550; color: var(--body-text-color-subdued); }
.card .said { font-size: 1.12rem; line-height: 1.4; margin: 0.35rem 0 0.5rem; font-weight: 500;
  overflow-wrap: anywhere; }
.cards .said { min-height: 2.8em; }
.card .verdict { margin: 0 0 0.4rem; font-size: 0.9rem; font-weight: 600; }
.card.good .verdict { color: #23804a; } .card.bad .verdict { color: #b73b4c; }
.dark .card.good .verdict { color: #6fcf97; } .dark .card.bad .verdict { color: #f0808e; }
.facts { display: flex; flex-wrap: wrap; gap: 0.3rem; list-style: none; margin: 0; padding: 0; }
.facts li { font-size: 0.8rem; border-radius: 6px; padding: 0.08rem 0.5rem; margin: 0; overflow-wrap: anywhere;
  background: #e4f4ea; color: #1d6b3e; }
.facts li.wrong { background: #fae3e6; color: #96293a; }
.dark .facts li { background: #163a26; color: #a5e0bd; } .dark .facts li.wrong { background: #4a1c24; color: #f5b5be; }
.card details { margin-top: 0.6rem; font-size: 0.84rem; color: var(--body-text-color-subdued); }
.card details ol { margin: 0.3rem 0 0; padding-left: 1.3rem; } .card details li { margin: 0.15rem 0; }
.card details .score { font-variant-numeric: tabular-nums; font-size: 0.78rem; }
.measures { width: 100%; border-collapse: collapse; font-size: 0.92rem; font-variant-numeric: tabular-nums; }
.measures, .measures tr, .measures tbody, .measures thead, .measures th, .measures td { border: 0 !important;
  background: none !important; }
.measures th, .measures td { padding: 0.35rem 0.6rem !important; text-align: left; }
.measures thead th { font-size: 0.82rem; font-weight: 550; color: var(--body-text-color-subdued); }
.measures tbody th { font-weight: 500; white-space: nowrap; width: 1%; }
.measures .half { width: 42%; }
.measures .value { text-align: right; width: 4rem; white-space: nowrap; }
.measures .best { font-weight: 700; }
.measures .sentence { width: 60%; overflow-wrap: anywhere; }
.measures .track { background: var(--border-color-primary); border-radius: 4px; height: 0.85rem; min-width: 5rem; }
.measures .bar { background: var(--color-accent); border-radius: 4px; height: 100%; }
.measures .bar.negative { background: #d1495b; } .measures .rest .bar { background: #a8a29e; }
.measures .rest { color: var(--body-text-color-subdued); }
"""


def picture_html(picture: Image, alt: str, held: bool = False, drawn: bool = True) -> str:
    """The picture; a drawn one is enlarged pixel by pixel, an uploaded one made smaller.

    Args:
        picture: RGB.
        alt: what is written under it.
        held: say that training shows no such colour and kind together.
        drawn: whether it was drawn from a scene.
    """
    if not drawn:
        picture = picture.copy()
        picture.thumbnail((SIDE, SIDE))
    buffer = BytesIO()
    picture.save(buffer, "PNG")
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    tag = '<span class="tag">colour and shape never seen together in training</span>' if held else ""
    text = escape(alt)
    kind = "picture drawn" if drawn else "picture"
    return (
        f'<figure class="{kind}"><img src="data:image/png;base64,{data}" alt="{text}">'
        f"<figcaption>{tag}{text}</figcaption></figure>"
    )


def cards_html(found: Mapping[str, NBest], titles: Mapping[str, str], scene: Scene | None) -> str:
    """Captions side by side, each with its verdict and, folded, the others that the beam found."""
    cards = []
    for name, best in found.items():
        scores = best.scores.tolist()
        others = "".join(
            f'<li>{escape(text)} <span class="score">{score:.2f}</span></li>'
            for text, score in zip(best.captions.texts[1:], scores[1:], strict=True)
        )
        folded = f"<details><summary>Other captions found, by log-probability</summary><ol start=2>{others}</ol>"
        more = f"{folded}</details>" if others else ""
        cards.append(card_html(titles.get(name, name), best.text, scene, f"log-probability {scores[0]:.2f}", more))
    return f'<div class="cards">{"".join(cards)}</div>'


def card_html(title: str, caption: str, scene: Scene | None, note: str = "", more: str = "") -> str:
    """One caption and, where the scene is known, what it is right and wrong about; `more` is this module's HTML."""
    kind, verdict = verdict_html(compare(caption, scene), scene) if scene is not None else ("", "")
    said = escape(caption) if caption.strip() else "(nothing)"
    heading = f'<h4 title="{escape(note)}">{escape(title)}</h4>'
    return f'<article class="card {kind}">{heading}<p class="said">{said}</p>{verdict}{more}</article>'


def verdict_html(facts: Facts, scene: Scene) -> tuple[str, str]:
    """`good` or `bad`, and the verdict: what is wrong, then what is right and does not go without saying."""
    if not facts.grammatical:
        return "bad", '<p class="verdict">Not a sentence of the grammar, so no fact counts as told.</p>'
    wrong = len(facts.wrong)
    title = "Exactly right" if facts.exact else f"{wrong} fact{'' if wrong == 1 else 's'} wrong"
    spoilt = {fact.of for fact in facts.wrong}
    whole = [number for number in range(len(scene.groups)) if number not in spoilt and not facts.leaves_out(number)]
    chips = "".join(_wrong_chip(fact) for fact in facts.wrong)
    chips += "".join(_right_chip(name_of(scene.groups[number])) for number in whole)
    chips += "".join(
        _right_chip(f"{fact.told} background" if fact.name == "background" else fact.told)
        for fact in facts.facts
        if fact.right and not fact.usual and fact.of not in whole
    )
    return "good" if facts.exact else "bad", f'<p class="verdict">{title}</p><ul class="facts">{chips}</ul>'


def rewards_html(rows: Sequence[tuple[str, Paid]]) -> str:
    """The two rewards of each caption as bars; the best of each is bold."""
    best_cos = max((paid.clip_cos for _, paid in rows if not math.isnan(paid.clip_cos)), default=math.nan)
    best_agg = max((paid.clip_agg for _, paid in rows if not math.isnan(paid.clip_agg)), default=math.nan)
    body = "".join(
        f'<tr><th scope="row">{escape(name)}</th>{_value(paid.clip_cos, best_cos)}'
        f"{_value(paid.clip_agg, best_agg)}</tr>"
        for name, paid in rows
    )
    head = '<th scope="col">Reward</th><th class="half" colspan=2 scope="col">CLIP-cos: caption and picture</th>'
    head += '<th class="half" colspan=2 scope="col">CLIP-agg: caption and target</th>'
    return f'<table class="measures"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def attention_html(attention: Attention) -> str:
    """The sentences that the picture attends to, each with its weight as a bar, and the rest of the corpus."""
    top = max([weight for _, weight, _ in attention.sentences] + [attention.rest, 1e-12])
    rows = "".join(
        f'<tr><td class="sentence">{escape(text)}</td><td class="value">{cosine:.3f}</td>'
        f'<td class="value">{_percent(weight)}</td><td>{_track(weight / top)}</td></tr>'
        for text, weight, cosine in attention.sentences
    )
    if attention.others:
        rest = f"all {attention.others:,} other sentences together"
        rows += (
            f'<tr class="rest"><td class="sentence">{rest}</td><td class="value"></td>'
            f'<td class="value">{_percent(attention.rest)}</td><td>{_track(attention.rest / top)}</td></tr>'
        )
    head = '<th scope="col">Sentence of the corpus</th><th class="value" scope="col">cosine</th>'
    head += '<th class="value" scope="col">weight</th><th></th>'
    return f'<table class="measures"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'


def _wrong_chip(fact: Fact) -> str:
    if not fact.told:
        text = f"leaves out: {fact.shown}"
    elif not fact.shown:
        text = f"not there: {fact.told}"
    else:
        text = f"{fact.name}: says {fact.told}, shown is {fact.shown}"
    return f'<li class="wrong">✗ {escape(text)}</li>'


def _right_chip(text: str) -> str:
    return f"<li>✓ {escape(text)}</li>"


def _value(value: float, best: float) -> str:
    known = not math.isnan(value)
    kind = "value best" if known and value == best else "value"
    number = f"{value:.1f}" if known else "–"
    return f'<td class="{kind}">{number}</td><td>{_track(abs(value) / 100 if known else 0, value < 0)}</td>'


def _track(share: float, negative: bool = False) -> str:
    sign = " negative" if negative else ""
    return f'<div class="track"><div class="bar{sign}" style="width:{min(1.0, share):.1%}"></div></div>'


def _percent(weight: float) -> str:
    return f"{weight:.1%}" if weight >= 0.001 or weight == 0 else "<0.1%".replace("<", "&lt;")
