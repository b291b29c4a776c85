"""How well the pocket model answers, whether it looks, and whether there is something left to reinforce.

Right and wrong are told by the phantoms' exact truth, not by the answer scorer that rewards are made of.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from apps.medvqa.answers import extract
from apps.medvqa.data import Example
from apps.medvqa.pocket.truth import is_right
from apps.medvqa.prompts import messages
from common.models.vlm_prompt import Picture, VisualPrompt
from common.stats import Interval, bootstrap
from common.ui import progress

if TYPE_CHECKING:
    from PIL.Image import Image

    from common.models.vlm import VisionLanguageModel

#: What the model is shown: the picture that is asked about, an empty one, one of another study of the same organ.
SHOWN = ("true", "blank", "swapped")
#: As bright as phantoms are on the average, of 255.
BLANK = 77
LONGEST = 64  # tokens


def looking(model: VisionLanguageModel, examples: Sequence[Example], seed: int = 0) -> dict[str, dict[str, Interval]]:
    """Share of right greedy answers under each of `SHOWN`, for all questions and for groups of them.

    A model that looks is right with the true picture only; with another it can know no more than the words tell.

    Args:
        model: the model.
        examples: pocket examples with one picture each.
        seed: of the swapped pictures and the bootstrap.

    Returns:
        For each group (`all`, `open`, `closed`, `seen` and `held-out` combinations, each type of question) and each
        way the share with its 95 % interval.
    """
    shown: dict[str, Sequence[Picture]] = {
        "true": [example.pictures[0] for example in examples],
        "blank": [_blank(example) for example in examples],
        "swapped": swapped(examples, seed),
    }
    rights = {
        way: [first[0] for first in right_answers(model, examples, shown[way], label=f"{way} pictures")]
        for way in SHOWN
    }
    groups: dict[str, list[int]] = defaultdict(list)
    for row, example in enumerate(examples):
        combination = f"{example.tags['combination']} combinations"
        for name in ("all", example.kind, combination, f"{example.kind}, {combination}", example.question_type):
            groups[name].append(row)
    return {
        name: {way: bootstrap([float(rights[way][row]) for row in rows], seed=seed) for way in SHOWN}
        for name, rows in sorted(groups.items(), key=lambda entry: -len(entry[1]))
    }


def spread(
    model: VisionLanguageModel, examples: Sequence[Example], group: int = 8, seed: int = 0
) -> dict[str, Interval]:
    """What reinforcement would find: answers sampled at temperature 1, several to a question.

    Args:
        model: the model.
        examples: pocket examples with one picture each.
        group: answers to each.
        seed: of the samples and the bootstrap.

    Returns:
        `right`: share of right answers; `mixed`: share of groups with right and wrong ones, which alone teach.
    """
    pictures = [example.pictures[0] for example in examples]
    found = right_answers(model, examples, pictures, group, 1.0, seed, "samples")
    return {
        "right": bootstrap([sum(rights) / group for rights in found], seed=seed),
        "mixed": bootstrap([float(0 < sum(rights) < group) for rights in found], seed=seed),
    }


def right_answers(
    model: VisionLanguageModel,
    examples: Sequence[Example],
    pictures: Sequence[Picture],
    n: int = 1,
    temperature: float = 0.0,
    seed: int = 0,
    label: str = "answers",
) -> list[list[bool]]:
    """For each example whether each of its `n` answers is right, when it is asked about the given picture."""
    import torch

    prompts = [
        VisualPrompt(messages(example), (picture,)) for example, picture in zip(examples, pictures, strict=True)
    ]
    with progress(label, len(prompts)) as bar:
        generator = torch.Generator().manual_seed(seed)
        completions = model.generate(prompts, LONGEST, temperature, n, generator, bar.advance)
    return [
        [is_right(example, extract(completion).text) for completion in group]
        for example, group in zip(examples, completions, strict=True)
    ]


def swapped(examples: Sequence[Example], seed: int = 0) -> list[Picture]:
    """For each example the picture of another one, of the same organ where there is another."""
    places: dict[str, list[int]] = defaultdict(list)
    for row, example in enumerate(examples):
        places[example.tags["organ"]].append(row)
    rng = random.Random(seed)
    found: list[Picture] = [example.pictures[0] for example in examples]
    for rows in places.values():
        order = list(rows)
        rng.shuffle(order)
        for row, other in zip(order, [*order[1:], order[0]], strict=True):
            found[row] = examples[other].pictures[0]
    return found


def _blank(example: Example) -> Image:
    from PIL import Image

    from common.pictures import load_picture

    return Image.new("L", load_picture(example.pictures[0]).size, BLANK)
