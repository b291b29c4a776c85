"""Token credit on a tiny causal model, against sums worked out by hand; and preference pairs."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from common.errors import RewardError
from common.rewards.transforms.token_credit import contrastive_token_rewards, spread

NAN = math.nan


@pytest.fixture(scope="module")
def model() -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=17,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        initializer_range=0.5,
    )
    return LlamaForCausalLM(config).eval()


def by_hand(model: Any, prompt: list[int], ids: list[int]) -> torch.Tensor:
    """Log-probability of each id, one forward a token, without padding."""
    found = []
    for at, token in enumerate(ids):
        logits = model(input_ids=torch.tensor([[*prompt, *ids[:at]]])).logits[0, -1]
        found.append(float(logits.log_softmax(-1)[token]))
    return torch.tensor(found)


BETTER, WORSE = [[1, 2, 3], [4]], [[5], [6, 7, 8, 9]]
IDS = torch.tensor([[3, 11, 2], [16, 5, 0]])
MASK = torch.tensor([[1, 1, 1], [1, 1, 0]])


class TestContrast:
    def test_as_worked_out_token_by_token(self, model: Any) -> None:
        found = contrastive_token_rewards(model, IDS, BETTER, WORSE, MASK)
        for row, length in enumerate((3, 2)):
            ids = IDS[row, :length].tolist()
            with torch.no_grad():
                gap = by_hand(model, BETTER[row], ids) - by_hand(model, WORSE[row], ids)
            assert found[row, :length].tolist() == pytest.approx((gap.sigmoid() - 0.5).tolist(), abs=1e-5)
        assert found[1, 2] == 0.0
        assert found.abs().max() <= 0.5
        assert found.abs().max() > 0.01, "the prompts make a difference to this model"

    def test_padding_and_company_change_nothing(self, model: Any) -> None:
        whole = contrastive_token_rewards(model, IDS, BETTER, WORSE, MASK)
        alone = contrastive_token_rewards(model, IDS[1:, :2], BETTER[1:], WORSE[1:])
        assert whole[1, :2].tolist() == pytest.approx(alone[0].tolist(), abs=1e-5)
        junk = torch.where(MASK.bool(), IDS, 9)
        assert torch.equal(contrastive_token_rewards(model, junk, BETTER, WORSE, MASK), whole)

    def test_equal_prompts_say_nothing_and_swapped_ones_the_reverse(self, model: Any) -> None:
        assert contrastive_token_rewards(model, IDS, BETTER, BETTER, MASK).abs().max() < 1e-6
        one = contrastive_token_rewards(model, IDS, BETTER, WORSE, MASK)
        assert torch.allclose(one, -contrastive_token_rewards(model, IDS, WORSE, BETTER, MASK), atol=1e-6)
        assert not one.requires_grad

    def test_what_does_not_belong_together_raises(self, model: Any) -> None:
        with pytest.raises(RewardError, match="one a row"):
            contrastive_token_rewards(model, IDS, BETTER[:1], WORSE)
        with pytest.raises(RewardError, match="row 1 has an empty prompt"):
            contrastive_token_rewards(model, IDS, [[1], []], WORSE)
        with pytest.raises(RewardError, match="mask"):
            contrastive_token_rewards(model, IDS, BETTER, WORSE, MASK[:, :2])


class TestSpread:
    def test_truth_table(self) -> None:
        rewards = torch.tensor([1.0, NAN, 0.5])
        tokens = torch.tensor([[0.0, 0.0, 0.0], [0.1, 0.2, 0.3], [0.0, math.log(3), 9.0]])
        mask = torch.tensor([[1, 1, 1], [1, 1, 0], [1, 1, 0]])
        found = spread(rewards, tokens, mask)
        assert found[0].tolist() == pytest.approx([1.0, 1.0, 1.0])
        assert found[1].isnan().tolist() == [True, True, False]
        assert found[2].tolist() == pytest.approx([0.25, 0.75, 0.0])
        assert spread(rewards, tokens, mask, "add")[2].tolist() == pytest.approx([0.5, 0.5 + math.log(3), 0.0])

    @given(st.floats(-5, 5), st.lists(st.floats(-0.5, 0.5), min_size=1, max_size=6), st.integers(0, 3))
    def test_the_mean_over_the_tokens_is_the_reward(self, reward: float, tokens: list[float], padding: int) -> None:
        row = torch.tensor([tokens + [7.0] * padding])
        mask = torch.tensor([[True] * len(tokens) + [False] * padding])
        found = spread(torch.tensor([reward]), row, mask)
        assert float(found.sum()) / len(tokens) == pytest.approx(reward, abs=1e-5)

    def test_no_tokens_and_no_mode(self) -> None:
        assert spread(torch.tensor([1.0]), torch.zeros(1, 2), torch.zeros(1, 2)).tolist() == [[0.0, 0.0]]
        with pytest.raises(RewardError, match="share"):
            spread(torch.tensor([1.0]), torch.zeros(1, 2), mode="even")  # type: ignore[arg-type]
