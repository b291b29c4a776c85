"""The pocket data set: captioned traffic scenes from drives on our maps, with their exact truth.

Three splits: `train` (the training maps), `seen` (the same maps, other episodes) and `held_out` (the village, which
nothing is trained on). A good third of the scenes are as they were driven, the others are staged
(`apps.driving.pocket.staging`). A scene belongs to the episode it was taken from; intervals resample episodes.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from apps.driving.observation.bev import PALETTE
from apps.driving.pocket.captions import write
from apps.driving.pocket.dangers import judge
from apps.driving.pocket.drives import Drives
from apps.driving.pocket.facts import FACTS, LABELS, NAMES, facts_of, label_of
from apps.driving.pocket.moments import SIZE, Drawn, Moment, without_others
from apps.driving.pocket.staging import staged
from apps.driving.roads.library import HELD_OUT, SHIPPED
from common.errors import UsageError
from common.ui import progress

#: Maps of each split, and the first number of its seeds.
SPLITS: dict[str, tuple[tuple[str, ...], int]] = {
    "train": (tuple(town for town in SHIPPED if town != HELD_OUT), 0),
    "seen": (tuple(town for town in SHIPPED if town != HELD_OUT), 1),
    "held_out": ((HELD_OUT,), 2),
}
#: What z is compared with; see `apps.driving.pocket.dangers`.
ASPECTS = ("traffic", "lane", "direction", "all")
#: Most scenes of an episode, so that none of them outweighs the others.
MOST = 150
#: Share of the driven scenes with nothing to say that are kept: three in four would be such.
KEPT = 0.4

Bytes = NDArray[np.uint8]


class Scene(NamedTuple):
    """One scene, as people look at it.

    Attributes:
        picture: `(H, W, 3)` uint8 RGB.
        label: one of `apps.driving.pocket.facts.LABELS`.
        facts: the value of every fact.
        danger: by aspect, in [0, 1].
        gap: free metres to whoever is in the way; inf for nobody.
        offset: to the right of the lane's centre, in metres.
        heading: against the route's direction, in rad.
        town: name of the map.
        captions: what may be said of it.
    """

    picture: Bytes
    label: str
    facts: dict[str, str]
    danger: dict[str, float]
    gap: float
    offset: float
    heading: float
    town: str
    captions: list[str]


@dataclass
class Scenes:
    """Scenes in columns; row i of all arrays is one scene.

    Attributes:
        indices: `(N, H, W)` uint8 into the view's palette.
        facts: `(N, F)` uint8, places in the values of `FACTS`.
        labels: `(N,)` uint8, places in `LABELS`.
        dangers: `(N, 4)` float32, by `ASPECTS`.
        gaps: `(N,)` float32, in metres, inf where nobody is in the way.
        offsets: `(N,)` float32, in metres.
        headings: `(N,)` float32, in rad.
        episodes: `(N,)` int32; no two episodes have the same number.
        towns: `(N,)` uint8, places in `SHIPPED`.
        placed: `(N,)` bool: something in it was staged.
        empty: `(N, H, W)` uint8: the same scenes without anybody else; no rows where that was not asked for.
    """

    indices: Bytes
    facts: Bytes
    labels: Bytes
    dangers: NDArray[np.float32]
    gaps: NDArray[np.float32]
    offsets: NDArray[np.float32]
    headings: NDArray[np.float32]
    episodes: NDArray[np.int32]
    towns: Bytes
    placed: NDArray[np.bool_]
    empty: Bytes

    def __len__(self) -> int:
        """Scenes, not columns."""
        return len(self.indices)

    def pictures(self, rows: NDArray[np.intp] | list[int] | slice = slice(None)) -> Bytes:
        """`(B, H, W, 3)` uint8 RGB."""
        return np.asarray(PALETTE[self.indices[rows]])

    def emptied(self, rows: NDArray[np.intp] | list[int] | slice = slice(None)) -> Bytes:
        """`(B, H, W, 3)` uint8 RGB of the same scenes without anybody else."""
        return np.asarray(PALETTE[self.empty[rows]])

    def danger(self, aspect: str) -> NDArray[np.float32]:
        """`(N,)` the danger of an aspect."""
        return self.dangers[:, ASPECTS.index(aspect)]

    def labelled(self, label: str) -> NDArray[np.bool_]:
        """`(N,)` whether a scene has this label."""
        return np.asarray(self.labels == LABELS.index(label))

    def facts_at(self, row: int) -> dict[str, str]:
        """The facts of one scene in words."""
        return {name: FACTS[name][value] for name, value in zip(NAMES, self.facts[row].tolist(), strict=True)}

    def scene(self, row: int, captions: int = 4) -> Scene:
        """One scene with some captions."""
        facts = self.facts_at(row)
        rng = random.Random(int(row))
        return Scene(
            self.pictures([row])[0],
            LABELS[int(self.labels[row])],
            facts,
            dict(zip(ASPECTS, map(float, self.dangers[row]), strict=True)),
            float(self.gaps[row]),
            float(self.offsets[row]),
            float(self.headings[row]),
            SHIPPED[int(self.towns[row])],
            [write(facts, rng).text for _ in range(captions)],
        )


def load_scenes(split: str, number: int, seed: int = 0, blanked: bool = False, quiet: bool = False) -> Scenes:
    """Scenes of a split, made now; the same arguments give the same scenes.

    Args:
        split: one of `SPLITS`.
        number: of scenes.
        seed: of the episodes, below a million; splits never share an episode.
        blanked: draw every scene a second time without the others.
        quiet: no progress bar.

    Raises:
        UsageError: there is no such split.
    """
    if split not in SPLITS:
        raise UsageError(f"there is no split {split!r} of the pocket scenes; choose from {', '.join(SPLITS)}")
    towns, first = SPLITS[split]
    drives = {town: Drives(town) for town in towns}
    rows: list[_Row] = []
    episode = 0
    with progress(f"driving for scenes ({split})", number, quiet) as bar:
        while len(rows) < number:
            town = towns[episode % len(towns)]
            rng = np.random.default_rng((first, seed, episode))
            rows += _episode(drives[town], town, episode, rng, blanked)
            episode += 1
            bar(min(len(rows), number))
    return _columns(rows[:number])


class _Row(NamedTuple):
    indices: Bytes
    facts: list[int]
    label: int
    dangers: tuple[float, ...]
    gap: float
    offset: float
    heading: float
    episode: int
    town: int
    placed: bool
    empty: Bytes | None


def _episode(drives: Drives, town: str, number: int, rng: np.random.Generator, blanked: bool) -> list[_Row]:
    drawn, moments = drives.episode(rng)
    rows: list[_Row] = []
    for moment in moments:
        for one in (moment, staged(moment, drawn, rng)):
            row = _row(one, drawn, number, SHIPPED.index(town), blanked)
            if one.placed or LABELS[row.label] != "clear" or rng.random() < KEPT:
                rows.append(row)
        if len(rows) >= MOST:
            break
    return rows


def _row(moment: Moment, drawn: Drawn, episode: int, town: int, blanked: bool) -> _Row:
    danger = judge(moment, drawn.way)
    facts = facts_of(moment, danger, drawn)
    return _Row(
        _indices(drawn.draw(moment)),
        [FACTS[name].index(facts[name]) for name in NAMES],
        LABELS.index(label_of(facts, moment.ego.speed, danger)),
        (danger.traffic, danger.lane, danger.direction, danger.all),
        danger.ahead.gap,
        moment.place.offset,
        moment.place.heading,
        episode,
        town,
        moment.placed,
        _indices(drawn.draw(without_others(moment))) if blanked else None,
    )


def _columns(rows: list[_Row]) -> Scenes:
    columns = dict(zip(_Row._fields, zip(*rows, strict=True), strict=True))
    empty = [one for one in columns["empty"] if one is not None]
    return Scenes(
        np.stack(columns["indices"]),
        np.array(columns["facts"], np.uint8),
        np.array(columns["label"], np.uint8),
        np.array(columns["dangers"], np.float32),
        np.array(columns["gap"], np.float32),
        np.array(columns["offset"], np.float32),
        np.array(columns["heading"], np.float32),
        np.array(columns["episode"], np.int32),
        np.array(columns["town"], np.uint8),
        np.array(columns["placed"], bool),
        np.stack(empty) if empty else np.zeros((0, SIZE, SIZE), np.uint8),
    )


def _indices(picture: Bytes) -> Bytes:
    """`(H, W)` places in the palette of a `(3, H, W)` picture."""
    packed = picture[0].astype(np.uint32) << 16 | picture[1].astype(np.uint32) << 8 | picture[2]
    found = np.searchsorted(_PACKED[_ORDER], packed)
    return np.asarray(_ORDER[found], np.uint8)


_PACKED = PALETTE.astype(np.uint32) @ np.array((1 << 16, 1 << 8, 1), np.uint32)
_ORDER = np.argsort(_PACKED)


def mirrored(facts: Bytes) -> Bytes:
    """`(N, F)` the facts of the pictures seen in a mirror: left is right."""
    swapped: Bytes = facts.copy()
    for name, pairs in _MIRRORED.items():
        swapped[:, NAMES.index(name)] = np.array(pairs, np.uint8)[facts[:, NAMES.index(name)]]
    return swapped


def _mirror(values: tuple[str, ...]) -> list[int]:
    def other(value: str) -> str:
        if "left" in value:
            return value.replace("left", "right")
        return value.replace("right", "left")

    return [values.index(other(value)) for value in values]


_MIRRORED = {name: _mirror(values) for name, values in FACTS.items() if any("left" in value for value in values)}
