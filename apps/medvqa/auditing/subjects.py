"""What an audit of answer rewards is made with: questions, and what is made of their right answers."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from apps.medvqa.auditing.hacks import HACKS
from apps.medvqa.auditing.mutations import FACTS
from apps.medvqa.auditing.rewordings import REWORDINGS
from apps.medvqa.auditing.told import Said, Saying, Told
from common.errors import DataError
from common.rewards.base import row_count, take_rows

if TYPE_CHECKING:
    from apps.medvqa.data import Example

Columns = dict[str, Any]

#: Answers of other rows that an operator may draw from.
OTHERS = 60
#: Styles of completion that have a place for reasoning.
REASONED = ("reasoning", "either")
#: Where the data bring no reasoning.
THOUGHT = "I look at the image."


@dataclass(frozen=True)
class Subjects:
    """Questions to audit with.

    Attributes:
        examples: `(N,)` the questions.
        told: `(N,)` their right answers, as `mutations` takes them.
        columns: `completion` (the right answer in the reward's form) and what rewards may read beside it.
        style: the form: `reasoning` or `either` (think tags, then answer tags), `answer` (answer tags) or `plain`.
    """

    examples: Sequence[Example]
    told: Sequence[Told]
    columns: Columns
    style: str

    def __len__(self) -> int:
        return len(self.examples)

    def placed(self, made: Sequence[Made]) -> Columns:
        """Columns in which the rows of `made` say what was made of them."""
        size = row_count(self.columns["completion"]) or 0
        return {
            **take_rows(self.columns, [one.row for one in made], size),
            "completion": [one.completion for one in made],
        }


@dataclass(frozen=True)
class Made:
    """What was made of a right answer.

    Attributes:
        row: whose.
        operator: by what.
        said: the answer, and the reasoning where that was changed.
        completion: as the policy would write it.
        right: by the exact truth; None where nothing exact is known.
    """

    row: int
    operator: str
    said: Said
    completion: str
    right: bool | None = None


@dataclass(frozen=True)
class Trials:
    """Everything that rewards are tried with: made once, scored by each."""

    facts: Sequence[Made]
    hacks: Sequence[Made]
    rewordings: Sequence[Made]


def subjects(examples: Sequence[Example], style: str, seed: int = 0, pool: Sequence[Example] = ()) -> Subjects:
    """English questions with a known answer, each different ones once; others are left out.

    Args:
        examples: the questions.
        style: the form of completions that the reward asks for.
        seed: of what is drawn.
        pool: questions whose answers may stand for another row's; `examples` where empty.

    Raises:
        DataError: fewer than two are left.
    """
    kept = {(one.question.lower(), one.answer.lower(), one.study): one for one in reversed(examples) if usable(one)}
    rows = list(reversed(kept.values()))
    if len(rows) < 2:
        raise DataError(
            f"an audit needs two English questions with an answer or more; {len(rows)} of {len(examples)} are. "
            "Choose a format and a split of `train` that has answers"
        )
    told = _told(rows, [one for one in pool or examples if usable(one)], seed)
    columns: Columns = {
        "completion": [spoken(Said(one.answer), one.reasoning, style) for one in rows],
        "question": [one.question for one in rows],
        "reference": [list(one.references) for one in rows],
        "reasoning": [one.reasoning for one in rows],
        "choices": [list(one.choices) for one in rows],
        "kind": [one.kind for one in rows],
        "language": [one.language for one in rows],
        # What is made of one answer competes with nothing else.
        "group": list(range(len(rows))),
        "images": [list(one.pictures) for one in rows],
        "step": 0,
    }
    return Subjects(rows, told, columns, style)


def usable(example: Example) -> bool:
    """Whether an example can be audited with."""
    return example.language == "en" and bool(example.answer.strip())


def spoken(said: Said, reasoning: str, style: str) -> str | None:
    """A completion of a style; None where the style has no place for a thought that was changed."""
    thought = said.thought if said.thought is not None else reasoning or THOUGHT
    if style in REASONED:
        return f"<think>{thought}</think><answer>{said.answer}</answer>"
    if style == "answer":
        return f"{said.thought or ''}<answer>{said.answer}</answer>"
    return said.answer if said.thought is None else None


def facts(those: Subjects, seed: int = 0) -> list[Made]:
    """Right answers made wrong, and whether the exact truth agrees that they are."""

    def saying(change: Callable[[Told, random.Random], str | None]) -> Saying:
        def made(told: Told, rng: random.Random) -> Said | None:
            text = change(told, rng)
            known = {one.strip().lower() for one in (told.answer, *told.references)}
            return None if text is None or text.strip().lower() in known else Said(text)

        return made

    return _made(those, {name: saying(one.change) for name, one in FACTS.items()}, seed)


def hacks(those: Subjects, seed: int = 0) -> list[Made]:
    """What a policy falls into that is paid by a weak grader."""
    return _made(those, HACKS, seed)


def rewordings(those: Subjects, seed: int = 0) -> list[Made]:
    """Right answers said otherwise; other reasoning only where the style has reasoning at all."""
    table = dict(REWORDINGS)
    if those.style not in REASONED:
        del table["other reasoning"]
    return _made(those, table, seed)


def trials(those: Subjects, seed: int, notes: list[str]) -> Trials:
    """What the rewards are tried with; mutants that the exact truth calls right are left out."""
    made = facts(those, seed)
    wrong = [one for one in made if not one.right]
    if len(wrong) < len(made):
        notes.append(f"{len(made) - len(wrong)} of {len(made)} mutants were left out: right by the exact truth")
    return Trials(wrong, hacks(those, seed), rewordings(those, seed))


def by_operator(made: Sequence[Made]) -> dict[str, list[Made]]:
    """What was made, operator by operator."""
    found: dict[str, list[Made]] = {}
    for one in made:
        found.setdefault(one.operator, []).append(one)
    return found


def _told(rows: Sequence[Example], pool: Sequence[Example], seed: int) -> list[Told]:
    answers: dict[tuple[str, str], list[Example]] = {}
    for one in pool:
        answers.setdefault((one.question_type, one.kind), []).append(one)
    found = []
    for row in rows:
        rng = random.Random(f"others/{seed}/{row.id}")
        near = answers.get((row.question_type, row.kind), [])
        others = [one.answer for one in rng.sample(near, min(len(near), OTHERS)) if one.study != row.study]
        # Phantoms tell what a question offers.
        offered = tuple(row.tags[name] for name in ("slot_x", "slot_y") if name in row.tags)
        found.append(
            Told(row.answer, row.question, row.question_type, row.references, tuple(others), row.choices or offered)
        )
    return found


def _made(those: Subjects, table: Mapping[str, Saying], seed: int) -> list[Made]:
    found = []
    for name, change in table.items():
        for row, (example, told) in enumerate(zip(those.examples, those.told, strict=True)):
            said = change(told, random.Random(f"{seed}/{name}/{example.id}"))
            completion = None if said is None else spoken(said, example.reasoning, those.style)
            if said is not None and completion is not None:
                found.append(Made(row, name, said, completion, _right(example, said.answer)))
    return found


def _right(example: Example, answer: str) -> bool | None:
    """Whether an answer is exactly right; None where the example has no exact truth."""
    if "phantom" not in example.tags:
        return None
    from apps.medvqa.pocket import is_right

    return is_right(example, answer)
