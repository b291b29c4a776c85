"""The multilingual contrastive score of a query against a question, and its hard negatives.

Kattamuri et al. 2025 (arXiv 2510.13827) add a contrastive semantic reward to GRPO but publish neither formula nor
code. The formula here is therefore our own definition and no reproduction of theirs:

    e(q)  = encoder(question in any language)                 unit length
    e(s)  = encoder(verbalise(canonical(sql)))                unit length
    r_con = exp(e(q)·e(ŝ)/τ) / ( exp(e(q)·e(ŝ)/τ) + Σ_k exp(e(q)·e(n_k)/τ) ),   τ = 0.05
    n_k   = single changes of the gold (`mutations.py`), and other golds of the same database

A prediction that *is* one of the negatives stays in the sum beside its own copy, so it scores at most 1/2: a query
known to be wrong never looks better than undecided. Negatives that read like the gold are dropped. They depend on the
row's own gold and on the declared pool only, never on the batch.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from apps.text2sql.execution.statement import Refused
from apps.text2sql.meaning.canonical import analysed
from apps.text2sql.meaning.mutations import each_mutant
from apps.text2sql.meaning.resolve import schema_view
from apps.text2sql.meaning.verbalise import verbalise, verbalise_tree

if TYPE_CHECKING:
    from apps.text2sql.data import Example
    from apps.text2sql.execution.database import Schema

TEMPERATURE = 0.05
#: Negatives of one gold: single changes, and other golds of its database.
MUTANTS = 6
NEIGHBOURS = 3
#: Golds of one database in the pool; few, so that their readings are soon all known.
POOL = 8

#: Other golds of each database, by the database's path.
Pool = Mapping[str, tuple[str, ...]]


def contrastive_scores(
    question: Tensor, prediction: Tensor, negatives: Tensor, mask: Tensor, temperature: float = TEMPERATURE
) -> Tensor:
    """InfoNCE probability of each prediction among its row's negatives.

    Args:
        question: `(B, D)` unit vectors.
        prediction: `(B, D)` unit vectors.
        negatives: `(B, K, D)` unit vectors, padded.
        mask: `(B, K)`, true where a negative stands.
        temperature: τ.

    Returns:
        `(B,)` in (0, 1); 1 for a row without negatives.
    """
    own = (question * prediction).sum(-1, keepdim=True) / temperature
    others = torch.einsum("bd,bkd->bk", question, negatives) / temperature
    others = others.masked_fill(~mask, -math.inf)
    return torch.softmax(torch.cat([own, others], dim=1), dim=1)[:, 0]


@dataclass(frozen=True)
class Reading:
    """A gold as the encoder is shown it.

    Attributes:
        text: in words.
        values: its string literals, which a prediction may speak too.
        negatives: its hard negatives in words.
    """

    text: str
    values: frozenset[str]
    negatives: tuple[str, ...]


def reading(
    gold: str,
    schema: Schema,
    dialect: str = "sqlite",
    others: Sequence[str] = (),
    mutants: int = MUTANTS,
    neighbours: int = NEIGHBOURS,
) -> Reading:
    """A gold and its hard negatives in words, without those that read like the gold itself.

    Args:
        gold: the gold query.
        schema: its database's schema.
        dialect: sqlglot's name of the SQL dialect.
        others: golds of other questions on the same database.
        mutants: how many single changes at most.
        neighbours: how many of `others` at most, picked by a hash of gold and neighbour.

    Raises:
        Refused: no single query that parses, or too long to take apart.
    """
    view = schema_view(schema)
    analysis = analysed(gold, view, dialect)
    values = analysis.strings
    own = verbalise(gold, schema, dialect, values)
    texts: dict[str, None] = {}
    for _, mutant in each_mutant(analysis.tree, schema, _seed(gold)) if mutants else ():
        text = verbalise_tree(mutant, view, values)
        if text != own:
            texts[text] = None
        if len(texts) == mutants:
            break
    for other in sorted(set(others) - {gold}, key=lambda sql: _seed(gold + sql))[:neighbours]:
        try:
            texts[verbalise(other, schema, dialect, values)] = None
        except Refused:
            continue
    texts.pop(own, None)
    return Reading(own, values, tuple(texts))


def gold_pool(examples: Iterable[Example]) -> dict[str, tuple[str, ...]]:
    """Up to `POOL` golds of each database, picked by their hash: the neighbours that `reading` draws from."""
    golds: dict[str, dict[str, None]] = {}
    for example in examples:
        if example.sql:
            golds.setdefault(str(example.path), {})[example.sql] = None
    return {path: tuple(sorted(sqls, key=_seed)[:POOL]) for path, sqls in golds.items()}


def _seed(text: str) -> int:
    return zlib.crc32(text.encode("utf-8", "surrogatepass"))
