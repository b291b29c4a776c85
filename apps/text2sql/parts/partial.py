"""Pure functions behind the partial rewards: token overlap, form of a completion, overlap of results."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING

import sqlglot
from sqlglot.errors import SqlglotError

if TYPE_CHECKING:
    from apps.text2sql.verdicts.compare import Overlap

_FENCE = re.compile(
    r"```[ \t]*(?:sql|sqlite|duckdb|postgres(?:ql)?|mysql)?[ \t]*\n?(.*?)```", re.DOTALL | re.IGNORECASE
)
_BARE = re.compile(r"\s*(?:select|with|\()", re.IGNORECASE)
_FOREIGN = re.compile(r"```|</?(?:think|answer|sql|solution|observation)\b[^>]*>", re.IGNORECASE)


@lru_cache(maxsize=8192)
def sql_tokens(sql: str, dialect: str = "sqlite") -> tuple[str, ...]:
    """Lower-case tokens of a query by sqlglot's tokenizer, without comments; none where it cannot be tokenized."""
    try:
        tokens = sqlglot.tokenize(sql, dialect=dialect)
    except SqlglotError:
        return ()
    return tuple(token.text.lower() for token in tokens if token.text != ";")


def ngram_overlap(pred: str, gold: str, n: int = 2, dialect: str = "sqlite") -> float:
    """Jaccard overlap of the sets of token n-grams (Reasoning-SQL, arXiv 2503.23157), in [0, 1].

    A query shorter than `n` tokens counts as one n-gram; 0 where either has no token.
    """
    first, second = (_grams(sql_tokens(sql, dialect), n) for sql in (pred, gold))
    return len(first & second) / len(first | second) if first and second else 0.0


def _grams(tokens: tuple[str, ...], n: int) -> set[tuple[str, ...]]:
    if not tokens:
        return set()
    return {tokens[start : start + n] for start in range(max(len(tokens) - n + 1, 1))}


def is_well_formed(completion: str, style: str) -> bool:
    """Whether a completion has the declared form.

    Args:
        completion: what the model wrote.
        style: `pocket`: the bare query, no fence, tag or prose before it. `reasoning`: think and answer tags, each
            once and in order, a non-empty SQL fence in the answer (SQL-R1's rule). `skyrl`: at least one `<think>`,
            exactly one `<solution>…</solution>`, every `</observation>` followed by `<think>` (SkyRL-SQL's rule).

    Raises:
        ValueError: unknown style.
    """
    if style == "pocket":
        return _BARE.match(completion) is not None and _FOREIGN.search(completion) is None
    if style == "reasoning":
        tags = ("<think>", "</think>", "<answer>", "</answer>")
        places = [completion.find(tag) for tag in tags]
        if any(completion.count(tag) != 1 for tag in tags) or places != sorted(places):
            return False
        fences = _FENCE.findall(section(completion, "answer"))
        return any(fence.strip() for fence in fences)
    if style == "skyrl":
        observed = re.findall(r"</observation>\s*(<think>)?", completion)
        return (
            completion.count("<solution>") == completion.count("</solution>") == 1
            and "<think>" in completion
            and section(completion, "solution").strip() != ""
            and all(observed)
        )
    raise ValueError(f"unknown style {style!r}")


def section(completion: str, tag: str) -> str:
    """The text between `<tag>` and `</tag>`; empty where they do not stand in that order."""
    _, opened, rest = completion.partition(f"<{tag}>")
    inside, closed, _ = rest.partition(f"</{tag}>")
    return inside if opened and closed else ""


def qatch(overlap: Overlap) -> float:
    """Mean of cell precision, cell recall and tuple cardinality, in [0, 1] (QATCH; Think2SQL, arXiv 2504.15077)."""
    return (overlap.cell_precision + overlap.cell_recall + overlap.tuple_cardinality) / 3
