"""A language model of 20 000 weights over letters, rows for it, and rewards that need no other part of the house."""

from __future__ import annotations

import math
from typing import Any

import torch

from common.rewards.base import Reward, RewardOutput

LETTERS = "abcdefghijklmnopqrstuvwxyz 0123456789"
TEMPLATE = (
    "{% for m in messages %}{% if m.role == 'user' %}<user>{{ m.content }}"
    "{% else %}<bot>{{ m.content }}<eos>{% endif %}{% endfor %}{% if add_generation_prompt %}<bot>{% endif %}"
)


def tokenizer(template: str | None = TEMPLATE) -> Any:
    """One token a letter; made in memory."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    special = ["<pad>", "<eos>", "<user>", "<bot>", "<unk>"]
    vocabulary = {token: number for number, token in enumerate([*special, *LETTERS])}
    made = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    made.decoder = decoders.Fuse()
    made.add_special_tokens(special)
    fast = PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>")
    fast.chat_template = template
    return fast


def model(seed: int = 0, layers: int = 2, hidden: int = 32) -> Any:
    """A Llama with random weights."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=48,
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=layers,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=None,
        initializer_range=0.3,
    )
    return LlamaForCausalLM(config)


def prompts(number: int) -> list[list[dict[str, str]]]:
    return [[{"role": "user", "content": f"say {LETTERS[row % 26]} {row}"}] for row in range(number)]


def grpo_rows(number: int = 12) -> Any:
    from datasets import Dataset

    return Dataset.from_list([{"prompt": p, "letter": LETTERS[row % 26]} for row, p in enumerate(prompts(number))])


def sft_rows(number: int = 12) -> Any:
    from datasets import Dataset

    rows = [
        {"prompt": p, "completion": [{"role": "assistant", "content": LETTERS[row % 26] * (1 + row % 4)}]}
        for row, p in enumerate(prompts(number))
    ]
    return Dataset.from_list(rows)


class LetterShare(Reward):
    """Share of the completion's characters that are letters before `n`: dense enough to learn from."""

    name = "letters"
    needs = ("completion", "letter")

    def score(self, **columns: Any) -> RewardOutput:
        values = [sum(c in "abcdefghijklm" for c in text) / max(len(text), 1) for text in columns["completion"]]
        return RewardOutput(torch.tensor(values), info={"reason": [f"said {len(t)}" for t in columns["completion"]]})


class FlatBonus(Reward):
    """0.1 for whatever contains an `a`, and 1 for what nobody says: the trap of paying for executable nonsense."""

    name = "bonus"
    needs = ("completion",)

    def score(self, **columns: Any) -> RewardOutput:
        values = [1.0 if text == "never said" else 0.1 * ("a" in text) for text in columns["completion"]]
        return RewardOutput(torch.tensor(values))


class SometimesBroken(LetterShare):
    """Cannot score completions of even length."""

    name = "broken"

    def score(self, **columns: Any) -> RewardOutput:
        values = super().score(**columns).values.clone()
        values[[len(text) % 2 == 0 for text in columns["completion"]]] = math.nan
        return RewardOutput(values)


class Counting(LetterShare):
    """Pays less from call to call: its scores depend on its state."""

    name = "counting"

    def __init__(self) -> None:
        self.calls = 0

    def score(self, **columns: Any) -> RewardOutput:
        self.calls += 1
        shrink = torch.linspace(1.0, 1.0 / self.calls, len(columns["completion"]))
        return RewardOutput(super().score(**columns).values * shrink)

    def state_dict(self) -> dict[str, Any]:
        return {"calls": self.calls}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.calls = state["calls"]


def weights(trained: Any) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in trained.state_dict().items()}


def same_weights(one: Any, other: Any) -> bool:
    a, b = weights(one), weights(other)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
