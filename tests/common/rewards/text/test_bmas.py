from __future__ import annotations

import math
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from common.errors import DataError, UsageError
from common.models.text import NgramEncoder
from common.rewards.check import check_reward
from common.rewards.text.bmas import Bmas, EmbeddingTable, WordVectors, bmas, read_table

WORDS = {"left": 0, "right": 1, "lobe": 2, "no": 3}


class Tokenizer:
    """Known words only."""

    def __call__(self, text: str, **_: Any) -> dict[str, list[int]]:
        return {"input_ids": [WORDS[word] for word in text.split() if word in WORDS]}


def model() -> Any:
    table = torch.tensor([[1.0, 0.0, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 5.0], [-1.0, 0.0, 0.0]])
    return SimpleNamespace(get_input_embeddings=lambda: SimpleNamespace(weight=table))


def test_the_formula_by_hand() -> None:
    left, right = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([[0.6, 0.8]])
    assert bmas(left, right) == pytest.approx((0.5 * (0.6 + 0.8) + 0.8) / 2)


rows = st.lists(st.lists(st.floats(-2, 2, width=32), min_size=3, max_size=3), min_size=1, max_size=5)


@settings(max_examples=60, deadline=None)
@given(rows, rows, st.randoms())
def test_symmetric_bounded_and_blind_to_order(left: list[list[float]], right: list[list[float]], random: Any) -> None:
    one, other = torch.tensor(left), torch.tensor(right)
    value = bmas(one, other)
    assert -1.0 - 1e-5 <= value <= 1.0 + 1e-5
    assert bmas(other, one) == pytest.approx(value, abs=1e-5)
    order = random.sample(range(len(left)), len(left))
    assert bmas(one[order], other) == pytest.approx(value, abs=1e-5)


def test_with_a_models_own_table() -> None:
    reward = Bmas(EmbeddingTable(model(), Tokenizer()))
    output = reward(
        completion=["left lobe", "lobe left left", "right lobe", "no", "", "unknown", "left"],
        reference=["left lobe"] * 6 + [""],
    )
    values = output.values.tolist()
    assert values[:3] == pytest.approx([1.0, 1.0, 0.8])
    assert values[3] == 0.0, "opposite vectors are cut at 0"
    assert values[4:6] == [0.0, 0.0]
    assert math.isnan(values[6])
    assert output.info["reason"][4]
    assert output.info["reason"][6]


def test_the_table_does_not_move_with_the_policy() -> None:
    policy = model()
    reward = Bmas(EmbeddingTable(policy, Tokenizer()))
    policy.get_input_embeddings().weight.zero_()
    assert reward(completion=["left"], reference=["left"]).values.item() == pytest.approx(1.0)
    assert pickle.loads(pickle.dumps(reward))(completion=["left"], reference=["left"]).values.item() > 0.99


def test_a_model_object_needs_its_tokenizer() -> None:
    with pytest.raises(UsageError, match="tokenizer"):
        EmbeddingTable(model())


def test_only_the_table_is_read_from_a_folder(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    table = torch.arange(12.0).reshape(4, 3)
    save_file({"lm_head.weight": torch.ones(4, 3)}, tmp_path / "model-00001-of-00002.safetensors")
    save_file(
        {"model.language_model.embed_tokens.weight": table.half()}, tmp_path / "model-00002-of-00002.safetensors"
    )
    assert torch.equal(read_table(tmp_path), table)
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(DataError, match="embed_tokens"):
        read_table(tmp_path)
    with pytest.raises(UsageError, match="safetensors"):
        read_table(tmp_path / "nowhere")


def test_a_table_that_holds_no_numbers_is_the_graders_fault() -> None:
    class Broken:
        def vectors(self, text: str) -> Tensor:
            return torch.full((2, 3), math.nan)

    output = Bmas(Broken())(completion=["a"], reference=["b"])
    assert output.values.isnan().all()
    assert "number" in output.info["reason"][0]


@pytest.mark.parametrize("encoder", ["hash", NgramEncoder(buckets=512)], ids=["hash", "ngram"])
def test_words_through_any_encoder(encoder: Any) -> None:
    reward = Bmas(WordVectors(encoder, remembered=4))
    columns = {
        "completion": ["kidney stone", "stone in the kidney", "fracture", "stones"],
        "reference": ["kidney stone", ["nothing", "kidney stone"], "kidney stone", "kidney stone"],
    }
    values = reward(**columns).values.tolist()
    assert values[0] == pytest.approx(1.0)
    assert values[0] > values[1] > values[2]
    check_reward(reward, columns)
