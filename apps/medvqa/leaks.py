"""Finds what stands in two splits: studies, pictures, and pictures that were only saved anew."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from apps.medvqa.data import Example
from apps.medvqa.fingerprints import Fingerprint, alike, key_of
from common.pictures import describe

#: Kinds of leaks, the surest first.
KINDS = ("study", "bytes", "pixels", "near")
#: Cosine of two thumbnails from which on two pictures count as one. Measured on the 314 pictures of VQA-RAD: 0.9936
#: is the least for a picture saved as JPEG of quality 30 to 95 or made up to four times smaller, 0.9796 the greatest
#: for two of them (neighbouring slices). An 8 x 8 average hash will not do: 12 pairs of different pictures have equal
#: hashes there, and 212 differ in two bits or fewer.
NEAR = 0.99


@dataclass(frozen=True)
class Leak:
    """One thing that stands in several splits.

    Attributes:
        kind: `study` (the same study), `bytes` (the same file), `pixels` (the same pixels in another file) or `near`
            (nearly the same pixels).
        names: the study, or the pictures.
        examples: by split, the ids of the questions that belong to it.
        likeness: cosine of the thumbnails; 1 for all kinds but `near`.
    """

    kind: str
    names: tuple[str, ...]
    examples: Mapping[str, tuple[str, ...]]
    likeness: float = 1.0


def find_leaks(
    examples: Sequence[Example], prints: Mapping[Hashable, Fingerprint] | None = None, near: float = NEAR
) -> list[Leak]:
    """What stands in more than one split.

    Args:
        examples: of all splits; those without the name of a split are not looked at.
        prints: fingerprints of their pictures (`take_fingerprints`); studies only are compared where not given.
        near: least cosine of two thumbnails. Crops, turned or mirrored pictures are not found; neighbouring slices of
            one volume may be.

    Returns:
        Leaks by kind in the order of `KINDS`; every kind is counted for itself, so that a picture that is found by its
        study is found by its bytes too, but pictures of the same bytes are no pair of the same pixels.
    """
    owned = [example for example in examples if example.split]
    studies: dict[str, list[Example]] = defaultdict(list)
    for example in owned:
        for study in {example.study, *(_dicom_study(example, prints or {}))} - {""}:
            studies[study].append(example)
    leaks = [_leak("study", (study,), own) for study, own in studies.items()]
    if prints:
        pictures = _by_content(owned, prints)
        leaks += [_leak("bytes", one.names, one.examples) for one in pictures]
        leaks += _same_pixels(pictures)
        leaks += _nearly_same(pictures, near)
    found = [leak for leak in leaks if len(leak.examples) > 1]
    return sorted(found, key=lambda leak: KINDS.index(leak.kind))


def leak_rows(leaks: Sequence[Leak]) -> list[tuple[Any, ...]]:
    """Rows of a table: kind, splits, how many studies or pictures, how many questions by split, and an example."""
    groups: dict[tuple[str, tuple[str, ...]], list[Leak]] = defaultdict(list)
    for leak in leaks:
        groups[leak.kind, tuple(sorted(leak.examples, key=protection))].append(leak)
    rows = []
    for (kind, splits), own in groups.items():
        asked = {split: len({id for leak in own for id in leak.examples.get(split, ())}) for split in splits}
        counts = ", ".join(f"{split} {count:,}" for split, count in asked.items())
        first = " = ".join(own[0].names[:2]) + (f" ({own[0].likeness:.4f})" if kind == "near" else "")
        rows.append((kind, " + ".join(splits), len(own), counts, first))
    return rows


def drop_leaks(examples: Sequence[Example], leaks: Iterable[Leak]) -> tuple[list[Example], dict[str, Leak]]:
    """Leave out what would make a test easy: of each leak only the best protected split keeps its questions.

    Test sets are kept whole and training sets give way, so that figures stay comparable with other people's.

    Returns:
        The examples that are left, and for each id that was left out the first leak that was the reason.
    """
    dropped: dict[str, Leak] = {}
    for leak in leaks:
        kept = min(leak.examples, key=protection)
        for split, ids in leak.examples.items():
            if split != kept:
                for id in ids:
                    dropped.setdefault(id, leak)
    return [example for example in examples if example.id not in dropped], dropped


def protection(split: str) -> tuple[int, str]:
    """Sorts splits by how much they are to be kept as they are: test, validation, others by name, train."""
    return {"test": 0, "validation": 1, "train": 3}.get(split, 2), split


@dataclass(frozen=True, eq=False)
class _Picture:
    """A picture of certain bytes, wherever it stands."""

    print: Fingerprint
    names: tuple[str, ...]
    examples: tuple[Example, ...]


def _by_content(examples: Sequence[Example], prints: Mapping[Hashable, Fingerprint]) -> list[_Picture]:
    found: dict[str, tuple[Fingerprint, dict[str, None], dict[str, Example]]] = {}
    for example in examples:
        for source in example.pictures:
            own = prints.get(key_of(source))
            if own is not None:
                _, names, asked = found.setdefault(own.content, (own, {}, {}))
                names[describe(source)] = None
                asked[example.id] = example
    return [_Picture(own, tuple(names), tuple(asked.values())) for own, names, asked in found.values()]


def _same_pixels(pictures: Sequence[_Picture]) -> list[Leak]:
    groups: dict[str, list[_Picture]] = defaultdict(list)
    for one in pictures:
        groups[one.print.pixels].append(one)
    return [
        _leak("pixels", tuple(one.names[0] for one in own), [example for one in own for example in one.examples])
        for own in groups.values()
        if len(own) > 1
    ]


def _nearly_same(pictures: Sequence[_Picture], near: float) -> list[Leak]:
    by_split: dict[str, list[_Picture]] = defaultdict(list)
    for one in pictures:
        for split in {example.split for example in one.examples}:
            by_split[split].append(one)
    leaks: dict[frozenset[str], Leak] = {}
    for first, second in combinations(sorted(by_split, key=protection), 2):
        ours, theirs = by_split[first], by_split[second]
        pairs = alike([one.print for one in ours], [one.print for one in theirs], near)
        for row, column, likeness in pairs:
            one, other = ours[row], theirs[column]
            if one.print.pixels != other.print.pixels:
                pair = frozenset((one.print.content, other.print.content))
                both = (*one.examples, *other.examples)
                leaks.setdefault(pair, _leak("near", (one.names[0], other.names[0]), both, likeness))
    return list(leaks.values())


def _leak(kind: str, names: tuple[str, ...], examples: Iterable[Example], likeness: float = 1.0) -> Leak:
    splits: dict[str, dict[str, None]] = defaultdict(dict)
    for example in examples:
        splits[example.split][example.id] = None
    return Leak(kind, names, {split: tuple(ids) for split, ids in splits.items()}, likeness)


def _dicom_study(example: Example, prints: Mapping[Hashable, Fingerprint]) -> set[str]:
    found = (prints.get(key_of(source)) for source in example.pictures)
    return {f"DICOM study {own.study[:12]}" for own in found if own is not None and own.study}
