"""The pocket vision-language model: a Qwen2.5-VL made from nothing, whose tower sees before its language answers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.text3d.config import Text3dConfig
from apps.text3d.pretrain_config import VlmPretrainConfig
from apps.text3d.pretraining.cards import card, interval_table
from apps.text3d.pretraining.faults import Patched, Shown, emptied
from apps.text3d.pretraining.pictures import Pictures, load
from apps.text3d.pretraining.questions import Row, asked, described
from apps.text3d.prompts.questions import NO, YES
from apps.text3d.prompts.vocabulary import COLOURS
from common.files import write_json, write_text
from common.stats import Interval, wilson

if TYPE_CHECKING:
    from common.models.small_vlm import SmallVlmSettings
    from common.models.vlm import VisionLanguageModel
    from common.training.run import Run

#: The stages, in order; names in a run's log and checkpoints.
SEE, SAY = "see", "say"
#: Mean and deviation of the pictures' channels, near enough, of 1.
MEAN, DEVIATION = 0.6, 0.3
#: Questions that the tokenizer is trained on: their language is small.
READ = 6_000
#: Of the tests' pictures: nothing is wrong with them, or they are blurred, foggy and noisy as in training.
STATES = ("whole", "faulty")


def make_vlm(config: Text3dConfig, run: Run, folder: Path, command: str, seed: int) -> None:
    """Train the model, write it in float16, and measure what was written.

    Args:
        config: `pretrain.vlm` holds sizes and steps.
        run: holds log and checkpoints.
        folder: to write to.
        command: for the card.
        seed: of pictures, questions and weights.
    """
    from common.models.small_vlm import make_small_vlm, save_small_vlm
    from common.training.stage import run_stage
    from common.training.vision.language import LanguageLearner
    from common.training.vision.token_rows import Rows

    settings = config.pretrain.vlm
    pictures = emptied(load("train", settings.scenes, settings.size, seed, hidden=True), settings.empty, seed)
    rows = asked(pictures, settings.questions, seed) + described(pictures)
    taught = [([{"role": "user", "content": row.text}], row.answer) for row in rows]
    model, processor = make_small_vlm(
        [text for row in rows[:: max(1, len(rows) // READ)] for text in (row.text, row.answer)], shape(settings, seed)
    )
    shown = Patched(pictures, processor, seed)
    see(config, run, model, pictures, shown, seed)
    learner = LanguageLearner(
        settings, model, Rows(taught, processor, shown.grid), shown, seed, [row.picture for row in rows]
    )
    run_stage(run, SAY, learner, settings.language_steps, config.pretrain.save_every)
    save_small_vlm(model, processor, folder)
    measure(config, folder, command, seed)


def see(config: Text3dConfig, run: Run, model: Any, pictures: Pictures, shown: Patched, seed: int) -> None:
    """The first stage: the tower alone. Its end is kept, so that a later stop does not begin it again."""
    from apps.text3d.pretraining.sight import sight_heads, truth_table
    from common.training.stage import run_stage
    from common.training.vision.tower import TowerLearner

    settings = config.pretrain.vlm
    heads = sight_heads(settings.hidden_size, seed)
    learner = TowerLearner(settings, model.model.visual, heads, shown, truth_table(pictures), seed)
    run_stage(run, SEE, learner, settings.vision_steps, config.pretrain.save_every, keep_end=True)


def shape(settings: VlmPretrainConfig, seed: int) -> SmallVlmSettings:
    """The model's sizes."""
    from common.models.small_vlm import SmallVlmSettings

    return SmallVlmSettings.of(
        settings,
        architecture="qwen2_5_vl",
        kv_heads=settings.heads,
        largest_grid=0,
        mean=(MEAN,) * 3,
        deviation=(DEVIATION,) * 3,
        seed=seed,
    )


def measure(config: Text3dConfig, folder: Path, command: str, seed: int) -> dict[str, Any]:
    """Write `figures.json` and the card; returns the figures."""
    from common.models.vlm import VisionLanguageModel

    settings = config.pretrain.vlm
    vlm = VisionLanguageModel(folder, batch_size=64)
    found: dict[str, dict[str, Interval]] = {}
    for split in ("test_seen", "test_held"):
        pictures = load(split, settings.heldout, settings.size, config.seed, hidden=True)
        rows = asked(pictures, 4, config.seed)
        for state in STATES:
            shown = Shown(pictures, config.seed, faults=state == "faulty")
            found[f"{split}, {state}"] = accuracies(vlm, shown, rows)
    parameters = sum(weight.numel() for weight in vlm.model.parameters())
    figures = {
        "parameters": parameters,
        "right": {name: {fact: share.to_dict() for fact, share in row.items()} for name, row in found.items()},
    }
    write_json(folder / "figures.json", figures)
    what = (
        f"A Qwen2.5-VL of {parameters / 1e6:.2f} M parameters with its own tokenizer and processor. It answers "
        "questions about drawn solids of eight kinds and eight colours, from all sides, one picture at a time, and "
        "nothing else: of several pictures together it was taught nothing."
    )
    made = [
        f"{settings.vision_steps:,} steps of {settings.vision_batch_size} pictures for the tower alone, by heads that "
        "tell what stands where; then "
        f"{settings.language_steps:,} of {settings.language_batch_size} questions, of up to {settings.questions} to "
        f"each of {settings.scenes:,} pictures, and to say what stands in it from left to right. Six in ten pictures "
        "were blurred, foggy and noisy; "
        f"{100 * settings.empty:g} % showed nothing or stains",
    ]
    told = (
        "Right answers in %, 95 % interval. Yes and no are balanced, so that 50 is chance; of colours 12.5. "
        "`test_held` asks about combinations of colour and kind, or kinds and relation, that training never shows."
    )
    table = interval_table(f"split, {settings.heldout} pictures each", found)
    text = card("Pocket vision-language model of text-to-3D", what, command, seed, made, told, table)
    write_text(folder / "README.md", text)
    return figures


def accuracies(vlm: VisionLanguageModel, shown: Shown, rows: list[Row]) -> dict[str, Interval]:
    """How often the likeliest of the offered answers is the true one, by fact."""
    right: dict[str, list[bool]] = {}
    plain = [row for row in rows if row.answer in (YES, NO)]
    odds = vlm.yes_logit([shown.shown([row.picture])[0] for row in plain], [row.text for row in plain])
    for row, value in zip(plain, odds.tolist(), strict=True):
        right.setdefault(row.fact, []).append((value > 0) == (row.answer == YES))
    for row in rows:
        if row.answer not in (YES, NO):
            right.setdefault(row.fact, []).append(_chosen(vlm, shown, row) == row.answer)
    return {fact: wilson(sum(each), len(each)) for fact, each in right.items()}


def _chosen(vlm: VisionLanguageModel, shown: Shown, row: Row) -> str:
    """The likeliest colour."""
    from common.models.vlm import ask

    prompt = ask(row.text, [shown.shown([row.picture])[0]])
    sums, _ = vlm.log_prob([prompt] * len(COLOURS), list(COLOURS), end=True)
    return list(COLOURS)[int(sums.argmax())]
