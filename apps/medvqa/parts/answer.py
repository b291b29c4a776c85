"""What stands between a completion and a reward of its answer: extraction, the medical scorer, other scorers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from apps.medvqa.answers import PARTS, AnswerScorer, extract
from apps.medvqa.answers.meaning import Atom
from common.errors import RewardError
from common.rewards.base import Reward, RewardOutput, nan_like, scatter_rows, take_rows
from common.rewards.text import NO_REFERENCE, references_of

NO_ANSWER = "the completion holds no answer"


class MedicalAnswer(Reward):
    """The medical scorer's verdict on the answer in a completion; see `apps.medvqa.answers.AnswerScorer`.

    Range [0, 1], higher is better; at least `answers.CORRECT` (0.8) counts as right. Parts: `answers.PARTS`, each in
    [0, 1]. Info: `answer` as it was extracted, `reason`, and `veto`, the conflict that capped the score. Deterministic
    and torch-free inside; each row by itself.

    An empty completion, or one without an answer, scores 0 with a reason (the policy's fault); an empty reference is
    NaN (the data's).

    Args:
        tables: files or folders with further medical words.
        reference: column of right answers; an entry may be a list, of which the best counts.
        question: column of questions.
        name: the part's name.
    """

    part_names = PARTS

    def __init__(
        self,
        tables: Sequence[str] = (),
        reference: str = "reference",
        question: str = "question",
        name: str = "answer",
    ) -> None:
        self.tables = tuple(tables)
        self.reference = reference
        self.question = question
        self.name = name
        self.needs = ("completion", question, reference)

    @property
    def scorer(self) -> AnswerScorer:
        """The scorer, shared by all rewards of the process that use the same tables."""
        return _scorer(self.tables)

    def score(self, **columns: Any) -> RewardOutput:
        """Score each row; see `Reward.score`. A column `choices` is used where there is one."""
        size = len(columns["completion"])
        choices = columns.get("choices") or [()] * size
        values, parts = nan_like(size), {name: nan_like(size) for name in PARTS}
        info: dict[str, list[str]] = {"answer": [""] * size, "reason": [""] * size, "veto": [""] * size}
        scorer = self.scorer
        rows = zip(columns["completion"], columns[self.reference], columns[self.question], choices, strict=True)
        for row, (text, entry, question, options) in enumerate(rows):
            references = references_of(entry)
            if not references:
                info["reason"][row] = NO_REFERENCE
                continue
            found = scorer.score(text, references, question or "", tuple(options or ()))
            values[row] = found.score
            for name in PARTS:
                parts[name][row] = found.parts.get(name, math.nan)
            info["answer"][row], info["reason"][row], info["veto"][row] = found.answer, found.reason, found.veto
        return RewardOutput(values, parts, info)

    def undecided(self, sentences: Sequence[str], references: Sequence[str], question: str) -> float:
        """How much of what is compared the scorer's tables do not know, in [0, 1]: what its verdict leaves open.

        The share of unknown words among what a sentence of the answer says beyond the question, or a reference does,
        whichever is more; 0 where one of the two denies all that it says and the other does not, since that much is
        decided whatever the words mean. The least of the sentences counts, so that a further one opens nothing; one
        that says nothing is passed over, and an answer of such sentences is 0.
        """
        parse = self.scorer.parser.parse
        asked = {atom.word for atom in parse(question).atoms}
        right = [[atom for atom in parse(one).atoms if atom.word not in asked] for one in references]
        shares = []
        for sentence in sentences:
            own = [atom for atom in parse(sentence).atoms if atom.word not in asked]
            if own:
                said = any(atom.said for atom in own)
                same = all(any(atom.said for atom in atoms) == said for atoms in right if atoms)
                shares.append(max(map(_unknown, [own, *right])) if same else 0.0)
        return min(shares, default=0.0)


class OnAnswer(Reward):
    """Another reward on the extracted answer in place of the whole completion; bounds and parts are the other's.

    So that scorers are compared on what the model answers, and none earns from the reasoning. A completion without an
    answer scores the lower bound with a reason, unless the row has no reference (NaN); the inner reward is not asked.

    Args:
        inner: a reward of `completion` against a reference.
        reference: the reference's column, where it is not the inner reward's.
        name: own name; the inner reward's by default.
    """

    def __init__(self, inner: Reward, reference: str = "reference", name: str | None = None) -> None:
        if "completion" not in inner.needs:
            raise RewardError(f"reward {inner.name!r} reads no completion, so there is no answer to take out")
        self.inner = inner
        self.reference = reference
        self.name = inner.name if name is None else name
        self.needs = tuple(dict.fromkeys((*inner.needs, reference)))
        self.bounds = inner.bounds
        self.part_names = inner.part_names

    def score(self, **columns: Any) -> RewardOutput:
        """Take the answers out, then score them; see `Reward.score`."""
        answers = [extract(text).text for text in columns["completion"]]
        size = len(answers)
        rows = [row for row, answer in enumerate(answers) if answer.strip()]
        output = self.inner(**{**take_rows(columns, rows, size), "completion": [answers[row] for row in rows]})
        known = [bool(references_of(entry)) for entry in columns[self.reference]]
        values = torch.where(torch.tensor(known, dtype=torch.bool), self.worst, math.nan)
        if rows:
            values[rows] = output.values.float()
        reasons = [("" if answer.strip() else NO_ANSWER) if there else NO_REFERENCE
                   for answer, there in zip(answers, known, strict=True)]  # fmt: skip
        info = {name: spread(texts, rows, size) for name, texts in output.info.items()}
        given = info.get("reason", [""] * size)
        info["reason"] = [one or other for one, other in zip(given, reasons, strict=True)]
        info["answer"] = answers
        return RewardOutput(values, _scattered(output.parts, rows, size), info)


class ByKind(Reward):
    """One reward for closed questions, another for open ones; the column `kind` says which a row is.

    Range: from the lower of both lower bounds to the higher upper one. A kind that is neither raises: with a silent
    default, a misspelt one would be scored by the wrong reward. Parts: `closed` and `open`, NaN on the other's rows.

    Args:
        closed: for rows of kind "closed".
        open: for rows of kind "open".
        name: the part's name.
    """

    part_names = ("closed", "open")

    def __init__(self, closed: Reward, open: Reward, name: str) -> None:
        self.children = {"closed": closed, "open": open}
        self.name = name
        self.needs = tuple(dict.fromkeys((*closed.needs, *open.needs, "kind")))
        self.bounds = (min(closed.bounds[0], open.bounds[0]), max(closed.bounds[1], open.bounds[1]))

    def score(self, **columns: Any) -> RewardOutput:
        """Score each kind by its own reward; see `Reward.score`."""
        kinds = list(columns["kind"])
        size = len(kinds)
        strange = sorted({str(kind) for kind in kinds} - set(self.children))
        if strange:
            raise RewardError(f"reward {self.name!r}: kind is 'closed' or 'open', not {strange[0]!r}")
        values, parts, reasons = nan_like(size), {}, [""] * size
        for kind, reward in self.children.items():
            rows = [row for row, one in enumerate(kinds) if one == kind]
            parts[kind] = nan_like(size)
            if not rows:
                continue
            output = reward(**take_rows(columns, rows, size))
            values[rows] = output.values.float()
            parts[kind] = scatter_rows(output.values, rows, size)
            for row, reason in zip(rows, output.info.get("reason", [""] * len(rows)), strict=True):
                reasons[row] = reason
        return RewardOutput(values, parts, {"reason": reasons})


@lru_cache(maxsize=8)
def _scorer(tables: tuple[str, ...]) -> AnswerScorer:
    return AnswerScorer(tables)


def spread(texts: Sequence[str], rows: Sequence[int], size: int) -> list[str]:
    """`texts` at `rows` of a list of `size` that is empty elsewhere."""
    result = [""] * size
    for row, text in zip(rows, texts, strict=True):
        result[row] = text
    return result


def _unknown(atoms: Sequence[Atom]) -> float:
    return sum(atom.concept is None for atom in atoms) / max(1, len(atoms))


def _scattered(parts: Mapping[str, Tensor], rows: Sequence[int], size: int) -> dict[str, Tensor]:
    return {name: scatter_rows(part, rows, size) if rows else nan_like(size) for name, part in parts.items()}
