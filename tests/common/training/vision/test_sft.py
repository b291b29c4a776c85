"""Supervised fine-tuning of a Qwen-VL: the answer alone is scored, whatever pictures stand before it."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoProcessor, ProcessorMixin

from common.config import LanguageModelConfig, LoraConfig, SftConfig
from common.errors import UsageError
from common.models.vlm import VisionLanguageModel, VisualPrompt
from common.training import loop
from common.training.run import Run, last_checkpoint
from common.training.sft import run_sft
from common.training.vision.checks import fitting
from common.training.vision.models import load_vlm_for_training
from common.training.vision.sft import VisualCollator
from tests.common.training import tiny
from tests.common.training.vision import seeing


@pytest.fixture(autouse=True)
def _no_collection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of garbage, which takes a third of so short a run."""
    monkeypatch.setattr(loop, "settled_heap", contextlib.nullcontext)


def config(**changes: Any) -> SftConfig:
    settings = {"steps": 2, "batch_size": 4, "learning_rate": 3e-3, "warmup": 0.0, "max_length": 96}
    return SftConfig(**{**settings, **changes})


def go(run: Run, rows: Any = None, processor: Any = None, lora: LoraConfig | None = None, **changes: Any) -> Any:
    return run_sft(
        run,
        seeing.model(),
        processor or seeing.processor(),
        seeing.sft_rows() if rows is None else rows,
        config(**changes),
        None,
        lora,
    )


def with_pictures(rows: Any, images: list[Any]) -> Any:
    from datasets import Dataset, Features, Image, List

    features = Features({**rows.features, "images": List(Image())})
    return Dataset.from_list(
        [{**row, "images": one} for row, one in zip(rows, images, strict=True)], features=features
    )


def test_it_learns_what_it_sees_and_stops(new_run: Any) -> None:
    """One question, two pictures: the answer can only be seen."""
    rows = seeing.sft_rows(2)
    cells = [{**row, "prompt": seeing.prompt(0)} for row in rows]
    rows = with_pictures(type(rows).from_list(cells), [[seeing.picture(0)], [seeing.picture(9)]])
    run = new_run()
    model = go(run, rows, steps=40, batch_size=2, eval_every=40, save_every=30)
    processor = seeing.processor()
    asked = [VisualPrompt(row["prompt"], row["images"]) for row in rows]
    assert VisionLanguageModel.of(model, processor).generate(asked, 5) == [["a"], ["bb"]]
    shown = [json.loads(line) for line in (run.samples / "sft-000040.jsonl").read_text().splitlines()]
    assert [row["completion"] for row in shown] == ["a", "bb"]
    loaded, kept = load_vlm_for_training(LanguageModelConfig(path=str(run.final("sft"))))
    assert tiny.same_weights(loaded, model)
    assert kept.chat_template == processor.chat_template
    checkpoint = last_checkpoint(run, "sft")
    assert checkpoint is not None
    assert isinstance(AutoProcessor.from_pretrained(checkpoint), ProcessorMixin)


def test_only_the_answer_is_scored(new_run: Any) -> None:
    """The first loss is the mean negative log likelihood of the answers' tokens, their end included."""
    run, rows, model, processor = new_run(), seeing.sft_rows(4), seeing.model(), seeing.processor()
    go(run, rows, steps=1)
    losses = []
    for row in rows:
        inputs = seeing.encoded(processor, [row["prompt"]], [row["images"]])
        end = processor.tokenizer(row["completion"][0]["content"] + "<|im_end|>\n")["input_ids"]
        whole = torch.cat([inputs["input_ids"], torch.tensor([end])], 1)
        kinds = torch.nn.functional.pad(inputs["mm_token_type_ids"], (0, len(end)))
        pictures = {name: inputs[name] for name in ("pixel_values", "image_grid_thw") if name in inputs}
        logits = model(input_ids=whole, mm_token_type_ids=kinds, **pictures).logits[0, -len(end) - 1 : -1]
        losses.append(torch.nn.functional.cross_entropy(logits, torch.tensor(end), reduction="none"))
    assert run.rows()[0]["loss"] == pytest.approx(float(torch.cat(losses).detach().mean()), rel=1e-4)


def test_the_batch_is_the_one_that_trl_would_make() -> None:
    from trl.trainer.sft_trainer import DataCollatorForVisionLanguageModeling

    processor, rows = seeing.processor(), list(seeing.sft_rows(6))
    ours = VisualCollator(processor)(rows)
    theirs = DataCollatorForVisionLanguageModeling(processor, completion_only_loss=True)([dict(row) for row in rows])
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert torch.equal(tensor, theirs[name]), name
    assert not (ours["labels"] == processor.image_token_id).any()


def test_special_tokens_are_read_in_answers_alone() -> None:
    """An answer may be a box; a question that holds special tokens cannot end its own turn."""
    processor, (row,) = seeing.processor(), seeing.sft_rows(1)
    marked = "<|box_start|>(1,2)<|box_end|>"
    row["prompt"][0]["content"] = row["completion"][0]["content"] = marked
    batch = VisualCollator(processor)([row])
    for token in processor.tokenizer.convert_tokens_to_ids(["<|box_start|>", "<|box_end|>"]):
        assert (batch["input_ids"] == token).sum() == (batch["labels"] == token).sum() == 1


def test_batches_with_and_without_pictures(new_run: Any) -> None:
    rows = seeing.sft_rows(8)
    none = with_pictures(rows, [None] * 8)
    assert set(VisualCollator(seeing.processor())(list(none))) == {
        *("input_ids", "attention_mask", "labels", "mm_token_type_ids")
    }
    mixed = with_pictures(rows, [None, [], [seeing.picture(1)], [seeing.picture(2)] * 2] * 2)
    run = new_run("mixed")
    go(run, mixed, batch_size=1, gradient_accumulation=4, steps=2)
    assert all(row["loss"] > 0 for row in run.rows())
    without = new_run("without")
    assert tiny.same_weights(go(without, none), go(new_run("no column"), rows.remove_columns("images")))


def test_what_may_not_be_shared_goes_through_trl(new_run: Any) -> None:
    """LoRA: trl's own loss, from the same batch; at its first step the adapters add nothing."""
    plain, run = new_run("plain"), new_run("adapters")
    go(plain, steps=1)
    model = go(run, lora=LoraConfig(rank=2, alpha=4, dropout=0.0))
    assert run.rows()[0]["loss"] == pytest.approx(plain.rows()[0]["loss"], rel=1e-4)
    assert not tiny.same_weights(model, seeing.model())
    assert isinstance(AutoProcessor.from_pretrained(run.final("sft")), ProcessorMixin)


def test_rows_that_are_too_long_are_left_out_not_cut(new_run: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A picture that is cut has fewer tokens than patches, which stops trl in the middle of a run."""
    rows = seeing.sft_rows(4)
    mixed = with_pictures(rows, [[], [seeing.picture(1)], [seeing.picture(2, 112, 112)] * 9, []])
    kept = go(new_run("some"), mixed, max_length=64)
    assert "1 of 4 rows are longer than 64 tokens" in caplog.text
    assert tiny.same_weights(kept, go(new_run("short"), mixed.select([0, 1, 3]), max_length=64))


def test_the_length_of_a_row_is_known_before_its_pictures_are_decoded(tmp_path: Path) -> None:
    processor, rows = seeing.processor(), seeing.sft_rows(6)
    for row in range(6):
        length = VisualCollator(processor)([rows[row]])["input_ids"].shape[1]
        assert len(fitting("sft", processor, rows.select([row]), length)) == 1
        with pytest.raises(UsageError, match="every row is longer"):
            fitting("sft", processor, rows.select([row]), length - 1)
    seeing.picture(1).save(tmp_path / "a.png")
    files = rows.remove_columns("images").add_column("images", [[str(tmp_path / "a.png")]] * 6)
    assert len(VisualCollator(processor)([files[0]])["input_ids"][0]) < 96
    assert len(fitting("sft", processor, files, 96)) == 6
    with pytest.raises(UsageError, match=r"gone\.png"):
        fitting("sft", processor, files.remove_columns("images").add_column("images", [["gone.png"]] * 6), 96)
    with pytest.raises(UsageError, match="200 times"):
        fitting("sft", processor, with_pictures(rows, [[seeing.picture(1, 4100, 10)]] * 6), 1000)


def test_rows_and_templates_that_would_teach_nonsense_are_refused(new_run: Any) -> None:
    rows, processor = seeing.sft_rows(4), seeing.processor()
    with pytest.raises(UsageError, match="completions must be lists of messages"):
        go(new_run("a"), rows.remove_columns("completion").add_column("completion", ["x"] * 4))
    said = [[{"role": "assistant", "content": "a <|image_pad|>"}]] * 4
    with pytest.raises(UsageError, match="stands for a picture"):
        go(new_run("c"), rows.remove_columns("completion").add_column("completion", said))
    processor.chat_template = processor.chat_template.replace(
        "{{ '<|im_end|>\n' }}{% endgeneration %}", "{% endgeneration %}"
    )
    with pytest.raises(UsageError, match="never stop"):
        go(new_run("b"), processor=processor)
