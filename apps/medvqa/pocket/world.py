"""The pocket data sets: questions about phantom studies, with splits by held-out combinations of finding and place."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from apps.medvqa.data import Example
from apps.medvqa.pocket import wording
from apps.medvqa.pocket.catalogue import LABEL, ORGANS, Kind
from apps.medvqa.pocket.draft import Draft
from apps.medvqa.pocket.drawing.render import draw
from apps.medvqa.pocket.phrasings import PHRASINGS
from apps.medvqa.pocket.questions import MAKERS
from apps.medvqa.pocket.sampling import Sampler
from apps.medvqa.pocket.study import SIZE, Study, from_json, to_json
from common.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Split: how many questions by default, and whether half of them are about held-out combinations.
SPLITS: dict[str, tuple[int, bool]] = {
    "demonstrations": (12_000, False),
    "train": (4_000, False),
    "validation": (600, True),
    "heldout": (1_000, True),
}
#: As `apps.medvqa.data.Example.organ` has it.
_REGIONS = {"chest": "chest", "head": "head", "kidney": "abdomen", "gallbladder": "abdomen", "leg": "bone"}


def load_pocket(
    split: str = "train", limit: int | None = None, seed: int = 0, *, size: int = SIZE, pictures: bool = True
) -> list[Example]:
    """The questions of a split, one to a picture; a smaller limit takes the first ones of a larger.

    Where a question is a choice, the choices stand in its text.

    Args:
        split: `demonstrations` (for supervised training), `train` (for reinforcement), neither of which ever shows or
            names a held-out combination; `validation` and `heldout`, every second question of which is about one
            (`tags["combination"]` is "held-out", else "seen").
        limit: questions; None or 0 takes the split's own number.
        seed: which questions; every seed gives others.
        size: pixels of a side.
        pictures: False leaves them out; `draw(study_of(example))` draws one later.

    Raises:
        UsageError: there is no such split.
    """
    return list(examples(split, limit, seed, size=size, pictures=pictures))


def examples(
    split: str = "train", limit: int | None = None, seed: int = 0, *, size: int = SIZE, pictures: bool = True
) -> Iterator[Example]:
    """Like `load_pocket`, one by one: 60,000 pictures would fill most of a gigabyte."""
    if split not in SPLITS:
        raise UsageError(f"the pocket world has no split {split!r}; it has {', '.join(SPLITS)}")
    default, halved = SPLITS[split]
    for number in range(limit or default):
        example = _example(split, number, seed, halved and number % 2 == 0)
        yield replace(example, pictures=(draw(study_of(example), size),)) if pictures else example


def study_of(example: Example) -> Study:
    """The truth behind a pocket example."""
    return from_json(example.tags["phantom"])


def rephrase(example: Example) -> Example:
    """The same question of the same picture in words that no split uses; the same answer.

    The wording is the same every time.
    """
    held = PHRASINGS[example.tags["asks"]].held
    slots = {name.removeprefix("slot_"): text for name, text in example.tags.items() if name.startswith("slot_")}
    rng = random.Random(f"rephrase/{example.id}")
    text = rng.choice(held).format_map(slots)
    return replace(example, id=f"{example.id}-rephrased", question=text, tags={**example.tags, "phrasing": "held-out"})


def _example(split: str, number: int, seed: int, held: bool) -> Example:
    rng = random.Random(f"{split}/{seed}/{number}")
    # The last two bits are the split's: no two splits share a picture, whatever the seeds.
    picture = rng.getrandbits(48) * len(SPLITS) + list(SPLITS).index(split)
    asks = [name for name, one in PHRASINGS.items() if one.about or not held]
    ask = rng.choices(asks, [PHRASINGS[name].share for name in asks])[0]
    draft = MAKERS[ask](Sampler(rng, held, picture))
    phrasing, study = PHRASINGS[ask], draft.study
    slots = words_of(draft.study, draft.kind, draft.slots)
    return Example(
        id=f"pocket-{split}-{seed}-{number:05d}",
        question=rng.choice(phrasing.known).format_map(slots),
        answer=draft.answer,
        kind=phrasing.kind,
        question_type=phrasing.question_type,
        modality=study.modality,
        organ=_REGIONS[study.organ],
        split=split,
        study=f"phantom-{study.seed:x}",
        reasoning=draft.reasoning,
        tags=_tags(draft, ask, held, slots),
    )


def _tags(draft: Draft, ask: str, held: bool, slots: Mapping[str, str]) -> dict[str, str]:
    study, finding = draft.study, draft.finding
    return {
        "label": LABEL,
        "combination": "held-out" if held else "seen",
        "asks": ask,
        "subject": draft.kind.name if draft.kind else "",
        "finding": finding.kind if finding else "",
        "side": finding.side if finding else "",
        "zone": finding.zone if finding else "",
        "size_mm": str(finding.size_mm) if finding and finding.size_mm else "",
        "count": str(finding.count) if finding else "0",
        "organ": study.organ,
        "spacing_mm": f"{study.spacing_mm():.4f}",
        "phantom": to_json(study),
        "phrasing": "known",
        **{f"slot_{name}": text for name, text in slots.items()},
    }


def words_of(study: Study, kind: Kind | None, slots: Mapping[str, str]) -> dict[str, str]:
    """What stands in a wording's brackets; see `PHRASINGS`."""
    words = dict(slots)
    if "x" in words:
        words["X"] = words["x"][0].upper() + words["x"][1:]
    if kind is not None:
        finding = study.find(kind.name)
        many = finding is not None and finding.count > 1
        name = kind.name + ("s" if many else "")
        words |= {
            "n": kind.name,
            "a": wording.named(kind),
            "the": name if kind.mass_noun else f"the {name}",
            "is": "are" if many else "is",
            "Is": "Are" if many else "Is",
            "ns": f"{kind.name}s",
            "part": ORGANS[kind.organ].part,
        }
    return words
