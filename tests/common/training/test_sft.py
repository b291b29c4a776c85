"""Supervised fine-tuning: the answer alone is scored, and rows that would teach nonsense are refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch

from common.config import LanguageModelConfig, LoraConfig, SftConfig
from common.errors import UsageError
from common.models.language import generate, load_language_model
from common.training.sft import run_sft
from tests.common.training import tiny


def config(**changes: Any) -> SftConfig:
    settings = {"steps": 2, "batch_size": 4, "learning_rate": 1e-2, "warmup": 0.0, "max_length": 64}
    return SftConfig(**{**settings, **changes})


def go(run: Any, rows: Any = None, tokenizer: Any = None, lora: LoraConfig | None = None, **changes: Any) -> Any:
    return run_sft(
        run,
        tiny.model(),
        tokenizer or tiny.tokenizer(),
        tiny.sft_rows() if rows is None else rows,
        config(**changes),
        None,
        lora,
    )


def test_it_learns_to_answer_and_to_stop(new_run: Any) -> None:
    run, rows = new_run(), tiny.sft_rows(6)
    model = go(run, rows, steps=60, batch_size=6, eval_every=30)
    answers = generate(model, tiny.tokenizer(), list(rows["prompt"]), max_new_tokens=12)
    assert [answer[0] for answer in answers] == [row["completion"][0]["content"] for row in rows]
    said = [json.loads(line) for line in (run.samples / "sft-000060.jsonl").read_text().splitlines()]
    assert [row["completion"] for row in said] == [row["reference"] for row in said]
    loaded, tokenizer = load_language_model(LanguageModelConfig(path=str(run.final("sft"))))
    assert tiny.same_weights(loaded, model)
    assert tokenizer.chat_template == tiny.TEMPLATE


def test_only_the_answer_is_scored(new_run: Any) -> None:
    """The first loss is the mean negative log likelihood of the answers' tokens, their end included."""
    run, rows, tokenizer, model = new_run(), tiny.sft_rows(4), tiny.tokenizer(), tiny.model()
    go(run, rows, steps=1)
    losses = []
    for row in rows:
        prompt = tokenizer.apply_chat_template(row["prompt"], add_generation_prompt=True)["input_ids"]
        whole = tokenizer.apply_chat_template(row["prompt"] + row["completion"])["input_ids"]
        logits = model(torch.tensor([whole])).logits[0, len(prompt) - 1 : -1]
        losses.append(torch.nn.functional.cross_entropy(logits, torch.tensor(whole[len(prompt) :]), reduction="none"))
    assert run.rows()[0]["loss"] == pytest.approx(float(torch.cat(losses).detach().mean()), rel=1e-4)


def test_a_model_stopped_early_keeps_the_longer_schedule(new_run: Any) -> None:
    short, whole = new_run("short"), new_run("whole")
    go(short, steps=3, schedule=6)
    go(whole, steps=6)
    rates = [[row["learning_rate"] for row in run.rows("sft")] for run in (short, whole)]
    assert rates[0] == rates[1][:3]
    assert rates[0][-1] > rates[1][-1]
    with pytest.raises(UsageError, match="end before training does"):
        go(new_run("wrong"), steps=3, schedule=2)


def test_rows_that_are_too_long_are_left_out_not_cut(new_run: Any, caplog: pytest.LogCaptureFixture) -> None:
    short, mixed = tiny.sft_rows(4), tiny.sft_rows(5)
    cells = mixed.to_list()
    cells[4]["completion"][0]["content"] = "a" * 60
    mixed = type(mixed).from_list(cells)
    assert tiny.same_weights(go(new_run("mixed"), mixed), go(new_run("short"), short))
    assert "1 of 5 rows are longer than 64 tokens" in caplog.text
    with pytest.raises(UsageError, match="every row is longer"):
        go(new_run("none"), mixed, max_length=3)


def test_a_template_that_never_ends_the_answer_is_refused(new_run: Any) -> None:
    with pytest.raises(UsageError, match="never stop"):
        go(new_run(), tokenizer=tiny.tokenizer(tiny.TEMPLATE.replace("<eos>", "")))


def test_texts_get_their_end_from_trl(new_run: Any) -> None:
    from datasets import Dataset

    rows = Dataset.from_list([{"prompt": f"say {letter}:", "completion": letter * 3} for letter in "abcd"])
    tokenizer = tiny.tokenizer(template=None)
    model = go(new_run(), rows, tokenizer, steps=60)
    assert generate(model, tokenizer, ["say a:", "say d:"], max_new_tokens=9) == [["aaa"], ["ddd"]]


def test_wrong_rows_and_settings_are_explained(new_run: Any) -> None:
    rows = tiny.sft_rows()
    with pytest.raises(UsageError, match="missing: completion"):
        go(new_run("a"), rows.remove_columns("completion"))
    with pytest.raises(UsageError, match="no training rows"):
        go(new_run("b"), rows.select([]))
    with pytest.raises(UsageError, match="no chat template"):
        go(new_run("c"), tokenizer=tiny.tokenizer(template=None))
    with pytest.raises(UsageError, match="neftune_noise_alpha"):
        go(new_run("d"), extra={"neftune_noise_alfa": 5})
    with pytest.raises(UsageError, match=r"set sft\.max_length instead"):
        go(new_run("e"), extra={"max_length": 5})


def test_adapters_are_merged_and_kept_apart_too(new_run: Any) -> None:
    run, base = new_run(), tiny.model()
    model = go(run, lora=LoraConfig(rank=2, alpha=4))
    assert type(model) is type(base)
    assert torch.equal(model.get_input_embeddings().weight, base.get_input_embeddings().weight)
    assert not tiny.same_weights(model, base)
    assert (run.stage("sft") / "adapter" / "adapter_model.safetensors").is_file()


def test_sft_raises_no_alarm_for_what_it_is_there_to_do(new_run: Any) -> None:
    run = new_run()
    go(run, steps=40)
    assert run.rows()[-1]["loss"] < 0.5 * run.rows()[0]["loss"]
    assert run.rows()[-1]["mean_token_accuracy"] > run.rows()[0]["mean_token_accuracy"]
    assert run.alarms() == []
