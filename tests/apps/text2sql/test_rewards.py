"""What each recipe pays, and that the default cannot be gamed."""

from __future__ import annotations

import math
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apps.text2sql.audit import run_audit
from apps.text2sql.config import Text2SqlConfig
from apps.text2sql.execution.workers import Judge
from apps.text2sql.reward_config import RECIPE_NAMES, RewardConfig
from apps.text2sql.rewards import RECIPES, ExecutionFirst, Grader, PartialResult, SchemaLinking, Syntax, build_reward
from apps.text2sql.train import run_train
from apps.text2sql.verdicts.verdict import Judgement, Verdict
from common.errors import RewardError, UsageError
from common.rewards.base import Reward, RewardOutput
from tests.apps.text2sql.reward_world import FAILING, GOLD, REFUSED, RIGHT, WRONG, build, rows

NAN = math.nan


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def grader() -> Iterator[Grader]:
    with Grader() as grader:
        yield grader


def reasoned(sql: str) -> str:
    return f"<think>t</think><answer>```sql\n{sql}\n```</answer>"


def solved(sql: str) -> str:
    return f"<think>t</think><solution>{sql}</solution>"


REWARDS: dict[str, Reward] = {}


def paid(recipe: str, path: Path, completions: list[str], gold: str = GOLD, **config: Any) -> list[float]:
    """Values of one recipe, which is built once for all tests: each has worker processes of its own."""
    settings = RewardConfig(recipe=recipe, encoder="hash", **config)  # type: ignore[arg-type]
    reward = REWARDS.setdefault(repr(settings), build_reward(settings))
    return reward(**rows(path, completions, gold)).values.tolist()


def test_every_named_recipe_exists() -> None:
    assert tuple(RECIPES) == RECIPE_NAMES


BASIC = [RIGHT[0], WRONG[0], FAILING[0], FAILING[3], REFUSED[0]]


@pytest.mark.parametrize(
    ("recipe", "style", "wrap", "expected"),
    [
        ("execution", "pocket", str, [1, 0, 0, 0, 0]),
        # Arctic: 1 / 0.1 / 0.
        ("arctic", "pocket", str, [1, 0.1, 0, 0, 0]),
        # SkyRL: bad format −1, else 1 or 0.
        ("skyrl", "pocket", str, [1, 0, 0, -1, -1]),
        ("skyrl", "reasoning", solved, [1, 0, 0, 0, 0]),
        ("skyrl", "reasoning", str, [-1, -1, -1, -1, -1]),
        # SQL-R1 without its length term: 1+2+3, 1+2−3, 1−2+0, bad format −1.
        ("sql_r1", "reasoning", reasoned, [6, 0, -1, -1, -1]),
        ("sql_r1", "reasoning", str, [-1, -1, -1, -1, -1]),
        ("sql_r1", "pocket", str, [6, 0, -1, -1, -1]),
    ],
)
def test_score_table(recipe: str, style: str, wrap: Any, expected: list[float], path: Path) -> None:
    weights = {"length": 0.0} if recipe == "sql_r1" else {}
    values = paid(recipe, path, [wrap(sql) for sql in BASIC], style=style, weights=weights)
    assert values == pytest.approx(expected)


def test_sql_r1_totals_with_length(path: Path) -> None:
    short, long = reasoned(GOLD), f"<think>{'hm ' * 2000}</think><answer>```sql\n{GOLD}\n```</answer>"
    values = paid("sql_r1", path, [short, long], style="reasoning")
    assert 6 < values[0] < values[1] <= 7.5, "the source pays verbosity"


def test_reasoning_sql_totals(path: Path) -> None:
    values = paid("reasoning_sql", path, [GOLD, WRONG[0], FAILING[3]])
    # 3 + 1 + 1 + 1 + 1; the near copy keeps syntax, linking and format, and most bigrams.
    assert values[0] == pytest.approx(7.0)
    assert 3.5 < values[1] < 4.0
    assert values[2] == pytest.approx(0.0)


def test_qatch_totals(path: Path) -> None:
    values = paid("qatch", path, [GOLD, WRONG[3], FAILING[0], "so: " + GOLD])
    assert values[0] == pytest.approx(1.0)
    assert 0.5 < values[1] < 1.0, "an extra column keeps most of the overlap"
    assert values[2] == pytest.approx(0.05)
    default = {"execution": 0.85, "partial": 0.0, "format": 0.15}
    assert paid("qatch", path, [GOLD, WRONG[3]], weights=default) == pytest.approx([1.0, 0.15])


@pytest.mark.parametrize("recipe", RECIPE_NAMES)
def test_what_cannot_be_judged_is_not_paid(recipe: str, path: Path) -> None:
    empty = "SELECT name FROM singer WHERE age > 900"
    assert math.isnan(paid(recipe, path, [empty.replace("900", "901")], gold=empty)[0]), "two empty results"
    for completion in (GOLD, "SELECT nosuch FROM singer", "DELETE FROM singer"):
        assert math.isnan(paid(recipe, path, [completion], gold="SELECT nosuch FROM singer")[0]), "the gold fails"
    tie = "SELECT name FROM singer ORDER BY country = 'France' DESC LIMIT 1"
    other = "SELECT name FROM singer WHERE name = 'Bob'"
    assert math.isnan(paid(recipe, path, [other], gold=tie)[0]), "another legal answer of a tie"


@pytest.mark.parametrize("recipe", RECIPE_NAMES)
def test_contract(recipe: str, path: Path) -> None:
    """Bounds, permutation, single = batch, row independence, determinism, pickling, NaN policy."""
    from common.rewards.check import check_reward

    columns = rows(path, [RIGHT[0], WRONG[0], WRONG[3], FAILING[0], REFUSED[0], RIGHT[2], "", RIGHT[0]])
    check_reward(build_reward(RewardConfig(recipe=recipe, encoder="hash")), columns)  # type: ignore[arg-type]


def test_pickled_reward_scores_alike(path: Path) -> None:
    reward = build_reward(RewardConfig(encoder="hash"))
    columns = rows(path, RIGHT + WRONG + FAILING)
    first = reward(**columns)
    second = pickle.loads(pickle.dumps(reward))(**columns)
    torch.testing.assert_close(first.values, second.values, equal_nan=True)
    assert first.parts.keys() == second.parts.keys() == reward(**rows(path, [GOLD])).parts.keys()
    assert len(pickle.dumps(reward)) < 20_000, "neither workers nor memory travel"


def test_one_execution_for_all_parts(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from apps.text2sql.parts import grading

    asked: list[int] = []
    judge_call = grading.Judge.__call__

    def counted(self: Any, databases: Any, golds: Any, preds: Any, **more: Any) -> Any:
        asked.append(len(preds))
        return judge_call(self, databases, golds, preds, **more)

    monkeypatch.setattr(grading.Judge, "__call__", counted)
    for recipe in ("contrastive", "reasoning_sql"):
        reward = build_reward(RewardConfig(recipe=recipe, encoder="hash"))  # type: ignore[arg-type]
        asked.clear()
        reward(**rows(path, [*RIGHT, *WRONG, *WRONG, *FAILING]))
        assert asked == [len({*RIGHT, *WRONG, *FAILING}) - 1], "'I do not know' and '' are one empty answer"
        reward(**rows(path, [*RIGHT, *WRONG]))
        assert len(asked) == 1, "the next step repeats what is known"


def test_a_gold_that_ran_out_of_time_is_tried_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def too_slow(self: Judge, *columns: Any, seen: Any, **_: Any) -> None:
        asked.append(columns)
        seen(0, Judgement(Verdict.GOLD_ERROR, "timeout", "gold: 2.1 s"))

    monkeypatch.setattr(Judge, "__call__", too_slow)
    grader = Grader()
    for _ in range(2):
        grader(rows(path, [GOLD]))
    assert len(asked) == 2


def test_a_changed_database_is_executed_again(tmp_path: Path) -> None:
    import sqlite3

    file = build(tmp_path)
    reward = build_reward(RewardConfig(recipe="execution"))
    query = "SELECT count(*) FROM singer WHERE age < 30"
    assert reward(**rows(file, [query], gold="SELECT 1")).values.tolist() == [1.0]
    connection = sqlite3.connect(file)
    connection.execute("INSERT INTO singer VALUES (7, 'Gil', 20, 'Peru')")
    connection.commit()
    connection.close()
    assert reward(**rows(file, [query], gold="SELECT 1")).values.tolist() == [0.0]


# --- the default recipe: no wrong query outscores a right one -------------------------------------------------------


class Fixed(Reward):
    """A part that pays what it is told, however wrong the query."""

    needs = ("completion",)

    def __init__(self, value: float) -> None:
        self.name = "fixed"
        self.value = value

    def score(self, **columns: Any) -> RewardOutput:
        return RewardOutput(torch.full((len(columns["completion"]),), self.value))


WEIGHT = st.floats(0, 1e6, allow_nan=False)
PART = st.sampled_from([0.0, 0.25, 1.0, NAN])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    weights=st.tuples(WEIGHT, WEIGHT, WEIGHT, WEIGHT),
    values=st.tuples(PART, PART),
    cap=st.floats(0, 0.9),
    right=st.sampled_from(RIGHT),
    wrong=st.sampled_from(WRONG),
    failing=st.sampled_from(FAILING),
    refused=st.sampled_from(REFUSED),
)
def test_order_holds_for_any_weights(
    path: Path,
    grader: Grader,
    weights: tuple[float, float, float, float],
    values: tuple[float, float],
    cap: float,
    right: str,
    wrong: str,
    failing: str,
    refused: str,
) -> None:
    parts: dict[str, tuple[Reward, float]] = {
        "generous": (Fixed(values[0]), weights[0]),
        "other": (Fixed(values[1]), weights[1]),
        "linking": (SchemaLinking(grader), weights[2]),
        "partial": (PartialResult(grader), weights[3]),
    }
    reward = ExecutionFirst(grader, parts, cap)
    good, bad, broken, hostile = reward(**rows(path, [right, wrong, failing, refused])).values.tolist()
    assert good == 1.0
    assert hostile <= broken == 0.0
    if math.isnan(bad):
        assert all(math.isnan(value) for value in values[:1] if weights[0]), "only where every weighted part failed"
    else:
        assert 0.0 <= bad <= cap + 1e-6
        assert bad <= good - 0.1 + 1e-6


@pytest.mark.parametrize("recipe", ["contrastive", "execution", "arctic"])
def test_layout_and_names_change_nothing(recipe: str, path: Path) -> None:
    for sql in (RIGHT[0], WRONG[0], WRONG[3]):
        variants = [
            sql,
            f"-- the best query ever\n{sql}",
            f"{sql} /* {sql} */",
            sql.replace(" ", "\n\t"),
            sql.replace("singer", "singer AS s").replace("name", "s.name").replace("age >", "s.age >"),
            f"{sql};",
            f"```sql\n{sql}\n```",
            f"Let me think. <think>SELECT 1</think><answer>```sql\n{sql}```</answer>",
        ]
        values = paid(recipe, path, variants)
        assert values == pytest.approx([values[0]] * len(variants), abs=1e-6), sql


def test_an_endless_query_costs_no_time_and_earns_no_name(path: Path) -> None:
    """sqlglot's resolver is quadratic and recursive; a model that repeats a condition must not stop the run."""
    endless = "SELECT name FROM singer WHERE " + " AND ".join(f"age > {number % 7}" for number in range(400))
    for recipe in ("contrastive", "reasoning_sql"):
        value = paid(recipe, path, [endless])[0]
        assert 0 < value < paid(recipe, path, [WRONG[0]])[0]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT count(*) FROM singer AS t2 JOIN concert AS t2",
        "SELECT count(*) FROM singer, singer",
        "SELECT 1 WHERE EXISTS (SELECT 1 FROM singer t JOIN concert t)",
    ],
)
def test_one_name_for_two_tables_is_scored_like_any_wrong_query(sql: str, path: Path) -> None:
    """SQLite runs these; sqlglot's resolver does not know what to make of them."""
    for recipe in RECIPE_NAMES:
        assert paid(recipe, path, [sql])[0] < paid(recipe, path, [GOLD])[0]


_WORDS = (
    "SELECT FROM WHERE JOIN ON AS GROUP BY ORDER LIMIT UNION IN NOT ( ) , . * = > 'France' 30 count max name age id "
    "singer concert year T1 T2 T1.name T2.year singer.id concert.singer_id"
)
_QUERY = (
    "SELECT T1.name , count(*) FROM singer AS T1 JOIN concert AS T2 ON T2.singer_id = T1.id "
    "WHERE T1.age > 30 AND T1.country = 'France' GROUP BY T1.id ORDER BY count(*) DESC LIMIT 3"
)
_TOKENS = st.sampled_from(_WORDS.split())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(cuts=st.lists(st.tuples(st.integers(0, 40), _TOKENS, st.booleans()), max_size=5))
def test_whatever_a_model_writes_is_scored(cuts: list[tuple[int, str, bool]], path: Path) -> None:
    words = _QUERY.split()
    for place, word, insert in cuts:
        where = place % len(words)
        words[where : where + (not insert)] = [word]
    for recipe in ("contrastive", "reasoning_sql"):
        assert all(math.isfinite(value) for value in paid(recipe, path, [" ".join(words)]))


def test_a_lucky_constant_is_wrong(path: Path) -> None:
    gold = "SELECT count(*) FROM singer"
    values = paid("contrastive", path, [gold, "SELECT 6", "SELECT count(*) + 0 FROM singer"], gold=gold)
    assert values[0] == values[2] == 1.0
    assert values[1] <= 0.3
    assert paid("contrastive", path, ["SELECT 6"], gold="SELECT 6") == [1.0]


def test_parts_and_caps_are_checked(grader: Grader) -> None:
    with pytest.raises(RewardError, match="cap"):
        ExecutionFirst(grader, {}, cap=0.95)
    with pytest.raises(RewardError, match="weight"):
        ExecutionFirst(grader, {"syntax": (Syntax(grader), -1.0)})
    negative = Fixed(0.0)
    negative.bounds = (-1.0, 1.0)
    with pytest.raises(RewardError, match="bounds"):
        ExecutionFirst(grader, {"fixed": (negative, 1.0)})


def test_unknown_names_say_what_is_near() -> None:
    with pytest.raises(UsageError, match="did you mean 'arctic'"):
        build_reward(RewardConfig(recipe="artic"))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="did you mean 'linking'"):
        build_reward(RewardConfig(weights={"linkin": 1.0}))
    with pytest.raises(UsageError, match="single part"):
        build_reward(RewardConfig(recipe="arctic", weights={"execution": 1.0}))
    with pytest.raises(UsageError, match="weight 0"):
        build_reward(RewardConfig(recipe="qatch", weights={"partial": 0.0, "format": 0.0}))


def test_a_reward_of_the_catalogue_in_the_recipes_place(path: Path) -> None:
    config = RewardConfig(own={"name": "token_f1", "reference": "gold"})
    assert config.title == "token_f1"
    assert build_reward(config)(completion=[GOLD, ""], gold=[GOLD, GOLD]).values.tolist() == [1.0, 0.0]
    learning = {"name": "history_quantile", "inner": {"name": "token_f1", "reference": "gold"}, "weight": 1.0}
    summed = build_reward(RewardConfig(own={"name": "weighted_sum", "parts": {"f1": learning}}))
    assert hasattr(summed, "load_state_dict"), "what a part learns goes into the checkpoints"
    with pytest.raises(UsageError, match="token_f1"):
        build_reward(RewardConfig(own={"name": "token_f2"}))


def test_recipes_are_not_compared_where_another_reward_stands_in_their_place() -> None:
    config = Text2SqlConfig(reward=RewardConfig(own={"name": "token_f1", "reference": "gold"}))
    config.comparison.recipes = ["execution", "contrastive"]
    with pytest.raises(UsageError, match="comparison"):
        run_train(config)
    with pytest.raises(UsageError, match="apps audit"):
        run_audit(config)
