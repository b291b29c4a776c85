"""Says what a scene shows, in many wordings of two styles, and reads such a sentence back into facts.

One table of words and patterns serves both directions, so what can be written can be read, and a sentence is
grammatical exactly where one of the patterns makes it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from apps.captioning.pocket.scene import Group, Scene

OPPOSITE = {"left": "right", "right": "left", "above": "below", "below": "above"}


@dataclass(frozen=True)
class Style:
    """A way of wording scenes.

    `{group}`, `{first}` and `{second}` are noun phrases, `{is}`, `{sits}` and `{it}` agree with the first of them,
    `{on}` is the background with a blank before it (or nothing), `{On}` stands at the head of a sentence. A pattern
    with `{On}` is only used where there is a background to tell.
    """

    counts: dict[int, tuple[str, ...]]
    sizes: dict[str, tuple[str, ...]]
    textures: dict[str, tuple[str, ...]]
    trimmings: dict[str, tuple[str, ...]]
    colours: dict[str, tuple[str, ...]]
    kinds: dict[str, tuple[tuple[str, str], ...]]
    relations: dict[str, tuple[str, ...]]
    sides: dict[str, tuple[str, ...]]
    backgrounds: tuple[str, ...]
    singles: tuple[str, ...]
    pairs: tuple[str, ...]


CAPTIONS = Style(
    counts={1: ("a", "a", "a", "one"), 2: ("two", "two", "a pair of"), 3: ("three",)},
    sizes={"usual": ("",), "small": ("small", "tiny", "little")},
    textures={"plain": ("",), "striped": ("striped",), "dotted": ("dotted", "spotted")},
    trimmings={"striped": ("with stripes",), "dotted": ("with dots",)},
    colours={
        "red": ("red",),
        "orange": ("orange",),
        "yellow": ("yellow",),
        "green": ("green",),
        "blue": ("blue",),
        "purple": ("purple",),
        "pink": ("pink",),
        "brown": ("brown",),
    },
    kinds={
        "circle": (("circle", "circles"), ("disc", "discs")),
        "square": (("square", "squares"),),
        "triangle": (("triangle", "triangles"),),
        "star": (("star", "stars"),),
        "heart": (("heart", "hearts"),),
        "cross": (("cross", "crosses"), ("plus sign", "plus signs")),
    },
    relations={
        "left": ("to the left of", "left of", "on the left of"),
        "right": ("to the right of", "right of", "on the right of"),
        "above": ("above", "over"),
        "below": ("below", "under", "beneath"),
    },
    sides={
        "left": ("to {its} left", "on {its} left"),
        "right": ("to {its} right", "on {its} right"),
        "above": ("above {it}", "over {it}"),
        "below": ("below {it}", "under {it}"),
    },
    backgrounds=("on a {} background", "against a {} background", "on {}"),
    singles=(
        "{group}{on}.",
        "{group}{on}.",
        "there {is} {group}{on}.",
        "a picture of {group}{on}.",
        "a drawing with {group}{on}.",
        "{group} {is} shown{on}.",
        "{On}, there {is} {group}.",
    ),
    pairs=(
        "{first} {relation} {second}{on}.",
        "{first} {relation} {second}{on}.",
        "there {is} {first} {relation} {second}{on}.",
        "a picture of {first} {relation} {second}{on}.",
        "{first} {is} {relation} {second}{on}.",
        "{first} {sits} {relation} {second}{on}.",
        "{first} with {second} {side}{on}.",
        "{On}, {first} {is} {relation} {second}.",
    ),
)

STORIES = Style(
    counts={1: ("a single", "a lone"), 2: ("a couple of", "twin"), 3: ("a trio of", "three")},
    sizes={"usual": ("",), "small": ("minute", "wee")},
    textures={"plain": ("",), "striped": ("stripy",), "dotted": ("speckled",)},
    trimmings={"striped": ("covered in stripes",), "dotted": ("covered in dots",)},
    colours={
        "red": ("scarlet", "red"),
        "orange": ("orange",),
        "yellow": ("golden", "yellow"),
        "green": ("emerald", "green"),
        "blue": ("azure", "blue"),
        "purple": ("violet", "purple"),
        "pink": ("rosy", "pink"),
        "brown": ("chestnut", "brown"),
    },
    kinds={
        "circle": (("disc", "discs"),),
        "square": (("box", "boxes"),),
        "triangle": (("triangle", "triangles"),),
        "star": (("star", "stars"),),
        "heart": (("heart", "hearts"),),
        "cross": (("plus sign", "plus signs"),),
    },
    relations={
        "left": ("on the left-hand side of",),
        "right": ("on the right-hand side of",),
        "above": ("high above", "hovering over"),
        "below": ("underneath", "resting beneath"),
    },
    sides={
        "left": ("on {its} left-hand side",),
        "right": ("on {its} right-hand side",),
        "above": ("high above {it}",),
        "below": ("underneath {it}",),
    },
    backgrounds=("in front of a {} wall", "before a {} sky"),
    singles=(
        "we saw {group}{on}.",
        "somebody painted {group}{on}.",
        "I remember {group}{on}.",
        "{On}, {group} appeared.",
    ),
    pairs=(
        "we saw {first} {relation} {second}{on}.",
        "somebody painted {first} {relation} {second}{on}.",
        "I remember {first}, and {second} {side}{on}.",
        "{On}, {first} appeared {relation} {second}.",
    ),
)

STYLES = {"captions": CAPTIONS, "stories": STORIES}


def write(scene: Scene, rng: random.Random, style: str = "captions", backwards: float = 0.5) -> str:
    """A sentence that tells all facts of a scene; what goes without saying is left out.

    Two scenes written with equal `rng` states are worded as alike as their facts allow.

    Args:
        scene: the facts.
        rng: of the wording.
        style: of `STYLES`.
        backwards: how often a relation is told from its right or lower end.
    """
    words = STYLES[style]
    # Every choice is drawn whether it is needed or not, so that a changed fact does not shift the choices after it.
    draws = [rng.random() for _ in range(24)]
    told_backwards, phrase, where, pattern = draws[0] < backwards, draws[1], draws[2], draws[3]
    background = "" if scene.background == "white" else _pick(words.backgrounds, where).format(scene.background)
    patterns = words.singles if len(scene.groups) == 1 else words.pairs
    if not background:
        patterns = tuple(entry for entry in patterns if "{On}" not in entry)
    groups, relation = list(scene.groups), scene.relation
    nouns = [_noun_phrase(group, words, draws[4 + 8 * number :]) for number, group in enumerate(groups)]
    if told_backwards and relation:
        groups, nouns, relation = groups[::-1], nouns[::-1], OPPOSITE[relation]
    fields = _agreement(groups[0]) | {"group": nouns[0], "first": nouns[0], "second": nouns[-1]}
    if relation:
        side = _pick(words.sides[OPPOSITE[relation]], phrase)
        fields |= {"relation": _pick(words.relations[relation], phrase), "side": side.format(**fields)}
    text: str = _pick(patterns, pattern).format(**fields, on=f" {background}" if background else "", On=background)
    return text[0].upper() + text[1:]


def read(sentence: str) -> Scene | None:
    """The facts that a sentence tells; None where it is no sentence of the grammar.

    Case does not matter, nor does a missing final full stop; everything else does, agreement included.
    """
    text = " ".join(sentence.lower().split())
    text = text if text.endswith(".") else f"{text}."
    return next((scene for style in STYLES for scene in _readings(text, style)), None)


def says(sentence: str, scene: Scene) -> bool:
    """Whether a sentence tells exactly the facts of a scene, from either end of its relation."""
    facts = read(sentence)
    return facts is not None and facts == scene.facts


def _noun_phrase(group: Group, words: Style, draws: list[float]) -> str:
    count, size, texture, trimmed, colour, kind = draws[:6]
    plain = group.texture == "plain"
    trimming = _pick(words.trimmings[group.texture], texture) if not plain and trimmed < 0.35 else ""
    adjectives = [
        _pick(words.sizes[group.size], size),
        "" if trimming else _pick(words.textures[group.texture], texture),
        _pick(words.colours[group.colour], colour),
        _pick(words.kinds[group.kind], kind)[group.count > 1],
        trimming,
    ]
    rest = " ".join(word for word in adjectives if word)
    number = _pick(words.counts[group.count], count)
    return f"{_article(number, rest)} {rest}"


def _article(number: str, rest: str) -> str:
    return "an" if number == "a" and rest[0] in "aeiou" else number


def _agreement(group: Group) -> dict[str, str]:
    if group.count > 1:
        return {"is": "are", "sits": "sit", "it": "them", "its": "their"}
    return {"is": "is", "sits": "sits", "it": "it", "its": "its"}


def _pick(choices: tuple[Any, ...], draw: float) -> Any:
    return choices[int(draw * len(choices))]


# --- reading -------------------------------------------------------------------------------------------------------


def _readings(text: str, style: str) -> list[Scene]:
    found = []
    for pattern, inverted in _patterns(style):
        match = pattern.fullmatch(text)
        scene = _scene(match.groupdict(), STYLES[style], inverted) if match else None
        if scene is not None:
            found.append(scene)
    return found


def _scene(parts: dict[str, str | None], words: Style, side: bool) -> Scene | None:
    """The facts of a matched sentence; None where its words do not agree."""
    first = _group(parts["first"] or "", words)
    second = _group(parts["second"] or "", words) if parts.get("second") else None
    if first is None or (second is None and parts.get("second")):
        return None
    agreement = _agreement(first)
    if any(parts.get(name) not in (None, agreement[name]) for name in ("is", "sits")):
        return None
    background = _background(parts, words)
    if background is None:
        return None
    if second is None:
        return Scene((first,), "", background)
    told = parts["relation"] or ""
    relation = _table(words, "sides" if side else "relations", first.count > 1).get(told)
    if relation is None or (first.kind, first.colour) == (second.kind, second.colour):
        return None
    if side:
        relation = OPPOSITE[relation]
    if relation in ("right", "below"):
        first, second, relation = second, first, OPPOSITE[relation]
    return Scene((first, second), relation, background)


def _group(phrase: str, words: Style) -> Group | None:
    match = _noun_pattern(_name(words)).fullmatch(phrase)
    if match is None or (match["texture"] and match["trimming"]):
        return None
    tables = _nouns(_name(words))
    count, (kind, plural) = tables["count"][match["count"]], tables["kind"][match["kind"]]
    rest = phrase[len(match["count"]) + 1 :]
    if plural != (count > 1) or (match["count"] in ("a", "an") and match["count"] != _article("a", rest)):
        return None
    return Group(
        kind,
        tables["colour"][match["colour"]],
        tables["size"][match["size"] or ""],
        tables["texture"][match["texture"] or match["trimming"] or ""],
        count,
    )


def _background(parts: dict[str, str | None], words: Style) -> str | None:
    told = (parts.get("on") or parts.get("head") or "").strip()
    return _backgrounds(_name(words)).get(told)


def _name(words: Style) -> str:
    return "captions" if words is CAPTIONS else "stories"


@lru_cache
def _backgrounds(style: str) -> dict[str, str]:
    from apps.captioning.pocket.scene import BACKGROUNDS

    told = {
        phrase.format(name): name for phrase in STYLES[style].backgrounds for name in BACKGROUNDS if name != "white"
    }
    return {"": "white", **told}


@lru_cache
def _nouns(style: str) -> dict[str, dict[str, Any]]:
    words = STYLES[style]
    count = {word: number for number, entries in words.counts.items() for word in entries}
    return {
        "count": {**count, **({"an": 1} if "a" in count else {})},
        "size": {word: size for size, entries in words.sizes.items() for word in entries},
        "texture": {
            word: texture
            for table in (words.textures, words.trimmings)
            for texture, entries in table.items()
            for word in entries
        },
        "colour": {word: colour for colour, entries in words.colours.items() for word in entries},
        "kind": {
            word: (kind, plural)
            for kind, entries in words.kinds.items()
            for entry in entries
            for plural, word in enumerate(entry)
        },
    }


def _any(words: Iterable[str]) -> str:
    return "|".join(sorted((re.escape(word) for word in words if word), key=len, reverse=True))


@lru_cache
def _noun_pattern(style: str) -> re.Pattern[str]:
    words, tables = STYLES[style], _nouns(style)
    textures = _any({word for entries in words.textures.values() for word in entries})
    trimmings = _any({word for entries in words.trimmings.values() for word in entries})
    return re.compile(
        rf"(?P<count>{_any(tables['count'])})(?: (?P<size>{_any(tables['size'])}))?(?: (?P<texture>{textures}))?"
        rf" (?P<colour>{_any(tables['colour'])}) (?P<kind>{_any(tables['kind'])})(?: (?P<trimming>{trimmings}))?"
    )


def _table(words: Style, field: str, plural: bool) -> dict[str, str]:
    """From wording to relation; of sides, only the wordings that agree with the number of what they refer to."""
    pronouns = {"it": "them", "its": "their"} if plural else {"it": "it", "its": "its"}
    return {
        phrase.format(**pronouns): relation
        for relation, phrases in getattr(words, field).items()
        for phrase in phrases
    }


def _marked(pieces: list[str]) -> list[tuple[int, str]]:
    """The pieces of a split pattern, each with 1 where it is a field's name."""
    return [(number % 2, piece) for number, piece in enumerate(pieces)]


@lru_cache
def _patterns(style: str) -> list[tuple[re.Pattern[str], bool]]:
    """Every sentence pattern as a regular expression, and whether its relation is told of the second group."""
    words = STYLES[style]
    relations = _any(_table(words, "relations", False))
    sides = _any({**_table(words, "sides", False), **_table(words, "sides", True)})
    backgrounds = _any(_backgrounds(style))
    noun = re.sub(r"\(\?P<\w+>", "(?:", _noun_pattern(style).pattern)
    fields = {
        "group": f"(?P<first>{noun})",
        "first": f"(?P<first>{noun})",
        "second": f"(?P<second>{noun})",
        "relation": f"(?P<relation>{relations})",
        "side": f"(?P<relation>{sides})",
        "is": "(?P<is>is|are)",
        "sits": "(?P<sits>sits|sit)",
        "on": f"(?P<on> (?:{backgrounds}))?",
        "On": f"(?P<head>{backgrounds})",
    }
    result = []
    for sentence in dict.fromkeys((*words.singles, *words.pairs)):
        pieces = re.split(r"\{(\w+)\}", sentence)
        source = "".join(fields[piece] if odd else re.escape(piece.lower()) for odd, piece in _marked(pieces))
        result.append((re.compile(source), "{side}" in sentence))
    return result
