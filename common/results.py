"""What a table of runs knows of an evaluation, whatever the application: figures, and paired tests with another one.

Each application has a room `results` with one function: `read(path, content, name)` yields the `Result`s of a file.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.errors import DataError
from common.stats import Interval, PairedTest


@dataclass(frozen=True)
class Figure:
    """One figure of an evaluation.

    Attributes:
        value: with its interval.
        scale: factor for people; 100 for per cent.
        digits: decimals for people.
        lower: less of it is better.
    """

    value: Interval
    scale: float = 1.0
    digits: int = 3
    lower: bool = False

    @property
    def text(self) -> str:
        """For people."""
        return self.value.text(self.scale, self.digits)


@dataclass(frozen=True)
class Result(ABC):
    """One evaluation: a subclass of each application says how two of its own are compared.

    Attributes:
        app: whose it is.
        name: of the run, as tables call it; several results of one file have a word behind it.
        path: of the file.
        rows: questions, pictures, episodes or scenes.
        figures: by their names for people, the one that counts first.
        source: what the application read from the file.
    """

    app: str
    name: str
    path: Path
    rows: int
    figures: Mapping[str, Figure]
    source: Any

    @abstractmethod
    def against(self, other: Any) -> Mapping[str, PairedTest]:
        """Paired tests on the rows that both have, by the names of the figures; the differences are this − `other`.

        Raises:
            DataError: they have no row in common, or were not measured alike; says what does not match.
        """

    @property
    def headline(self) -> str:
        """The name of the figure that counts."""
        return next(iter(self.figures), "")

    @property
    def standing(self) -> float:
        """Larger is better; −∞ where the headline is not known."""
        figure = self.figures.get(self.headline)
        if figure is None or math.isnan(figure.value.mean):
            return -math.inf
        return -figure.value.mean if figure.lower else figure.value.mean

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "app": self.app,
            "run": self.name,
            "file": str(self.path),
            "rows": self.rows,
            "headline": self.headline,
            "figures": {
                name: {**one.value.to_dict(), "better": "lower" if one.lower else "higher"}
                for name, one in self.figures.items()
            },
        }


def first_item(content: Mapping[str, Any]) -> Mapping[str, Any]:
    """The first of a file's `items`, by which an application knows its own; empty where there is none."""
    items = content.get("items")
    return items[0] if isinstance(items, list) and items and isinstance(items[0], Mapping) else {}


def compare(first: Result, second: Result) -> Mapping[str, PairedTest]:
    """Paired tests of the second result against the first.

    Raises:
        DataError: they are of two applications, or the application says what does not match.
    """
    if first.app != second.app:
        raise DataError(
            f"{first.path} is an evaluation of {first.app} and {second.path} one of {second.app}; only two of one "
            "application have rows in common"
        )
    return second.against(first)
