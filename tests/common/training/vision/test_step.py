"""The prompt, and each picture, is read once; the numbers are those of transformers."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch

from common.config import LoraConfig
from common.models.decoding import sample
from common.models.language import peft_config
from common.models.vlm import VisionLanguageModel
from common.models.vlm_batch import Batch, forbidden_tokens, inner_model, see, tensors
from common.models.vlm_prompt import PromptReader, VisualPrompt
from common.training import grpo_step
from common.training.grpo_step import Sights
from tests.common.training.vision import seeing

ROWS = range(6)


def asked() -> list[VisualPrompt]:
    return [VisualPrompt(seeing.prompt(row), seeing.pictures(row)) for row in ROWS]


def pieces(model: Any, processor: Any, prompts: list[VisualPrompt], length: int) -> list[list[int]]:
    read = PromptReader(processor).encode(prompts)
    pad = processor.tokenizer.pad_token_id
    groups = sample(
        model,
        [row.ids for row in read],
        n=1,
        max_new_tokens=length,
        temperature=0.0,
        eos_ids=model.generation_config.eos_token_id,
        pad_id=pad,
        forbidden=forbidden_tokens(model),
        read=partial(Batch.of(read, model, pad).read, model),
    )
    return [group[0] for group in groups]


@pytest.mark.parametrize("family", seeing.FAMILIES)
def test_greedy_text_is_that_of_transformers(family: str) -> None:
    """Prompts with none, one and two pictures together, against transformers' answer to each alone."""
    model, processor = seeing.model(family).eval(), seeing.processor(family)
    prompts = asked()
    ours = pieces(model, processor, prompts, 12)
    for prompt, found in zip(prompts, ours, strict=True):
        inputs = seeing.encoded(processor, [prompt.messages], [list(prompt.pictures)])
        theirs = model.generate(**inputs, max_new_tokens=12, do_sample=False, suppress_tokens=forbidden_tokens(model))
        assert found == theirs[0, inputs["input_ids"].shape[1] :].tolist()
    assert len({tuple(found) for found in ours}) > 3


def test_answers_come_in_order_whatever_the_batches() -> None:
    model, processor = seeing.model(), seeing.processor()
    prompts, done = asked(), []
    vlm = VisionLanguageModel.of(model, processor, batch_size=2)
    small = vlm.generate(prompts, 6, progress=done.append)
    assert small == VisionLanguageModel.of(model, processor, batch_size=64).generate(prompts, 6)
    assert small == [vlm.generate([prompt], 6)[0] for prompt in prompts]
    assert done == [2, 2, 2]
    assert model.training


def test_picture_tokens_are_never_drawn() -> None:
    """One would ask for a picture that is not there, and the pass that scores it would stop the run."""
    model, processor = seeing.model().eval(), seeing.processor()
    forbidden = forbidden_tokens(model)

    def urge(module: Any, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        return output.index_fill(-1, torch.tensor(forbidden), 1e4)

    model.lm_head.register_forward_hook(urge)
    said = pieces(model, processor, asked(), 5)
    assert not {token for one in said for token in one} & set(forbidden)


@pytest.mark.parametrize("family", seeing.FAMILIES)
def test_a_picture_is_encoded_once_for_all_prompts(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, processor = seeing.model(family), seeing.processor(family)
    one, two = seeing.picture(1), seeing.picture(2, 84)
    several = [[one, two], [two], [one, one]]
    first, _, third = PromptReader(processor).encode([VisualPrompt(seeing.prompt(0), each) for each in several])
    patches = first.patches + third.patches
    encoded: list[int] = []
    inner = inner_model(model)
    own = inner.get_image_features

    def counted(pixel_values: Any, image_grid_thw: Any, **more: Any) -> Any:
        encoded.append(len(image_grid_thw))
        return own(pixel_values, image_grid_thw, **more)

    monkeypatch.setattr(inner, "get_image_features", counted)
    found = see(inner, patches)["mm_encoder_outputs"]["image"]
    assert encoded == [2]
    expected = own(**tensors(patches), return_dict=True)
    for mine, theirs in zip(found.pooler_output, expected.pooler_output, strict=True):
        torch.testing.assert_close(mine, theirs)
    assert see(inner, []) == {}


def batch(model: Any, processor: Any, generations: int = 3) -> tuple[Any, torch.Tensor, torch.Tensor, int, Sights]:
    """Three completions of each prompt, of unlike length, in no order; two prompts of the same words; one said twice.

    Also what transformers' forward takes for the same rows.
    """
    prompts = asked()
    prompts[4] = VisualPrompt(prompts[1].messages, [seeing.picture(9)])
    generator = torch.Generator().manual_seed(1)
    rows = [row for row in ROWS for _ in range(generations)]
    theirs = seeing.encoded(
        processor, [prompts[row].messages for row in rows], [prompts[row].pictures for row in rows]
    )
    words = torch.randint(14, 270, (len(rows), 7), generator=generator)
    mask = (torch.arange(7) <= torch.randint(0, 7, (len(rows), 1), generator=generator)).long()
    words[4], mask[4] = words[3], mask[3]
    theirs["input_ids"] = torch.cat([theirs["input_ids"], words * mask], 1)
    theirs["attention_mask"] = torch.cat([theirs["attention_mask"], mask], 1)
    kinds = theirs["mm_token_type_ids"]
    theirs["mm_token_type_ids"] = torch.cat([kinds, torch.zeros(words.shape, dtype=kinds.dtype)], 1)
    return theirs, words, mask, 7, Sights(PromptReader(processor).encode(prompts), torch.tensor(rows))


@pytest.mark.parametrize(
    ("family", "adapters"), [*((family, False) for family in seeing.FAMILIES), ("qwen2_5_vl", True)]
)
def test_log_probabilities_and_gradient_are_those_of_a_plain_pass(family: str, adapters: bool) -> None:
    from peft import get_peft_model
    from trl.trainer.utils import add_fused_lm_head

    model, processor = seeing.model(family), seeing.processor(family)
    inputs, words, mask, length, sights = batch(model, processor)
    if adapters:
        model = get_peft_model(model, peft_config(LoraConfig(rank=2, dropout=0.0)))
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter, std=0.1)
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    weight = torch.randn(words.shape, generator=torch.Generator().manual_seed(2)) * mask

    logits = model(**inputs).logits[:, -length - 1 : -1] / 0.7
    plain, plain_entropy = grpo_step.of_logits(logits, words.masked_fill(mask == 0, -100))
    expected = torch.autograd.grad((plain * weight).sum(), list(trained.values()), allow_unused=True)
    add_fused_lm_head(model.get_base_model() if adapters else model, temperature=0.7, outputs=("log_probs", "entropy"))
    order = torch.randperm(len(words), generator=torch.Generator().manual_seed(3))
    found, entropy = grpo_step.shared_prompt_log_probs(
        model,
        inputs["input_ids"][order],
        inputs["attention_mask"][order],
        length,
        True,
        sights=Sights(sights.prompts, sights.of_row[order]),
    )
    assert entropy is not None
    torch.testing.assert_close(found, plain[order], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(entropy, plain_entropy[order], atol=1e-4, rtol=1e-4)
    gradient = torch.autograd.grad((found * weight[order]).sum(), list(trained.values()), allow_unused=True)
    seen = 0
    for name, mine, theirs in zip(trained, gradient, expected, strict=True):
        assert (mine is None) == (theirs is None), name
        if mine is not None and theirs is not None:
            seen += "visual" in name and bool(theirs.abs().sum() > 0)
            assert (mine - theirs).norm() <= 1e-3 * theirs.norm() + 1e-4, name
    assert seen > 0
