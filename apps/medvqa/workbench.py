"""What the demo does, without a browser: phantoms and uploads, answers, scores, and the exact truth."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from apps.medvqa.answers import AnswerScorer
from apps.medvqa.assistant import Answer, Assistant
from apps.medvqa.pocket import Study, draw, is_right, phantom
from apps.medvqa.pocket.catalogue import HELD_OUT, ORGANS, SIDES, kind_of, kinds_of, places_of
from apps.medvqa.pocket.inquiries import find_inquiry, to_try
from apps.medvqa.viewer import View, check_format, open_view
from common.errors import UsageError
from common.uploads import take_upload

if TYPE_CHECKING:
    from apps.medvqa.answers import AnswerScore
    from common.dicom.windowing import Window

LARGEST_UPLOAD = 50_000_000  # bytes
MOST_PIXELS = 50_000_000
LONGEST_TEXT = 500  # characters of a question or a reference
SEEDS = 1_000_000
#: What can be asked of any picture.
GENERAL = (
    "What is abnormal?",
    "Is this image normal?",
    "Describe this image.",
    "What modality is this?",
    "What organ is shown?",
)


@dataclass(frozen=True)
class Wish:
    """What a visitor chose for a phantom; what does not go together takes the nearest that does, see `Menu`."""

    organ: str = "chest"
    finding: str = "nodule"
    side: str = "right"
    zone: str = "upper zone"
    size_mm: int = 30
    count: int = 1
    seed: int = 0


@dataclass(frozen=True)
class Menu:
    """What each dropdown offers once a wish is fulfilled; one entry or none: there is nothing to choose."""

    wish: Wish
    findings: tuple[str, ...]
    sides: tuple[str, ...]
    zones: tuple[str, ...]
    sizes: tuple[int, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Truth:
    """What is exactly true of a phantom, and of an answer about it.

    Attributes:
        reference: the right answer; "" where the question is none that phantoms answer by themselves.
        right: whether the model's answer is exactly right; None without such a question or without an answer.
    """

    reference: str = ""
    right: bool | None = None


class Workbench:
    """Shows pictures to a model and answers to the scorer.

    Args:
        assistant: answers.
        scorer: scores.
        pocket: whether the model knows phantoms only, which an uploader should be told.
    """

    def __init__(self, assistant: Assistant, scorer: AnswerScorer | None = None, pocket: bool = True) -> None:
        self.assistant = assistant
        self.scorer = scorer or AnswerScorer()
        self.pocket = pocket

    def ask(self, question: str, view: View, window: Window | None = None) -> Answer:
        """Answer a question about a picture as it is shown.

        Raises:
            UsageError: the question is empty or too long.
        """
        if not question.strip():
            raise UsageError("write a question first")
        _check_length(question, "question")
        return self.assistant.ask(question, [view.seen(window)])

    def score(self, answer: Answer, reference: str) -> AnswerScore:
        """Hold an answer against a reference.

        Raises:
            UsageError: the reference is empty or too long.
        """
        if not reference.strip():
            raise UsageError("write a reference first")
        _check_length(reference, "reference")
        return self.scorer.score(answer.completion, reference, answer.question)

    def truth(self, study: Study, question: str, answer: Answer | None) -> Truth:
        """The exact truth about a question, and whether an answer to it is right; the scorer has no part in it."""
        example = find_inquiry(answer.question if answer else question, study)
        if example is None:
            return Truth()
        return Truth(example.answer, is_right(example, answer.text) if answer else None)

    def questions(self, study: Study | None) -> Sequence[str]:
        """Questions to try."""
        return to_try(study) if study is not None else GENERAL


def menu(wish: Wish) -> Menu:
    """What can be chosen, given what was: a choice keeps those before it and changes those behind it where it must."""
    organ = wish.organ if wish.organ in ORGANS else next(iter(ORGANS))
    spec, kinds = ORGANS[organ], kinds_of(organ)
    names = ("", *(kind.name for kind in kinds))
    finding = wish.finding if wish.finding in names else names[1]
    if not finding:
        views = SIDES if spec.view else ()
        fitting = Wish(organ, "", _one_of(wish.side, views), "", 0, 1, wish.seed)
        return Menu(fitting, names, views, (), (), (1,))
    kind = kind_of(organ, finding)
    places = places_of(kind)
    sides = tuple(dict.fromkeys(side for side, _ in places if side))
    zones = tuple(dict.fromkeys(zone for _, zone in places if zone))
    counts = (1, 2, 3) if kind.crowd else (1,)
    count = wish.count if wish.count in counts else 1
    sizes = kind.sizes if count == 1 else kind.crowd[count - 2]
    size = min(sizes, key=lambda one: abs(one - wish.size_mm), default=0)
    fitting = Wish(organ, finding, _one_of(wish.side, sides), _one_of(wish.zone, zones), size, count, wish.seed)
    return Menu(fitting, names, sides, zones, sizes, counts)


def make_phantom(wish: Wish) -> tuple[View, Study]:
    """The picture of a wish that `menu` fulfilled, and its exact truth."""
    study = phantom(wish.finding, wish.side, wish.zone, wish.size_mm, wish.count, organ=wish.organ, seed=wish.seed)
    return open_view(draw(study), "phantom"), study


def random_wish(held: bool = False, rng: random.Random | None = None) -> Wish:
    """Any finding at any place.

    Args:
        held: one at a place where training never shows it; else it may be one or not, or a normal study.
        rng: where chance comes from.
    """
    rng = rng or random.Random()
    seed = rng.randrange(SEEDS)
    if held:
        organ, finding, side, zone = rng.choice(sorted(HELD_OUT))
    else:
        organ = rng.choice(list(ORGANS))
        finding = rng.choice([*(kind.name for kind in kinds_of(organ)), ""])
        side, zone = rng.choice(SIDES), rng.choice(ORGANS[organ].zones)
    offered = menu(Wish(organ, finding, side, zone, 0, 1, seed))
    count = rng.choice(offered.counts)
    offered = menu(Wish(organ, finding, side, zone, 0, count, seed))
    size = rng.choice(offered.sizes or (0,))
    return menu(Wish(organ, finding, side, zone, size, count, seed)).wish


def accept_upload(path: str | Path, folder: str | Path) -> View:
    """Take in an uploaded picture; its file is removed, whatever becomes of it.

    Args:
        path: the file.
        folder: where uploads lie; nothing outside it is read or removed.

    Raises:
        UsageError: the file lies elsewhere.
        DataError: too many bytes or pixels, or no picture. The message names the file as the visitor does, not where
            it lies here.
    """
    name, source = take_upload(path, folder, LARGEST_UPLOAD)
    check_format(source, name, MOST_PIXELS)
    return open_view(source, name)


def _check_length(text: str, what: str) -> None:
    if len(text) > LONGEST_TEXT:
        raise UsageError(f"the {what} has {len(text)} characters; at most {LONGEST_TEXT} are read")


def _one_of(chosen: str, offered: Sequence[str]) -> str:
    """The choice where it is offered, else the first offer, else nothing."""
    return chosen if chosen in offered else next(iter(offered), "")
