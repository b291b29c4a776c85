"""What mixtures of rewards make of the right order: the reference's simulation, and the reason for the default.

Run with `-m benchmark -s` to see the tables; some six minutes on a busy core. How it works: `apps.medvqa.simulation`.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from apps.medvqa.answers import AnswerScorer, terms
from apps.medvqa.cases import Case, read_cases
from apps.medvqa.reward_config import RewardConfig, SemanticConfig
from apps.medvqa.rewards import MedicalAnswer
from apps.medvqa.simulation import MIXINGS, Figure, semantic_terms, simulate, table
from common.rewards.transforms.rescale import RESCALERS
from tests.benchmarks.encoders import Kept, Noise, encoders

pytestmark = pytest.mark.benchmark

DEFAULT = "(.75+.25f)*s"
OURS = f"adaptive {SemanticConfig().rescaler}"


@pytest.fixture(scope="module")
def cases(shared: Path) -> list[Case]:
    return read_cases(shared / "cases" / "medvqa_shared.jsonl")


@pytest.fixture(scope="module")
def figures(cases: list[Case]) -> dict[str, dict[str, Figure]]:
    """With the strongest encoder at hand."""
    name, opened = list(encoders().items())[-1]
    found = simulate(cases, semantic_terms(SemanticConfig(encoder=opened)))  # type: ignore[arg-type]
    print(f"\nencoder {name}, {len(cases)} cases, 600 groups of 8 a seed, 5 seeds")
    for which in ("truth", "form", "flat"):
        print(f"\n{which}\n{table(found, which)}")
    return found


def test_the_references_findings_hold(figures: dict[str, dict[str, Figure]]) -> None:
    """Its five findings; other cases than its 45, so that the pattern counts and not the digits."""
    truth = {term: {name: one.truth for name, one in several.items()} for term, several in figures.items()}
    raw, affine = truth["none"], truth["affine"]
    assert abs(raw["s"].mean - affine["s"].mean) < 0.02, "1: alone, an affine map is a no-op"
    assert max(truth[one]["f+F1+s"].mean for one in RESCALERS) > raw["f+F1+s"].mean + 0.03, (
        "1: beside others it is not"
    )
    best = max(truth[one]["f+F1+s"].mean for one in RESCALERS)
    assert raw["GDPO f,F1,s"].mean > best - 0.03, "2: GDPO needs no re-scaler"
    assert truth["scorer"]["s"].low > max(truth[one]["s"].high for one in RESCALERS), "3: the order is the ceiling"
    assert figures["[cos >= 0.8]"]["s"].flat.mean > 0.1, "4: a threshold belongs to its encoder"
    assert raw["f+s"].high < raw["s"].low - 0.1, "5: a format term drowns a collapsed one"


def test_the_default_mixing(figures: dict[str, dict[str, Figure]], record_property: pytest.RecordProperty) -> None:
    """Picked: the form as a factor. Most of the truth of all mixtures that still pull towards the form."""
    assert RewardConfig().form == 0.25
    ours = figures[OURS]
    for name, one in ours.items():
        print(f"{OURS}, {name:<13} truth {one.truth.text()}  form {one.form.text()}")
        record_property(f"truth: {name}", round(one.truth.mean, 3))
    assert ours[DEFAULT].form.low > 0.15
    for name, one in ours.items():
        if name not in ("s", DEFAULT):
            assert ours[DEFAULT].truth.low > one.truth.high, name
    for term in (*RESCALERS, "token F1", "(scorer+affine)/2"):
        assert ours[DEFAULT].truth.low > figures[term][DEFAULT].truth.high, term


def forgetful(folder: Path, monkeypatch: pytest.MonkeyPatch) -> MedicalAnswer:
    """The scorer without synonyms: each concept keeps its name alone, and compounds are gone."""
    for file in terms.TABLES.glob("*.tsv"):
        shutil.copy(file, folder / file.name)
    lines = (folder / "concepts.tsv").read_text("utf-8").splitlines()
    cells = [line.split("\t") for line in lines]
    kinds = ("finding", "anatomy", "modality", "plane", "quality")
    for row in cells:
        if len(row) > 3 and row[1].split(":")[0] in kinds:
            row[3] = ""
    (folder / "concepts.tsv").write_text("\n".join("\t".join(row) for row in cells) + "\n", "utf-8")
    (folder / "compounds.tsv").write_text("forms\texpansion\n", "utf-8")
    with monkeypatch.context() as patch:
        patch.setattr(terms, "TABLES", folder)
        terms.load_terms.cache_clear()
        scorer = AnswerScorer()
    terms.load_terms.cache_clear()

    class Forgetful(MedicalAnswer):
        @property
        def scorer(self) -> AnswerScorer:
            return scorer

    return Forgetful()


def test_the_default_rescaler(
    cases: list[Case], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record_property: pytest.RecordProperty
) -> None:
    """Picked: affine. It gains where the scorer lacks words, and only by meaning: not with an encoder of noise.

    The other re-scalers give unknown words a middle mark whatever they mean, which noise earns as well, and which a
    policy could earn with words that nobody knows.
    """
    known, poor = MedicalAnswer(), forgetful(tmp_path, monkeypatch)
    opened = {**encoders(), "noise": Kept(Noise())}
    mixings = {DEFAULT: MIXINGS[DEFAULT]}
    rows: dict[str, dict[str, float]] = {}
    for scorer, medical in (("all words", known), ("no synonyms", poor)):
        for encoder, one in opened.items():
            terms_ = semantic_terms(SemanticConfig(encoder=one), medical)  # type: ignore[arg-type]
            chosen = {name: make for name, make in terms_.items() if name == "scorer" or name.startswith("adaptive")}
            found = simulate(cases, chosen, mixings, seeds=(0, 1, 2))
            rows[f"{scorer}, {encoder}"] = {name: several[DEFAULT].truth.mean for name, several in found.items()}
    names = list(next(iter(rows.values())))
    print("\n" + " " * 20 + "".join(f"{name.removeprefix('adaptive '):>18}" for name in names))
    for row, values in rows.items():
        print(f"{row:<20}" + "".join(f"{values[name]:>18.3f}" for name in names))
        record_property(row, {name: round(value, 3) for name, value in values.items()})
    best = list(encoders())[-1]
    for encoder in opened:
        assert rows[f"all words, {encoder}"][OURS] > rows[f"all words, {encoder}"]["scorer"] - 0.01
    poorly = {encoder: rows[f"no synonyms, {encoder}"] for encoder in opened}
    assert poorly[best][OURS] > poorly[best]["scorer"] + 0.01
    assert poorly["noise"][OURS] < poorly["noise"]["scorer"] + 0.01, "noise gains nothing"
    assert poorly["noise"]["adaptive group_minmax"] > poorly["noise"]["scorer"] + 0.01, "but elsewhere it does"


def test_the_words_of_a_forgetful_scorer_are_fewer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    columns = {"completion": ["heart attack"], "reference": ["myocardial infarction"], "question": ["What?"]}
    assert MedicalAnswer()(**columns).values.item() > forgetful(tmp_path, monkeypatch)(**columns).values.item()
