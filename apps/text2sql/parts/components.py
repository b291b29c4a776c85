"""The parts that recipes are composed of. Those of one recipe share one `Grader`, so one execution.

Failure policy of all of them: where the gold fails, is ambiguous or both results are empty, the grader cannot judge
(NaN). Two empty results say nothing: Arctic removes such golds, SQL-R1 pays in full (its issue 28), and with
localised values (MultiSpider's `with_original_value`) they reward any query at all; here they earn no reward and are
reported apart.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from apps.text2sql.execution.statement import Refused
from apps.text2sql.meaning.canonical import analysed
from apps.text2sql.meaning.resolve import schema_view
from apps.text2sql.meaning.verbalise import verbalise
from apps.text2sql.parts.contrastive import TEMPERATURE, Pool, Reading, contrastive_scores, reading
from apps.text2sql.parts.grading import EXECUTABLE, NO_VERDICT, Graded, Grader, Key, dialects, schema_of, states_of
from apps.text2sql.parts.linking import overlap, schema_items
from apps.text2sql.parts.partial import is_well_formed, ngram_overlap, qatch, section
from apps.text2sql.verdicts.verdict import Verdict
from common.errors import RewardError
from common.rewards.base import Reward, RewardOutput

if TYPE_CHECKING:
    from common.models.text import Encoder

_ROW = ("completion", "database", "gold")

#: What a gold is known by: database, its time of change, query, dialect.
_Key = tuple[str, int, str, str]


class VerdictReward(Reward):
    """A fixed value for each verdict; NaN for those in `NO_VERDICT`.

    Args:
        grader: shared by the recipe.
        name: the part's name.
        values: value by verdict; `otherwise` for the rest.
        otherwise: value of a verdict that `values` does not list.
        style: pay `unformed` where the completion has not this form (`is_well_formed`).
        unformed: value of an ill-formed completion.
    """

    needs = _ROW

    def __init__(
        self,
        grader: Grader,
        name: str,
        values: Mapping[Verdict, float],
        otherwise: float = 0.0,
        style: str = "",
        unformed: float = 0.0,
    ) -> None:
        self.grader = grader
        self.name = name
        self.by_verdict = dict(values)
        self.otherwise = otherwise
        self.style = style
        self.unformed = unformed
        paid = [*values.values(), otherwise, *([unformed] if style else [])]
        self.bounds = (min(paid), max(paid))

    def score(self, **columns: Any) -> RewardOutput:
        """Look each verdict up; see `Reward.score`."""
        graded = self.grader(columns)
        values = torch.tensor(
            [self._value(one, completion) for one, completion in zip(graded, columns["completion"], strict=True)],
            dtype=torch.float32,
        )
        return RewardOutput(values, info=describe(graded))

    def _value(self, graded: Graded, completion: str) -> float:
        if graded.verdict in NO_VERDICT:
            return math.nan
        if self.style and not is_well_formed(completion, self.style):
            return self.unformed
        return self.by_verdict.get(graded.verdict, self.otherwise)


class Execution(VerdictReward):
    """Execution accuracy: 1 where the result equals the gold's, else 0."""

    def __init__(self, grader: Grader) -> None:
        super().__init__(grader, "execution", {Verdict.CORRECT: 1.0})


class Syntax(VerdictReward):
    """1 where the prediction is one read-only query that runs to its end, right or wrong, else 0."""

    def __init__(self, grader: Grader) -> None:
        super().__init__(grader, "syntax", {Verdict.CORRECT: 1.0, Verdict.WRONG: 1.0})


class SchemaLinking(Reward):
    """Jaccard overlap of the tables and columns used by prediction and gold; see `linking_score`."""

    name = "linking"
    needs = _ROW

    def __init__(self, grader: Grader) -> None:
        self.grader = grader

    def score(self, **columns: Any) -> RewardOutput:
        """Compare the names each row's queries resolve to; see `Reward.score`."""
        states = states_of(columns)
        rows = zip(self.grader(columns), columns["database"], columns["gold"], dialects(columns), strict=True)
        values = [self._value(graded, database, states[database], *query) for graded, database, *query in rows]
        return RewardOutput(torch.tensor(values, dtype=torch.float32))

    @staticmethod
    def _value(graded: Graded, database: str, state: int, gold: str, dialect: str) -> float:
        if graded.verdict in NO_VERDICT:
            return math.nan
        schema = schema_of(database, state)
        try:
            wanted = analysed(gold, schema_view(schema), dialect).items
        except Refused:
            return math.nan
        try:
            if graded.verdict not in EXECUTABLE:
                return overlap(schema_items(graded.sql, schema, dialect), wanted)
            return overlap(analysed(graded.sql, schema_view(schema), dialect).items, wanted)
        except Refused:
            return 0.0


class Ngram(Reward):
    """Jaccard overlap of token bigrams with the gold's; see `ngram_overlap`. Right rewrites score low by nature."""

    name = "ngram"
    needs = _ROW

    def __init__(self, grader: Grader, n: int = 2) -> None:
        self.grader = grader
        self.n = n

    def score(self, **columns: Any) -> RewardOutput:
        """Compare tokens; see `Reward.score`."""
        values = [
            math.nan if graded.verdict in NO_VERDICT else ngram_overlap(graded.sql, gold, self.n, dialect)
            for graded, gold, dialect in zip(self.grader(columns), columns["gold"], dialects(columns), strict=True)
        ]
        return RewardOutput(torch.tensor(values, dtype=torch.float32))


class Format(Reward):
    """`good` where the completion has the declared form, else `bad`; see `is_well_formed`.

    Args:
        style: the form.
        good: value of a well-formed completion.
        bad: value of any other.
        grader: in a recipe, so that a row that cannot be judged gets no reward at all; without one, form alone counts.
    """

    name = "format"

    def __init__(self, style: str, good: float = 1.0, bad: float = 0.0, grader: Grader | None = None) -> None:
        self.style = style
        self.good = good
        self.bad = bad
        self.grader = grader
        self.needs = _ROW if grader is not None else ("completion",)
        self.bounds = (bad, good)

    def score(self, **columns: Any) -> RewardOutput:
        """Look at the completions' form; see `Reward.score`."""
        values = torch.tensor(
            [self.good if is_well_formed(text, self.style) else self.bad for text in columns["completion"]],
            dtype=torch.float32,
        )
        if self.grader is not None:
            values[[graded.verdict in NO_VERDICT for graded in self.grader(columns)]] = math.nan
        return RewardOutput(values)


class PartialResult(Reward):
    """Overlap of the two results as in QATCH; see `qatch`. 0 where the prediction does not run."""

    name = "partial"
    needs = _ROW

    def __init__(self, grader: Grader) -> None:
        self.grader = grader

    def score(self, **columns: Any) -> RewardOutput:
        """Read the overlap measured by the grader; see `Reward.score`."""
        graded = self.grader(columns)
        return RewardOutput(
            torch.tensor([self._value(one) for one in graded], dtype=torch.float32), info=describe(graded)
        )

    @staticmethod
    def _value(graded: Graded) -> float:
        if graded.verdict in NO_VERDICT:
            return math.nan
        if graded.verdict is Verdict.CORRECT:
            return 1.0
        overlap = graded.judgement.overlap
        return qatch(overlap) if graded.verdict is Verdict.WRONG and overlap is not None else 0.0


class Length(Reward):
    """SQL-R1's length term (its `synsql.py`), for right and well-formed completions only, in [0, 1.5].

    `0.5 · min(p, 2048) / 2048 + len(sql) / len(answer)`, p = characters of thinking and answer. It pays verbosity, so
    the same query in longer words earns more: kept for comparison with the paper, used by no other recipe.
    """

    name = "length"
    needs = _ROW
    bounds = (0.0, 1.5)

    def __init__(self, grader: Grader, style: str) -> None:
        self.grader = grader
        self.style = style

    def score(self, **columns: Any) -> RewardOutput:
        """Measure the right completions; see `Reward.score`."""
        graded = self.grader(columns)
        values = [self._value(one, text) for one, text in zip(graded, columns["completion"], strict=True)]
        return RewardOutput(torch.tensor(values, dtype=torch.float32))

    def _value(self, graded: Graded, completion: str) -> float:
        if graded.verdict in NO_VERDICT:
            return math.nan
        if graded.verdict is not Verdict.CORRECT or not is_well_formed(completion, self.style):
            return 0.0
        answer = section(completion, "answer") or completion
        spoken = len(section(completion, "think")) + len(answer)
        return 0.5 * min(spoken, 2048) / 2048 + min(len(graded.sql) / len(answer), 1.0)


class ContrastiveSemantic(Reward):
    """The question, in any language, against the prediction put into words, among hard negatives; in [0, 1].

    The formula and its standing are in `apps.text2sql.parts.contrastive`. 0 unless the prediction is one read-only
    query that runs; NaN where the gold is unusable. Comments, aliases and free literals never reach the encoder, so
    that a pasted question earns nothing.

    Args:
        grader: shared by the recipe.
        encoder: folder, hub id or "hash" (opened on first use), or an encoder.
        pool: other golds of each database (`gold_pool`); none where not given.
        temperature: τ.
        device: device of a transformers encoder.
    """

    name = "contrastive"
    needs = ("completion", "question", "database", "gold")

    def __init__(
        self,
        grader: Grader,
        encoder: str | Encoder,
        pool: Pool | None = None,
        temperature: float = TEMPERATURE,
        device: str = "cpu",
    ) -> None:
        if temperature <= 0:
            raise RewardError(f"the temperature must be above 0, not {temperature}")
        self.grader = grader
        self.encoder = encoder
        self.pool = pool or {}
        self.temperature = temperature
        self.device = device
        self._reset()

    def _reset(self) -> None:
        self._opened: Encoder | None = None
        self._golds: OrderedDict[_Key, Reading | None] = OrderedDict()
        self._vectors: OrderedDict[str, Tensor] = OrderedDict()
        self._negatives: OrderedDict[_Key, Tensor] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        kept = ("grader", "encoder", "pool", "temperature", "device")
        return {name: self.__dict__[name] for name in kept}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._reset()

    def score(self, **columns: Any) -> RewardOutput:
        """Score the rows that run; see `Reward.score`."""
        graded = self.grader(columns)
        values = torch.tensor([math.nan if g.verdict in NO_VERDICT else 0.0 for g in graded])
        states = states_of(columns)
        spoken = dialects(columns)
        words = [""] * len(graded)
        keys: dict[int, _Key] = {}
        for row, one in enumerate(graded):
            if one.verdict in EXECUTABLE and one.verdict not in NO_VERDICT:
                database = columns["database"][row]
                key = (str(database), states[database], columns["gold"][row], spoken[row])
                text = self._said(one.sql, key)
                if text is None:
                    values[row] = math.nan
                elif text:
                    words[row], keys[row] = text, key
        if keys:
            values[list(keys)] = self._scores(
                [(columns["question"][row], words[row], key) for row, key in keys.items()]
            )
        return RewardOutput(values, info={"words": words})

    def read(self, key: Key, graded: Graded) -> None:
        """Put what `score` will need of a graded row into words, for a caller that waits for other rows meanwhile."""
        if graded.verdict is Verdict.WRONG:
            database, state, gold, sql, dialect = key
            self._said(sql, (database, state, gold, dialect))

    def _gold(self, key: _Key) -> Reading | None:
        """The gold in words; None where it cannot be read."""
        if key not in self._golds:
            try:
                self._golds[key] = reading(key[2], schema_of(key[0], key[1]), key[3], self.pool.get(key[0], ()))
            except Refused:
                self._golds[key] = None
            _forget(self._golds, 8192)
        return self._golds[key]

    def _said(self, sql: str, key: _Key) -> str | None:
        """The prediction in words, empty where it is too long to take apart; None where the gold cannot be read."""
        gold = self._gold(key)
        if gold is None:
            return None
        try:
            return verbalise(sql, schema_of(key[0], key[1]), key[3], gold.values)
        except Refused:
            return ""

    def _scores(self, rows: Sequence[tuple[str, str, _Key]]) -> Tensor:
        """`(len(rows),)` scores of question, prediction and gold, all in one encoder call."""
        negatives = {key: self._negatives[key] for _, _, key in rows if key in self._negatives}
        new = {key: gold.negatives for _, _, key in rows if key not in negatives and (gold := self._gold(key))}
        texts = [text for question, words, _ in rows for text in (question, words)]
        vectors = self._encode([*texts, *(text for group in new.values() for text in group)])
        width = next(iter(vectors.values())).shape[0]
        for key, group in new.items():
            negatives[key] = torch.stack([vectors[text] for text in group]) if group else torch.zeros(0, width)
        self._negatives.update(negatives)
        _forget(self._negatives, 8192)
        padded = torch.zeros(len(rows), max(len(negatives[key]) for _, _, key in rows), width)
        mask = torch.zeros(padded.shape[:2], dtype=torch.bool)
        for row, (_, _, key) in enumerate(rows):
            padded[row, : len(negatives[key])] = negatives[key]
            mask[row, : len(negatives[key])] = True
        asked = torch.stack([vectors[question] for question, _, _ in rows])
        said = torch.stack([vectors[words] for _, words, _ in rows])
        return contrastive_scores(asked, said, padded, mask, self.temperature)

    def _encode(self, texts: Sequence[str]) -> dict[str, Tensor]:
        known = {text: self._vectors[text] for text in texts if text in self._vectors}
        missing = list(dict.fromkeys(text for text in texts if text not in known))
        if missing:
            known |= dict(zip(missing, self._open().encode(missing).unbind(), strict=True))
        self._vectors.update(known)
        _forget(self._vectors, 32768)
        return known

    def _open(self) -> Encoder:
        if self._opened is None:
            from common.models.text import load_encoder

            self._opened = load_encoder(self.encoder, self.device) if isinstance(self.encoder, str) else self.encoder
        return self._opened


def describe(graded: Sequence[Graded]) -> dict[str, list[str]]:
    """Per-row text for `RewardOutput.info`."""
    return {
        "sql": [one.sql for one in graded],
        "verdict": [one.verdict.value for one in graded],
        "reason": [one.judgement.reason for one in graded],
    }


def _forget(memory: OrderedDict[Any, Any], limit: int) -> None:
    while len(memory) > limit:
        memory.popitem(last=False)
