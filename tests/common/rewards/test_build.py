"""Rewards from configs: nested specs, errors that name the nearest name, a user's own classes and functions."""

from __future__ import annotations

import json
import math
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch

from common.errors import DataError, RewardError, UsageError
from common.rewards.__main__ import APP
from common.rewards.base import Reward, RewardOutput
from common.rewards.build import build, read
from common.rewards.compose import WeightedSum
from common.rewards.foreign import ForeignReward
from common.rewards.scoring import batches
from common.rewards.text import TokenF1
from common.rewards.transforms import GroupMinMax
from tests.common.rewards.toy import Column

HERE = "tests.common.rewards.test_build"
ROWS = {"completion": ["a b", "c"], "reference": ["a b", "a b"]}


class Longest(Reward):
    """A reward of a user's own."""

    def __init__(self, most: int, name: str = "longest") -> None:
        self.most = most
        self.name = name

    def score(self, **columns: Any) -> RewardOutput:
        return RewardOutput(torch.tensor([float(len(text) <= self.most) for text in columns["completion"]]))


def share(completions, reference, **kwargs):
    """A reward function as trl takes it."""
    return [None if not right else float(said == right) for said, right in zip(completions, reference, strict=True)]


def chat(completions, prompts, log_metric):
    log_metric("seen", 1.0)
    return [float(one[0]["content"] == prompt) for one, prompt in zip(completions, prompts, strict=True)]


async def later(completions, scale=1.0):
    return [scale * len(text) for text in completions]


def penalty(most):
    def count(completions, **kwargs):
        return [-float(len(text) > most) for text in completions]

    return count


def broken(completions, **kwargs):
    return [0.5]


def test_fields_and_own_names_reach_the_class() -> None:
    reward = build({"name": "token_f1", "reference": "gold", "as": "answer"})
    assert isinstance(reward, TokenF1)
    assert (reward.name, reward.needs) == ("answer", ("completion", "gold"))


def test_specs_nest_in_fields_mappings_and_lists() -> None:
    reward = build(
        {
            "name": "weighted_sum",
            "as": "total",
            "parts": {
                "answer": {"name": "group_minmax", "inner": {"name": "token_f1"}, "weight": 0.75},
                "form": {"name": "product", "factors": [{"name": "template_format", "tags": ["a"]}]},
            },
        }
    )
    assert isinstance(reward, WeightedSum)
    assert isinstance(reward.children["answer"], GroupMinMax)
    assert (reward.name, reward.weights) == ("total", {"answer": 0.75, "form": 1.0})


def test_what_is_built_pickles_and_scores() -> None:
    reward = build({"name": "affine", "scale": 2, "inner": {"name": "token_f1"}})
    assert pickle.loads(pickle.dumps(reward))(**ROWS).values.tolist() == [2.0, 0.0]


def test_fields_of_a_base_class_are_known() -> None:
    reward = build({"name": "history_sigmoid", "inner": {"name": "token_f1"}, "warmup": 3, "slope": 1.0})
    assert (reward.warmup, reward.slope) == (3, 1.0)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"name": "token_f2"}, "reward: there is no reward 'token_f2'; did you mean 'token_f1'?"),
        ({"name": "token_f1", "refrence": "gold"}, r"unknown field 'refrence'; did you mean 'reference'\?"),
        ({"name": "token_f1", "weight": 2}, "unknown field 'weight'"),
        ({"name": "history_sigmoid", "inner": {"name": "token_f1"}, "windw": 3}, "did you mean 'window'"),
        ({"name": "encoder_similarity"}, "the field 'encoder' is missing"),
        ({"name": "affine", "inner": {"name": "token_f1", "nmae": 1}}, r"reward.inner \(token_f1\): unknown field"),
        ({"name": "weighted_sum", "parts": {"a": {"name": "tokn_f1"}}}, r"reward.parts.a.*token_f1"),
        ({"name": "weighted_sum", "parts": {"a": {"name": "token_f1", "weight": "1"}}}, "weight is a number"),
        ({"name": "weighted_sum", "parts": {"a": 1}}, "`weight` beside its `name`"),
        ({"name": "rescale", "inner": {"name": "token_f1"}, "low": 1, "high": 0}, "cannot rescale"),
        ({"name": "rescale", "inner": {"name": "token_f1"}, "low": "x", "high": 0}, "a value that it cannot use"),
        ({"name": "affine", "inner": "token_f1"}, "a value that it cannot use"),
        ({"name": ["token_f1"]}, "`name` is a text"),
        ({"reference": "gold"}, "has no `name`"),
        ({"name": "endpoint", "url": "http://x"}, "no reward itself"),
        ({"name": "absent.module:thing"}, "cannot import"),
        ({"name": f"{HERE}:Longst", "most": 1}, "did you mean 'Longest'"),
        ({"name": f"{HERE}:Longest"}, "the field 'most' is missing"),
        ({"name": f"{HERE}:share", "bound": [0, 1]}, "did you mean 'bounds'"),
        ({"name": f"{HERE}:ROWS"}, "neither a Reward nor a function"),
        ({"name": "endpoint", "as": "x"}, "says nothing"),
    ],
)
def test_errors_say_where_and_what_is_meant(spec: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build(spec)


class TestForeign:
    def test_a_class_of_the_users_own(self) -> None:
        reward = build({"name": f"{HERE}:Longest", "most": 2, "as": "short"})
        assert reward.name == "short"
        assert reward(completion=["ab", "abc"]).values.tolist() == [1.0, 0.0]

    def test_a_trl_function(self) -> None:
        reward = build({"name": f"{HERE}:share"})
        assert isinstance(reward, ForeignReward)
        assert (reward.name, reward.needs) == ("share", ("completion", "reference"))
        twin = pickle.loads(pickle.dumps(reward))
        output = twin(completion=["a", "b", "c"], reference=["a", "x", None], further=[1, 2, 3])
        assert output.values.tolist()[:2] == [1.0, 0.0]
        assert math.isnan(output.values[2])
        assert "no number" in output.info["reason"][2]

    def test_prompts_chats_and_logs_come_as_trl_hands_them_over(self) -> None:
        reward = build({"name": f"{HERE}:chat", "conversational": True})
        assert reward.needs == ("completion", "prompt")
        assert reward(completion=["a", "b"], prompt=["a", "a"], other=[1, 2]).values.tolist() == [1.0, 0.0]

    def test_a_coroutine_with_settings_and_a_range(self) -> None:
        reward = build({"name": f"{HERE}:later", "settings": {"scale": 2.0}, "bounds": [0, 100]})
        assert reward(completion=["a", "abc"]).values.tolist() == [2.0, 6.0]
        assert reward.bounds == (0.0, 100.0)

    def test_a_factory_is_called_and_its_closure_pickles(self) -> None:
        reward = build({"name": f"{HERE}:penalty", "factory": {"most": 1}, "bounds": [-1, 0]})
        assert pickle.loads(pickle.dumps(reward))(completion=["a", "ab"]).values.tolist() == [0.0, -1.0]

    def test_a_value_outside_the_declared_range_raises(self) -> None:
        with pytest.raises(RewardError, match=r"gave row 1 3, outside \(0.0, 1.0\); declare its range"):
            build({"name": f"{HERE}:later"})(completion=["a", "abc"])

    def test_a_wrong_number_of_values_raises(self) -> None:
        with pytest.raises(RewardError, match="1 values for 2 rows"):
            build({"name": f"{HERE}:broken"})(completion=["a", "b"])

    def test_trls_own_functions(self) -> None:
        reward = build({"name": "trl.rewards:think_format_reward", "conversational": True, "as": "think"})
        texts = ["<think>\nso\n</think>\nyes", "yes"]
        assert reward(completion=texts).values.tolist() == [1.0, 0.0]


class TestFiles:
    def test_a_file_is_read(self, tmp_path: Path) -> None:
        file = tmp_path / "r.yaml"
        file.write_text("reward: {name: token_f1}\n")
        assert read(file)(**ROWS).values.tolist() == [1.0, 0.0]

    @pytest.mark.parametrize(
        ("text", "error", "message"),
        [
            ("reward: {name: tokn_f1}", UsageError, "r.yaml: reward: there is no reward 'tokn_f1'"),
            ("rewrd: {name: token_f1}", UsageError, "unknown key 'rewrd'; did you mean 'reward'"),
            ("example: {}", DataError, "has no block `reward:`"),
            ("- 1", DataError, "holds list"),
            ("reward: [", DataError, "cannot be read as YAML"),
            ("reward: !!python/object/apply:os.system ['true']", DataError, "cannot be read as YAML"),
        ],
    )
    def test_a_bad_file_is_told(self, tmp_path: Path, text: str, error: type[Exception], message: str) -> None:
        file = tmp_path / "r.yaml"
        file.write_text(text)
        with pytest.raises(error, match=message):
            read(file)

    def test_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="no such file"):
            read(tmp_path / "absent.yaml")


class TestScore:
    def run(self, tmp_path: Path, spec: str, rows: list[dict[str, Any]], *more: str) -> tuple[int, list[dict]]:
        (tmp_path / "r.yaml").write_text(f"reward: {spec}\n")
        (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        out = tmp_path / "out.jsonl"
        code = APP.main(
            ["score", str(tmp_path / "r.yaml"), "--rows", str(tmp_path / "rows.jsonl"), "--out", str(out), *more]
        )
        return code, [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []

    def test_rows_come_back_in_order_with_what_they_had(self, tmp_path: Path) -> None:
        rows = [
            {"completion": "a b", "reference": "a b", "id": 7},
            {"completion": "a", "id": 8},
            {"completion": "", "reference": "a"},
            {"completion": "a", "reference": ""},
        ]
        code, scored = self.run(tmp_path, "{name: token_f1}", rows, "--batch", "1")
        assert code == 0
        assert [row["reward"] for row in scored] == [1.0, None, 0.0, None]
        assert scored[0] == {**rows[0], "reward": 1.0, "parts": {}, "reason": ""}
        assert "no field 'reference'" in scored[1]["reason"]
        assert "reference is empty" in scored[3]["reason"]

    def test_parts_and_their_reasons(self, tmp_path: Path) -> None:
        spec = "{name: weighted_sum, parts: {f: {name: token_f1}, t: {name: template_format, tags: [a]}}}"
        _, scored = self.run(tmp_path, spec, [{"completion": "x", "reference": "x"}])
        assert scored[0]["parts"] == {"f": 1.0, "t": 0.0}
        assert scored[0]["reason"] == "t: expected a, each once"

    def test_groups_are_scored_together_wherever_their_rows_stand(self, tmp_path: Path) -> None:
        spec = "{name: group_minmax, inner: {name: token_f1}}"
        rows = [
            {"completion": text, "reference": "a b", "group": group}
            for text, group in [("a b", "x"), ("q", "y"), ("a", "x"), ("a b", "y")]
        ]
        _, scored = self.run(tmp_path, spec, rows, "--batch", "1")
        assert [row["reward"] for row in scored] == [1.0, 0.0, 0.0, 1.0]

    def test_a_batch_is_as_large_as_asked_where_groups_allow(self) -> None:
        reward = Column("a")
        assert list(batches(reward, {}, [1, 2, 3, 4, 5], 2)) == [[1, 2], [3, 4], [5]]
        reward.needs = ("a", "group")
        rows = {number: {"group": group} for number, group in enumerate("aabbbc")}
        assert list(batches(reward, rows, list(rows), 3)) == [[0, 1], [2, 3, 4], [5]]

    def test_a_field_of_the_wrong_kind_is_told(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        code, _ = self.run(tmp_path, "{name: token_f1}", [{"completion": 7, "reference": "a"}])
        assert code == 1
        assert "cannot use a field of these rows" in capsys.readouterr().err

    @pytest.mark.parametrize("bad", [7, [7]])
    def test_the_row_with_it_is_named(self, tmp_path: Path, capsys: pytest.CaptureFixture[str], bad: Any) -> None:
        rows = [{"completion": "a", "reference": one} for one in ("a", "b", bad, "d")]
        code, _ = self.run(tmp_path, "{name: token_f1}", rows)
        assert code == 1
        assert "row 3: " in capsys.readouterr().err

    def test_the_summary_counts(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.run(tmp_path, "{name: token_f1}", [{"completion": "a", "reference": "a"}] * 3, "--json")
        told = json.loads(capsys.readouterr().out)
        assert (told["rows"], told["scored"]) == (3, 3)

    def test_no_batch(self, tmp_path: Path) -> None:
        assert self.run(tmp_path, "{name: token_f1}", [{}], "--batch", "0")[0] == 2


def test_describe_shows_formula_and_fields(capsys: pytest.CaptureFixture[str]) -> None:
    assert APP.main(["describe", "token_f1"]) == 0
    said = capsys.readouterr().out
    assert "2PR / (P + R)" in said
    assert "reference: 'str' = 'reference'" in said
    assert "configs/rewards/token-f1.yaml" in said
    assert APP.main(["describe", "token_f2"]) == 2
