"""`pretrain`: the pocket Qwen2.5-VL, made from nothing on phantoms: a tower that sees, then answers with reasons."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.medvqa.config import MedVqaConfig
from apps.medvqa.data import Example
from apps.medvqa.pretrain_config import PretrainConfig
from common.errors import UsageError
from common.files import write_json, write_text

if TYPE_CHECKING:
    from PIL.Image import Image

    from common.models.small_vlm import SmallVlmSettings
    from common.stats import Interval
    from common.training.run import Run

#: The stages, in order; names in a run's log and checkpoints.
SEE, SAY = "see", "say"
#: Mean and deviation of the phantoms' grey, near enough, of 1.
MEAN, DEVIATION = 0.3, 0.25
# Demonstrations that the tokenizer is trained on: their language is small.
READ = 6_000

Figures = Mapping[str, Mapping[str, "Interval"]]


def run_pretrain(config: MedVqaConfig, out: str = "assets/medvqa", resume: str | None = None) -> int:
    """Make `OUT/model` with a card that holds the command, the seed and held-out figures.

    Args:
        config: `pretrain` holds sizes and steps; measured on `heldout`, which must be of the pocket world.
        out: folder of the assets.
        resume: run folder of an interrupted training.

    Raises:
        UsageError: `heldout` is of another data set.
        Interrupted: the user stopped it; the message holds the command that goes on.
    """
    from common.training.run import Run, set_threads

    if config.heldout.format != "pocket" or config.train.format != "pocket":
        raise UsageError("pretrain makes the pocket model: heldout.format and train.format must be pocket")
    set_threads(config.threads)
    command = f"python -m apps.medvqa {shlex.join(sys.argv[1:])}"
    folder = Path(config.runs) / f"pretrain-{datetime.now():%Y%m%d-%H%M%S}"
    again = f"{command} --resume {folder}"
    run = Run.resume(resume) if resume else Run.create(folder.parent, folder.name, config, config.seed, again)
    make_model(config, run, Path(out) / "model", command)
    return 0


def make_model(config: MedVqaConfig, run: Run, folder: Path, command: str) -> dict[str, Any]:
    """Train the pocket model, write it in float16 and measure what was written.

    Returns:
        What stands in `figures.json` beside it.
    """
    from apps.medvqa.pocket import load_pocket
    from apps.medvqa.pocket.annotators import annotated
    from apps.medvqa.pretraining.pictures import Pictures
    from apps.medvqa.prompts import messages, target
    from common.models.small_vlm import make_small_vlm, save_small_vlm
    from common.training.stage import drop_checkpoints, run_stage
    from common.training.vision.language import LanguageLearner
    from common.training.vision.token_rows import Rows

    settings, seed = config.pretrain, config.seed
    examples = load_pocket("demonstrations", settings.examples, seed, pictures=False)
    written = [annotated(example, settings.viewers, settings.hurried, seed) for example in examples]
    taught = [(messages(example), target(example)) for example in written]
    texts = [text for asked, said in taught[:READ] for text in (asked[-1]["content"], said)]
    model, processor = make_small_vlm(texts, shape(settings, seed))
    pictures = Pictures(drawn(examples, shape(settings, seed).side), processor)
    see(config, run, model, pictures, examples)
    learner = LanguageLearner(settings, model, Rows(taught, processor, pictures.grid), pictures, seed)
    run_stage(run, SAY, learner, settings.language_steps, settings.save_every)
    save_small_vlm(model, processor, folder)
    figures = measure(config, folder)
    figures["parameters"] = sum(weight.numel() for weight in model.parameters())
    write_json(folder / "figures.json", plain(figures))
    write_text(folder / "README.md", card(config, command, figures))
    for stage in (SEE, SAY):
        drop_checkpoints(run, stage)
    return figures


def see(config: MedVqaConfig, run: Run, model: Any, pictures: Any, examples: Sequence[Example]) -> None:
    """The first stage: the tower alone. Its end is kept, so that a later stop does not begin it again."""
    from apps.medvqa.pocket import study_of
    from apps.medvqa.pretraining.truth import truth_heads, truth_table
    from common.training.stage import run_stage
    from common.training.vision.tower import TowerLearner

    settings = config.pretrain
    truth = truth_table([study_of(example) for example in examples])
    heads = truth_heads(settings.hidden_size, config.seed)
    learner = TowerLearner(settings, model.model.visual, heads, pictures, truth, config.seed)
    run_stage(run, SEE, learner, settings.vision_steps, settings.save_every, keep_end=True)


def shape(settings: PretrainConfig, seed: int) -> SmallVlmSettings:
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


def drawn(examples: Sequence[Example], side: int) -> Iterator[Image]:
    """The pictures of pocket examples, one after another."""
    from apps.medvqa.pocket import draw, study_of
    from common.ui import progress

    with progress("drawing", len(examples)) as bar:
        for number, example in enumerate(examples, start=1):
            yield draw(study_of(example), side)
            bar(number)


def measure(config: MedVqaConfig, folder: Path) -> dict[str, Any]:
    """Figures of a written model: `looking` on the held-out questions, `spread` on open ones to be trained on."""
    from apps.medvqa.data import load_examples
    from apps.medvqa.pretraining.figures import looking, spread
    from common.config import LanguageModelConfig
    from common.models.vlm import VisionLanguageModel

    model = VisionLanguageModel(LanguageModelConfig(path=str(folder), dtype="float32"), batch_size=128)
    heldout = load_examples(config.heldout)
    train = load_examples(replace(config.train, kinds=["open"], limit=config.pretrain.sampled))
    return {
        "looking": looking(model, heldout, config.seed),
        "spread": spread(model, train, seed=config.seed),
        "heldout": len(heldout),
    }


def card(config: MedVqaConfig, command: str, figures: Mapping[str, Any]) -> str:
    """The card that lies beside the weights."""
    settings = config.pretrain
    looking: Figures = figures["looking"]
    rows = [
        f"| {name} | {shares['true'].n} | " + " | ".join(share.text(100, 1) for share in shares.values()) + " |"
        for name, shares in looking.items()
    ]
    spread: Mapping[str, Interval] = figures["spread"]
    lines = [
        "# Pocket model of medical question answering",
        "",
        "**phantom — not for clinical use.** It knows drawn phantoms only and says nothing about patients.",
        "",
        f"A Qwen2.5-VL of {figures['parameters'] / 1e6:.2f} M parameters with its own {settings.vocabulary}-token "
        f"tokenizer and processor ({settings.grid**2} image tokens a picture), trained from nothing on "
        f"{settings.examples:,} questions about as many phantoms: first the vision tower alone, on phantoms' "
        "exact truth, then the language model, on reasons and answers. This is the stage that `train` starts from.",
        "",
        f"Its demonstrations have two known flaws of collected data, put in on purpose, for reinforcement to mend "
        f"(`apps/medvqa/pocket/annotators.py`): {settings.viewers:.0%} of the annotators name the side as they see it "
        f"on the screen, which is the patient's other side, and {settings.hurried:.0%} leave out the side, the place "
        "and the size beside what they name.",
        "",
        f"- command: `{command}` (config `configs/medvqa/pocket.yaml`), seed {config.seed}",
        f"- {settings.vision_steps} steps of {settings.vision_batch_size} pictures, then {settings.language_steps} "
        f"(of a schedule of {settings.language_schedule or settings.language_steps}) of "
        f"{settings.language_batch_size} questions",
        "",
        "Right answers in %, by the phantoms' exact truth, 95 % interval (greedy). No training picture shows a "
        "held-out combination of finding and place. *blank*: an empty grey picture; *swapped*: the picture of another "
        "study of the same organ.",
        "",
        "| held-out questions | n | true picture | blank | swapped |",
        "|---|---|---|---|---|",
        *rows,
        "",
        f"Sampled at temperature 1, 8 answers to each of {spread['right'].n} open questions of the split `train`: "
        f"{spread['right'].text(100, 1)} % right; {spread['mixed'].text(100, 1)} % of the groups hold right and wrong "
        "answers.",
        "",
        "Figures on the pocket world are no benchmark results.",
        "",
    ]
    return "\n".join(lines)


def plain(value: Any) -> Any:
    """Figures as JSON holds them."""
    if isinstance(value, Mapping):
        return {name: plain(entry) for name, entry in value.items()}
    return value.to_dict() if hasattr(value, "to_dict") else value
