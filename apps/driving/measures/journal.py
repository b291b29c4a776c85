"""Keeps the episodes of an evaluation as they come, so that one that was killed goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from apps.driving.measures.episodes import LOST, Case, Episode
from common.errors import DataError, UsageError
from common.files import append_jsonl, cut_unfinished, read_json, read_jsonl, write_json

EPISODES, RULES = "episodes.jsonl", "rules.json"


class Journal:
    """The episodes of one driver in a folder: `episodes.jsonl`, one a line, and `rules.json`, what they hold under.

    Args:
        folder: made where it is not there.
        rules: plain values that decide what any episode comes to: driver, simulator, settings.

    Raises:
        UsageError: the folder has episodes under other rules.
        DataError: a file is damaged beyond its last line.
    """

    def __init__(self, folder: Path | str, rules: Mapping[str, Any]) -> None:
        self.folder = Path(folder)
        self.path = self.folder / EPISODES
        # As JSON gives it back: tuples are lists there.
        wanted = json.loads(json.dumps(rules))
        if (self.folder / RULES).exists():
            self._check(read_json(self.folder / RULES), wanted)
        else:
            if self.path.exists():
                raise UsageError(f"{self.path} holds episodes, but {RULES} beside it is gone; choose another --out")
            write_json(self.folder / RULES, wanted)
        self.done: dict[Case, Episode] = {}
        if self.path.exists():
            cut_unfinished(self.path)
            for number, row in read_jsonl(self.path):
                self._take(number, row)

    def missing(self, cases: Iterable[Case]) -> list[Case]:
        """Those of the cases that were not driven yet, or that the simulator broke off."""
        return [case for case in cases if case not in self.done or self.done[case].cause == LOST]

    def add(self, episode: Episode) -> None:
        """Keep an episode, in one write."""
        append_jsonl(self.path, [episode.to_dict()])
        self.done[episode.case] = episode

    def _take(self, number: int, row: dict[str, Any]) -> None:
        try:
            episode = Episode.from_dict(row)
        except DataError as error:
            raise DataError(str(error), path=self.path, line=number) from error
        self.done[episode.case] = episode

    def _check(self, found: Any, wanted: dict[str, Any]) -> None:
        changed = sorted(_differences(found, wanted))
        if changed:
            raise UsageError(
                f"{self.folder} holds episodes under other settings ({'; '.join(changed[:3])}); choose another --out, "
                "or delete that folder"
            )


def _differences(found: Any, wanted: Any, name: str = "") -> Iterable[str]:
    if isinstance(found, dict) and isinstance(wanted, dict):
        for key in found.keys() | wanted.keys():
            inner = f"{name}.{key}" if name else str(key)
            yield from _differences(found.get(key), wanted.get(key), inner)
    elif found != wanted:
        yield f"{name} was {found!r}, is {wanted!r}"
