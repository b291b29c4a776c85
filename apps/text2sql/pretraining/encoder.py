"""Trains the n-gram encoder on questions and queries in every language: InfoNCE with mutations as hard negatives."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from apps.text2sql.execution.statement import Refused, parse_query
from apps.text2sql.parts.contrastive import MUTANTS, TEMPERATURE, reading
from apps.text2sql.parts.grading import schema_of
from common.errors import DataError
from common.files import write_json, write_text
from common.models.text import NgramEncoder

if TYPE_CHECKING:
    from apps.text2sql.data import Example


@dataclass
class Meaning:
    """One query of one database with everything that asks for it.

    Attributes:
        database: path of the database.
        text: the verbalised query.
        negatives: its verbalised mutants.
        questions: `(language, question)` pairs.
    """

    database: str
    text: str
    negatives: tuple[str, ...]
    questions: list[tuple[str, str]] = field(default_factory=list)


def collect(examples: Iterable[Example], mutants: int = 2 * MUTANTS) -> list[Meaning]:
    """Group examples by database and query; golds that do not parse are passed over."""
    found: dict[tuple[str, str], Meaning] = {}
    for example in examples:
        key = (str(example.path), example.sql)
        if key not in found:
            try:
                found[key] = _meaning(example, mutants)
            except Refused:
                continue
        found[key].questions.append((example.language, example.question))
    return list(found.values())


def _meaning(example: Example, mutants: int) -> Meaning:
    parse_query(example.sql, example.dialect)
    read = reading(example.sql, schema_of(example.path), example.dialect, mutants=mutants)
    return Meaning(str(example.path), read.text, read.negatives)


def train_encoder(
    examples: Sequence[Example],
    out: Path | str,
    held_out: Sequence[Example] = (),
    seed: int = 0,
    steps: int = 1200,
    batch_size: int = 96,
    hard_negatives: int = 4,
    learning_rate: float = 3e-3,
    command: str = "",
    progress: Callable[[int, int, float], None] | None = None,
) -> dict[str, Any]:
    """Train an `NgramEncoder` and save it with a card.

    The loss is InfoNCE (van den Oord et al. 2018, arXiv 1807.03748) at the reward's temperature, over: question
    against its query, the batch's other queries and its own query's mutants; query against the batch's questions;
    question against the same question in another language. Half of each batch comes from one database, so that
    neighbours are hard.

    Args:
        examples: training pairs; the languages of one query are its parallel questions.
        out: folder to write.
        held_out: examples to measure on.
        seed: seeds initialisation and batches.
        steps: optimiser steps.
        batch_size: queries in a batch.
        hard_negatives: mutants of each query in a batch.
        learning_rate: peak of a linear decay.
        command: the command line, for the card.
        progress: called with step, steps and loss.

    Returns:
        The figures of `measure_encoder` on the held-out examples, with `seconds` and `loss`.

    Raises:
        DataError: fewer than two usable queries.
    """
    meanings = collect(examples)
    if len(meanings) < 2:
        raise DataError(f"an encoder needs at least two queries to tell apart; found {len(meanings)}")
    started = time.perf_counter()
    random_state = torch.random.get_rng_state()
    torch.manual_seed(seed)
    encoder = NgramEncoder()
    torch.random.set_rng_state(random_state)
    loss = _optimise(
        encoder, meanings, random.Random(seed), steps, batch_size, hard_negatives, learning_rate, progress
    )
    seconds = time.perf_counter() - started
    encoder.save(out)
    figures = {
        "seconds": round(seconds, 1),
        "loss": round(loss, 4),
        "queries": len(meanings),
        "seed": seed,
        "steps": steps,
    }
    figures |= measure_encoder(NgramEncoder.load(out), held_out) if held_out else {}
    write_json(Path(out) / "figures.json", figures)
    write_text(Path(out) / "README.md", _card(figures, command))
    return figures


def _optimise(
    encoder: NgramEncoder,
    meanings: list[Meaning],
    rng: random.Random,
    steps: int,
    batch_size: int,
    hard_negatives: int,
    learning_rate: float,
    progress: Callable[[int, int, float], None] | None,
) -> float:
    network = encoder.network.train()
    optimiser = torch.optim.Adam(network.parameters(), lr=learning_rate, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: max(1.0 - step / max(steps, 1), 0.02))
    groups: dict[str, list[Meaning]] = {}
    for meaning in meanings:
        groups.setdefault(meaning.database, []).append(meaning)
    databases = list(groups.values())
    average = 0.0
    for step in range(steps):
        batch = _batch(meanings, databases, batch_size, rng)
        loss = _loss(encoder, batch, hard_negatives, rng)
        optimiser.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        optimiser.step()
        schedule.step()
        average = loss.item() if step == 0 else 0.98 * average + 0.02 * loss.item()
        if progress is not None:
            progress(step + 1, steps, average)
    network.eval()
    return average


def _batch(meanings: list[Meaning], databases: list[list[Meaning]], size: int, rng: random.Random) -> list[Meaning]:
    group = rng.choice(databases)
    near = rng.sample(group, min(size // 2, len(group)))
    far = rng.sample(meanings, min(size - len(near), len(meanings)))
    # The same wording twice would be its own negative.
    return list({meaning.text: meaning for meaning in near + far}.values())


def _loss(encoder: NgramEncoder, batch: list[Meaning], hard_negatives: int, rng: random.Random) -> Tensor:
    firsts = [rng.choice(meaning.questions)[1] for meaning in batch]
    seconds = [rng.choice(meaning.questions)[1] for meaning in batch]
    wrong = [rng.sample(m.negatives, min(hard_negatives, len(m.negatives))) for m in batch]
    size = len(batch)
    vectors = encoder.embed(firsts + seconds + [m.text for m in batch] + [text for row in wrong for text in row])
    first, second, gold = vectors[:size], vectors[size : 2 * size], vectors[2 * size : 3 * size]
    owners = torch.tensor([row for row, texts in enumerate(wrong) for _ in texts], dtype=torch.long)
    slots = torch.tensor([slot for texts in wrong for slot in range(len(texts))], dtype=torch.long)
    own = torch.full((size, max(hard_negatives, 1)), -torch.inf)
    own = own.index_put((owners, slots), (first[owners] * vectors[3 * size :]).sum(-1))
    target = torch.arange(size)
    match = first @ gold.T
    return (
        cross_entropy(torch.cat([match, own], dim=1) / TEMPERATURE, target)
        + 0.5 * cross_entropy(match.T / TEMPERATURE, target)
        + 0.5 * cross_entropy(first @ second.T / TEMPERATURE, target)
    )


def measure_encoder(encoder: Any, examples: Sequence[Example]) -> dict[str, Any]:
    """How well an encoder finds the query of a question.

    Returns:
        `recall_at_1`: share of questions nearest to their own query among all of its database, per language and `all`;
        `mutation_rank`: mean rank (1 is best) of the gold among itself and its mutants; `gold_first`: share of rank 1;
        `candidates`: mean number of queries to choose from; `mutants`: the same for mutants.
    """
    meanings = collect(examples)
    groups: dict[str, list[Meaning]] = {}
    for meaning in meanings:
        groups.setdefault(meaning.database, []).append(meaning)
    hits: dict[str, list[float]] = {}
    ranks: dict[str, list[float]] = {}
    for group in groups.values():
        texts = list(dict.fromkeys(meaning.text for meaning in group))
        golds = encoder.encode(texts)
        for meaning in group:
            asked = encoder.encode([question for _, question in meaning.questions])
            nearest = (asked @ golds.T).argmax(1).tolist()
            wrong = asked @ encoder.encode(list(meaning.negatives)).T
            own = asked @ encoder.encode([meaning.text]).T
            rank = 1 + (wrong >= own).sum(1)
            for (language, _), found, place in zip(meaning.questions, nearest, rank.tolist(), strict=True):
                hits.setdefault(language, []).append(float(texts[found] == meaning.text))
                ranks.setdefault(language, []).append(float(place))
    return {
        "recall_at_1": _means(hits),
        "mutation_rank": _means(ranks),
        "gold_first": _means({language: [float(r == 1) for r in values] for language, values in ranks.items()}),
        "candidates": round(sum(len(group) ** 2 for group in groups.values()) / max(len(meanings), 1), 1),
        "mutants": round(sum(len(meaning.negatives) for meaning in meanings) / max(len(meanings), 1), 1),
        "questions": sum(len(values) for values in hits.values()),
    }


def _means(values: dict[str, list[float]]) -> dict[str, float]:
    every = [value for row in values.values() for value in row]
    named = {language: values[language] for language in sorted(values)} | {"all": every}
    return {name: round(sum(row) / len(row), 4) if row else 0.0 for name, row in named.items()}


def _card(figures: dict[str, Any], command: str) -> str:
    lines = [
        "# Encoder of the contrastive text-to-SQL reward",
        "",
        "Hashed n-grams, embedding table, small projection (`common.models.text.NgramEncoder`), trained from nothing",
        "on question–query pairs. It knows the databases it was trained on; for others train it anew or use XLM-R.",
        "",
        f"- made by: `{command or 'apps.text2sql.pretraining.encoder.train_encoder'}`, seed {figures['seed']}",
        f"- {figures['queries']} queries, {figures['steps']} steps, {figures['seconds']} s on one CPU thread",
    ]
    if "recall_at_1" in figures:
        lines += [
            f"- measured on {figures['questions']} held-out questions: R@1 among all queries of the same database "
            f"({figures['candidates']} on average), the gold among its mutants ({figures['mutants']} on average)",
            "",
            "| language | R@1 | gold before all mutants | mean rank among mutants |",
            "|---|---|---|---|",
        ]
        for language, recall in figures["recall_at_1"].items():
            first, rank = figures["gold_first"][language], figures["mutation_rank"][language]
            lines.append(f"| {language} | {recall:.3f} | {first:.3f} | {rank:.2f} |")
    return "\n".join(lines) + "\n"
