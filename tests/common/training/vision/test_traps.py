"""What trl 1.16 lets pass, or finds out about too late, where pictures are trained on: each trap and its guard."""

from __future__ import annotations

import contextlib
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoProcessor, PreTrainedTokenizerBase, ProcessorMixin

from common.config import GrpoConfig, LanguageModelConfig, SftConfig
from common.errors import GraderFailure, RewardError, UsageError
from common.models.small_vlm import save_small_vlm
from common.models.vlm_batch import forbidden_tokens
from common.models.vlm_folder import load_processor
from common.rewards import WeightedSum
from common.training import grpo, loop
from common.training.grpo import run_grpo
from common.training.sft import run_sft
from common.training.vision.models import bounded, load_vlm_for_training
from common.training.vision.processor_files import ProcessorFiles
from tests.common.training import tiny
from tests.common.training.test_grpo import Constant
from tests.common.training.vision import seeing


@pytest.fixture(autouse=True)
def _no_collection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of garbage, which takes a third of so short a run."""
    monkeypatch.setattr(loop, "settled_heap", contextlib.nullcontext)


def go(
    run: Any, reward: Any = None, model: Any = None, processor: Any = None, rows: Any = None, **changes: Any
) -> Any:
    settings = {"steps": 1, "prompts_per_step": 2, "generations": 4, "learning_rate": 1e-3, "max_completion_length": 5}
    return run_grpo(
        run,
        model if model is not None else seeing.model(),
        processor or seeing.processor(),
        rows if rows is not None else seeing.grpo_rows(6),
        reward or tiny.LetterShare(),
        GrpoConfig(**{**settings, **changes}),
    )


# --- rows


def test_rows_that_trl_would_fail_on_are_explained(new_run: Any) -> None:
    rows = seeing.grpo_rows(6)
    texts = rows.remove_columns("prompt").add_column("prompt", ["Which?"] * 6)
    marked = rows.remove_columns("prompt").add_column(
        "prompt", [[{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "q"}]}]] * 6
    )
    said = [[{"role": "user", "content": "which" + "<|video_pad|>" * (row == 1)}] for row in range(6)]
    for name, wrong, message in (
        ("text", texts, r"grpo: row 0: prompts must be conversations"),
        ("count", marked, r"grpo: row 0: 0 pictures and 1 placeholders"),
        ("column", rows.rename_column("images", "image"), "name the column images"),
        ("token", rows.remove_columns("prompt").add_column("prompt", said), r"row 1: a text holds <\|video_pad"),
        ("empty", rows.select([]), "no training rows"),
    ):
        with pytest.raises(UsageError, match=message):
            go(new_run(name), rows=wrong)


def test_pictures_inside_messages_are_refused(new_run: Any) -> None:
    """Arrow turns them into dictionaries of bytes, on which trl fails with a TypeError."""
    from datasets import Dataset

    content = [{"type": "image", "image": seeing.picture(1)}, {"type": "text", "text": "q"}]
    rows = Dataset.from_list([{"prompt": [{"role": "user", "content": content}], "letter": "a"}] * 4)
    with pytest.raises(UsageError, match="put the pictures into the column images"):
        go(new_run(), rows=rows)


def test_placeholders_in_messages_say_where_pictures_stand(new_run: Any) -> None:
    from datasets import Dataset

    content = [{"type": "text", "text": "this"}, {"type": "image"}, {"type": "text", "text": "which?"}]
    rows = Dataset.from_list(
        [{"prompt": [{"role": "user", "content": content}], "images": [seeing.picture(1)], "letter": "a"}] * 4
    )
    run = new_run()
    go(run, rows=rows)
    assert len(run.rows()) == 1


# --- processors


def test_a_bare_tokenizer_is_refused(new_run: Any) -> None:
    """trl would take the run for one of texts, and die with a KeyError of pixel_values."""
    tokenizer = seeing.processor().tokenizer
    with pytest.raises(UsageError, match=r"need a processor.*AutoProcessor returns one"):
        go(new_run("a"), processor=tokenizer)
    with pytest.raises(UsageError, match="need a processor"):
        go(new_run("b"), processor=tokenizer, rows=seeing.grpo_rows(6).remove_columns("images"))
    rows = tiny.grpo_rows(4).add_column("images", [[]] * 4)
    with pytest.raises(UsageError, match="need a processor"):
        run_grpo(new_run("c"), tiny.model(), tiny.tokenizer(), rows, tiny.LetterShare(), GrpoConfig())
    with pytest.raises(UsageError, match="does not see"):
        run_grpo(new_run("d"), tiny.model(), seeing.processor(), rows, tiny.LetterShare(), GrpoConfig())
    with pytest.raises(UsageError, match="need a processor"):
        run_sft(new_run("e"), seeing.model(), tokenizer, seeing.sft_rows(4), SftConfig(steps=1))


def test_a_processor_of_another_model_is_refused(new_run: Any) -> None:
    with pytest.raises(UsageError, match="patch_size is 16 and the model's 14"):
        go(new_run("a"), processor=seeing.processor("qwen3_vl"))
    model = seeing.model()
    model.config.image_token_id += 1
    with pytest.raises(UsageError, match="image token"):
        go(new_run("b"), model=model)
    processor = seeing.processor()
    processor.chat_template = None
    with pytest.raises(UsageError, match="no chat template"):
        go(new_run("c"), processor=processor)


def test_padding_on_the_right_changes_nothing(new_run: Any) -> None:
    """trl's marks of picture tokens, and with them all positions, would be those of other tokens."""
    processor = seeing.processor()
    processor.tokenizer.padding_side = "right"
    settings: dict[str, Any] = {"steps": 2, "extra": {"top_k": 5}}  # trl samples, from what the processor pads
    right = go(new_run("right"), processor=processor, **settings)
    assert processor.tokenizer.padding_side == "left"
    assert tiny.same_weights(right, go(new_run("left"), **settings))


def test_padding_on_the_right_misplaces_trls_marks() -> None:
    """The trap itself: should it be closed one day, the guard can go."""
    processor = seeing.processor()
    texts = [
        "<|vision_start|><|image_pad|><|vision_end|>a",
        "<|vision_start|><|image_pad|><|vision_end|>" + "a b c " * 5,
    ]
    fits = []
    for side in ("left", "right"):
        processor.tokenizer.padding_side = side
        found = processor(images=[[seeing.picture(1)]] * 2, text=texts, padding=True, return_tensors="pt")
        ids = [row[mask.bool()] for row, mask in zip(found["input_ids"], found["attention_mask"], strict=True)]
        width = max(map(len, ids))
        left = torch.stack([torch.nn.functional.pad(row, (width - len(row), 0)) for row in ids])  # as trl pads
        fits.append(torch.equal(found["mm_token_type_ids"] == 1, left == processor.image_token_id))
    assert fits == [True, False]


def patched(origin: Any) -> Any:
    """A user's own processor, made to take rows without pictures."""

    class Patched(type(origin)):  # type: ignore[misc]
        pass

    return Patched(
        image_processor=origin.image_processor,
        tokenizer=origin.tokenizer,
        video_processor=origin.video_processor,
        chat_template=origin.chat_template,
    )


def test_a_saved_subclass_is_read_back_as_a_bare_tokenizer(tmp_path: Path) -> None:
    """The trap itself."""
    patched(seeing.processor()).save_pretrained(tmp_path)
    seeing.model().config.save_pretrained(tmp_path)
    assert isinstance(AutoProcessor.from_pretrained(tmp_path), PreTrainedTokenizerBase)


def test_what_a_run_saves_is_read_back_whole(new_run: Any, tmp_path: Path) -> None:
    folder = save_small_vlm(seeing.model(), seeing.processor(), tmp_path / "base", half=False)
    names = ("processor_config.json", "tokenizer_config.json", "tokenizer.json", "chat_template.jinja")
    (folder / names[0]).write_text(json.dumps(json.loads((folder / names[0]).read_text())), encoding="utf-8")
    run = new_run()
    go(run, processor=patched(load_processor(LanguageModelConfig(path=str(folder)))))
    assert isinstance(AutoProcessor.from_pretrained(run.final("grpo")), ProcessorMixin)
    for name in names:
        assert (run.final("grpo") / name).read_bytes() == (folder / name).read_bytes()
    # Made in memory, and of a class that no file can name.
    with pytest.raises(UsageError, match="Patched: AutoProcessor could not read"):
        go(new_run("memory"), processor=patched(seeing.processor()))


def test_changed_areas_are_saved_though_the_files_are_older(tmp_path: Path) -> None:
    folder = save_small_vlm(seeing.model(), seeing.processor(), tmp_path / "base", half=False)
    processor = bounded(load_processor(LanguageModelConfig(path=str(folder))), max_pixels=56 * 84)
    files = ProcessorFiles.of(processor, tmp_path / "files")
    (tmp_path / "files" / "vocab.json").write_text("{}", encoding="utf-8")
    files.save_pretrained(tmp_path / "model")
    found: Any = load_processor(LanguageModelConfig(path=str(tmp_path / "model")))
    assert found.image_processor.size["longest_edge"] == 56 * 84
    assert (tmp_path / "model" / "vocab.json").exists()
    ProcessorFiles.of(processor, tmp_path / "files").save_pretrained(tmp_path / "model")
    assert not (tmp_path / "model" / "vocab.json").exists()


# --- sampling


@pytest.mark.parametrize("extra", [{"top_k": 5}, {"generation_kwargs": {"suppress_tokens": [20]}}])
def test_trl_never_samples_a_picture_or_a_video(new_run: Any, extra: dict[str, Any]) -> None:
    """trl forbids pictures' token alone, and not even that where the user forbids others."""
    model = seeing.model()
    forbidden = forbidden_tokens(model)

    def urge(module: Any, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        return output.index_fill(-1, torch.tensor([20, *forbidden]), 1e4)

    model.lm_head.register_forward_hook(urge)
    run = new_run()
    go(run, model=model, extra=extra)
    said = [json.loads(line)["completion"] for line in (run.samples / "grpo-000001.jsonl").read_text().splitlines()]
    letter = seeing.processor().tokenizer.decode([20])
    assert all(set(text) == ({letter} if "top_k" in extra else set(text) - {letter}) for text in said)


# --- reference


def test_the_reference_is_the_policy_that_was_handed_in(new_run: Any, tmp_path: Path) -> None:
    """After SFT in memory, trl would take the model on disk for the reference."""
    folder = save_small_vlm(seeing.model(), seeing.processor(), tmp_path / "before", half=False)
    model, processor = load_vlm_for_training(LanguageModelConfig(path=str(folder)))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.3)
    run = new_run()
    go(run, model=model, processor=processor, beta=0.05, steps=2)
    first, second = (row["kl"] for row in run.rows())
    assert abs(first) < 1e-6
    assert second > 1e-6


def test_without_the_guard_the_reference_is_another_model(
    new_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = save_small_vlm(seeing.model(), seeing.processor(), tmp_path / "before", half=False)
    model, processor = load_vlm_for_training(LanguageModelConfig(path=str(folder)))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.3)
    monkeypatch.setattr(grpo, "_settle_reference", lambda *_: None)
    run = new_run()
    go(run, model=model, processor=processor, beta=0.05)
    assert run.rows()[0]["kl"] > 0.01


def test_a_policy_may_be_named_by_its_folder(new_run: Any, tmp_path: Path) -> None:
    folder = save_small_vlm(seeing.model(), seeing.processor(), tmp_path / "model", half=False)
    one = go(new_run("path"), model=folder)
    assert tiny.same_weights(one, go(new_run("object")))


# --- rewards


@pytest.fixture
def _patient_grader(monkeypatch: pytest.MonkeyPatch) -> None:
    from common.rewards.adapters import trl as adapter

    monkeypatch.setattr(adapter, "FAILED_CALLS", 1000)
    monkeypatch.setattr(grpo, "_try_reward", lambda *_: None)


@pytest.mark.usefixtures("_patient_grader")
@pytest.mark.parametrize("unscored", [math.nan, math.inf])
@pytest.mark.parametrize("aggregation", ["sum_then_normalize", "normalize_then_sum"])
def test_what_cannot_be_scored_does_not_move_the_policy(new_run: Any, unscored: float, aggregation: str) -> None:
    """trl's sum counts one judge's failure within a group as the score 0, and infinity as no advantage for all."""
    reward = WeightedSum({"sure": (Constant("sure", 1.0), 0.5), "shaky": (Constant("shaky", unscored), 0.5)})
    run = new_run()
    after = go(run, reward, aggregation=aggregation)
    assert any(row["reward/shaky/failed"] > 0 for row in run.rows())
    assert tiny.same_weights(after, seeing.model())


@pytest.mark.usefixtures("_patient_grader")
def test_nothing_scored_and_all_scored_alike(new_run: Any) -> None:
    class Never(tiny.LetterShare):
        def score(self, **columns: Any) -> Any:
            output = super().score(**columns)
            return type(output)(torch.full_like(output.values, math.nan))

    for name, reward in (("never", Never()), ("alike", Constant("alike", 1.0))):
        assert tiny.same_weights(go(new_run(name), reward), seeing.model())


def test_a_grader_that_fails_stops_the_run(new_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grpo, "_try_reward", lambda *_: None)
    run = new_run()
    with pytest.raises(GraderFailure, match="--resume"):
        go(run, Constant("shaky", math.nan), steps=20, prompts_per_step=1)
    assert [alarm["kind"] for alarm in run.alarms()] == ["grader_failure"]


def test_a_reward_is_tried_on_real_pictures_before_the_first_step(new_run: Any) -> None:
    class Blind(seeing.Looking):
        def score(self, **columns: Any) -> Any:
            if not columns["images"][0][0].size:
                raise AssertionError
            return super().score(**columns)

    run = new_run()
    with pytest.raises(RewardError, match="IndexError"):  # the first row has no picture
        go(run, Blind())
    assert run.rows() == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"generations": 1}, "at least 2"),
        ({"prompts_per_step": 3, "gradient_accumulation": 5}, "do not divide"),
        ({"extra": {"max_prompt_length": 5}}, "has no 'max_prompt_length'"),
    ],
)
def test_groups_must_be_whole(new_run: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        go(new_run(), **changes)
