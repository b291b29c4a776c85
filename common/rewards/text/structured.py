"""Calls of tools, and anything else of names, keys and values, matched with the right ones (ToolRL)."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import torch

from common.errors import RewardError
from common.rewards.base import Reward, RewardOutput


class Call(NamedTuple):
    """A name with its keys and values."""

    name: str
    values: Mapping[str, Any]


class MatchScore(NamedTuple):
    """Shares in [0, 1].

    Attributes:
        total: S / S_max.
        names: Jaccard index of the names.
        calls: what the calls earned of what they could; 1 where there is none to make and none was made.
    """

    total: float
    names: float
    calls: float


def jaccard(left: Iterable[Hashable], right: Iterable[Hashable]) -> float:
    r""":math:`|a \cap b| / |a \cup b|` of multisets; 1 where both are empty."""
    # Of a mapping the keys: a Counter would take its values for counts.
    first, second = Counter(iter(left)), Counter(iter(right))
    union = (first | second).total()
    return (first & second).total() / union if union else 1.0


def structured_match(predicted: Sequence[Call], reference: Sequence[Call]) -> MatchScore:
    r"""ToolRL's match of calls, greedy and one to one.

    .. math:: S = J(names) + \sum_{g} \max_{unused\ p,\ p.name = g.name}
        \Bigl[J(keys_g, keys_p) + \sum_k 1[v_g(k) = v_p(k)]\Bigr],\quad S_{max} = 1 + \sum_g (1 + |keys_g|)

    J is the Jaccard index of multisets, :math:`|a \cap b| / (|a| + |b| - |a \cap b|)`. A right call that nobody made
    adds 0; a call too many costs by J(names). Right calls take their matches in their own order.
    """
    names = jaccard((one.name for one in predicted), (one.name for one in reference))
    unused = list(predicted)
    earned = 0.0
    for right in reference:
        scores = [(_call_score(one, right), -at) for at, one in enumerate(unused) if one.name == right.name]
        if scores:
            best, at = max(scores)
            earned += best
            unused.pop(-at)
    most = sum(1 + len(one.values) for one in reference)
    return MatchScore((names + earned) / (1 + most), names, earned / most if most else float(not predicted))


def _call_score(said: Call, right: Call) -> float:
    same = sum(key in said.values and equal(said.values[key], value) for key, value in right.values.items())
    return jaccard(said.values, right.values) + same


def equal(left: Any, right: Any) -> bool:
    """Whether two JSON values are the same; 1 and 1.0 are, 1 and true are not."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, Mapping) and isinstance(right, Mapping):
        return left.keys() == right.keys() and all(equal(left[key], right[key]) for key in left)
    if isinstance(left, (list, tuple)) and isinstance(right, (list, tuple)):
        return len(left) == len(right) and all(map(equal, left, right))
    return bool(left == right)


def read_calls(entry: Any, tag: str = "", values: str = "parameters") -> list[Call] | None:
    """Calls out of a list of objects, or a text: one JSON list, one object, or an object a line.

    Args:
        entry: list, object or text.
        tag: the text inside each `<tag>` pair is read, and nothing else; "" reads all of it.
        values: the object's key that holds keys and values; its name stands under "name".

    Returns:
        None where it cannot be read. A text without any JSON in its tags, or without the tags, holds no call.
    """
    if isinstance(entry, str):
        texts = re.findall(rf"<{re.escape(tag)}>(.*?)</{re.escape(tag)}>", entry, re.DOTALL) if tag else [entry]
        try:
            entry = [one for text in texts for one in _objects(text.strip())]
        except (ValueError, RecursionError):
            return None
    elif isinstance(entry, Mapping):
        entry = [entry]
    if not isinstance(entry, (list, tuple)):
        return None
    calls = [_call(one, values) for one in entry]
    return None if None in calls else [one for one in calls if one is not None]


def _objects(text: str) -> list[Any]:
    if not text:
        return []
    try:
        found = json.loads(text)
    except ValueError:
        found = [json.loads(line) for line in text.splitlines() if line.strip()]
    return found if isinstance(found, list) else [found]


def _call(entry: Any, values: str) -> Call | None:
    if not isinstance(entry, Mapping) or not isinstance(entry.get("name"), str):
        return None
    given = entry.get(values, {})
    return Call(entry["name"], given) if isinstance(given, Mapping) else None


class StructuredMatch(Reward):
    r"""ToolRL's decomposed match of calls: names, keys and values, :math:`S / S_{max}`; see `structured_match`.

    Range [0, 1], higher is better. ToolRL (arXiv 2504.13958, its code), whose range is [−3, 3]: `affine` with scale 6
    and shift −3; a schedule gives its two phases. Also for the parts of a query. Parts: `names` and `calls`.

    A completion whose calls cannot be read scores 0 with a reason (the policy's fault), and so does an empty one
    unless no call is right; a reference that cannot be read is NaN (the data's).

    Args:
        calls: column of calls; see `read_calls` for its forms.
        reference: column of the right calls, in the same forms, without a tag. An empty list: no call is right.
        tag: tag around the calls in a text, such as "tool_call"; "" for none.
        values: the key of a call under which its keys and values stand.
        name: the part's name.
    """

    part_names = ("names", "calls")

    def __init__(
        self,
        calls: str = "completion",
        reference: str = "reference",
        tag: str = "",
        values: str = "parameters",
        name: str = "structured_match",
    ) -> None:
        if not values:
            raise RewardError(f"reward {name!r}: the key of a call's values is empty")
        self.calls = calls
        self.reference = reference
        self.tag = tag
        self.values = values
        self.name = name
        self.needs = (calls, reference)

    def score(self, **columns: Any) -> RewardOutput:
        """Match each row's calls; see `Reward.score`."""
        rows = zip(columns[self.calls], columns[self.reference], strict=True)
        found = [self._row(said, right) for said, right in rows]
        table = torch.tensor([score for score, _ in found], dtype=torch.float32).reshape(-1, 3)
        parts = dict(zip(self.part_names, (table[:, 1], table[:, 2]), strict=True))
        return RewardOutput(table[:, 0], parts, {"reason": [reason for _, reason in found]})

    def _row(self, said: Any, right: Any) -> tuple[MatchScore, str]:
        reference = read_calls(right, "", self.values)
        if reference is None:
            return MatchScore(math.nan, math.nan, math.nan), "the reference holds no calls"
        predicted = read_calls(said, self.tag, self.values)
        if predicted is None:
            return MatchScore(0.0, 0.0, 0.0), "the calls cannot be read"
        score = structured_match(predicted, reference)
        return score, "" if score.total == 1 else f"{len(predicted)} calls, {len(reference)} right ones"
