"""How far one comes without the picture: the best guess from the question's words alone."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping

from apps.medvqa.data import Example


class BlindGuesser:
    """Answers every question with the commonest answer to it among `known`; to its type where it is new."""

    def __init__(self, known: Iterable[Example]) -> None:
        self._by_text: dict[str, Counter[str]] = defaultdict(Counter)
        self._by_ask: dict[str, Counter[str]] = defaultdict(Counter)
        for example in known:
            self._by_text[example.question][example.answer] += 1
            self._by_ask[example.tags["asks"]][example.answer] += 1

    def __call__(self, example: Example) -> str:
        """The guess for a question, whose picture is not looked at."""
        counts = self._by_text.get(example.question) or self._by_ask[example.tags["asks"]]
        return counts.most_common(1)[0][0] if counts else ""


def blind_accuracy(known: Iterable[Example], asked: Iterable[Example]) -> Mapping[str, tuple[float, int]]:
    """Share of right guesses and number of questions: by "open" and "closed", and by way of asking.

    Args:
        known: what the guesser learns its guesses from.
        asked: what it is asked. The same examples again give a bound from above that is loose where they are few.
    """
    guess = BlindGuesser(known)
    right: dict[str, list[bool]] = defaultdict(list)
    for example in asked:
        hit = guess(example) == example.answer
        right[example.kind].append(hit)
        right[f"{example.kind}: {example.tags['asks']}"].append(hit)
    return {name: (sum(hits) / len(hits), len(hits)) for name, hits in sorted(right.items())}
