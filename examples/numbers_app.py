"""A new application on the core: numbers in words -> digits. Copy it, and put your own domain in its place.

python -m examples.numbers_app audit      # assay the reward before training on it
python -m examples.numbers_app train      # SFT, then GRPO; before and after on held-out numbers; a report
"""

from __future__ import annotations

import random
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common import ui
from common.cli import App, Verb
from common.config import GrpoConfig, LanguageModelConfig, SftConfig
from common.rewards import Reward, RewardOutput

NAMES = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety"""
WORDS = NAMES.split()


@dataclass
class NumbersConfig:
    """Settings: every field is an option, `--grpo.steps 10`, and a key of the YAML file."""

    train: int = 2000
    heldout: int = 300
    seed: int = 0
    runs: str = "runs/numbers"
    model: LanguageModelConfig = field(default_factory=LanguageModelConfig)
    sft: SftConfig = field(default_factory=SftConfig)
    grpo: GrpoConfig = field(default_factory=GrpoConfig)


def in_words(number: int) -> str:
    """412 -> four hundred twelve."""
    for size, name in ((1000, " thousand"), (100, " hundred")):
        if number >= size:
            return f"{in_words(number // size)}{name} {in_words(number % size) if number % size else ''}".rstrip()
    if number < 20:
        return WORDS[number]
    return f"{WORDS[18 + number // 10]} {WORDS[number % 10] if number % 10 else ''}".rstrip()


def rows(config: NumbersConfig) -> tuple[dict[str, list[Any]], dict[str, list[Any]]]:
    """Training and held-out columns: `prompt` and `completion` for trainers, `reference` for the reward."""
    numbers = random.Random(config.seed).sample(range(1, 10_000), config.train + config.heldout)

    def columns(some: list[int]) -> dict[str, list[Any]]:
        return {
            "prompt": [[{"role": "user", "content": in_words(number)}] for number in some],
            "completion": [[{"role": "assistant", "content": str(number)}] for number in some],
            "reference": [str(number) for number in some],
        }

    return columns(numbers[: config.train]), columns(numbers[config.train :])


class Digits(Reward):
    """1 for the right number; for another one of as many digits, half the share of digits in their places.

    Range [0, 1], higher is better. What is no number scores 0: the policy's fault.
    """

    name = "digits"
    needs = ("completion", "reference")

    def score(self, **columns: Any) -> RewardOutput:
        """Compare each row; see `Reward.score`."""
        import torch

        values = []
        for said, right in zip(columns["completion"], columns["reference"], strict=True):
            places = sum(map(str.__eq__, said, right)) if len(said) == len(right) else 0
            values.append(1.0 if said == right else 0.5 * places / len(right))
        return RewardOutput(torch.tensor(values))


def run_audit(config: NumbersConfig) -> int:
    """Would the reward teach the right thing? An answer that looks right must earn less."""
    from common.rewards.audit import Mutant, audit

    _, heldout = rows(config)
    right, words = heldout["reference"], [messages[0]["content"] for messages in heldout["prompt"]]
    mutants = []
    for row, number in enumerate(right):
        changed = {"a zero more": number + "0", "a digit less": number[:-1], "off by one": str(int(number) + 1)}
        mutants += [Mutant(row, name, text) for name, text in changed.items()]
    columns = {"completion": right, "reference": right, "words": words}
    report = audit(Digits(), columns, mutations=mutants, prompt="words")
    killed = [(one.operator, one.killed.text(100, 1)) for one in report.mutations]
    ui.table("Mutants killed", ("mutation", "%"), killed)
    for flag in report.flags:
        ui.warn(flag)
    return 0


def run_train(config: NumbersConfig) -> int:
    """Teach the words, then reinforce what is right; show held-out accuracy before and after."""
    from datasets import Dataset

    from common.models.language import generate, load_language_model, save_language_model
    from common.report import Change, Report
    from common.stats import bootstrap, paired_bootstrap
    from common.training import grpo, outcome, run, sft, stage

    folder = Path(config.runs) / f"seed{config.seed}"
    going_on = folder.is_dir()  # stopped with Ctrl-C, the same command goes on
    here = stage.open_run(folder, config, config.seed, "python -m examples.numbers_app train")
    run.set_threads(1)
    data, heldout = map(Dataset.from_dict, rows(config))
    model, tokenizer = load_language_model(config.model, training=True)

    def right(model: Any) -> list[float]:
        answers = generate(model, tokenizer, heldout["prompt"], max_new_tokens=8)
        return [float(said[0] == number) for said, number in zip(answers, heldout["reference"], strict=True)]

    model = sft.run_sft(here, model, tokenizer, data, config.sft, resume=going_on)
    before = right(model)
    model = grpo.run_grpo(here, model, tokenizer, data, Digits(), config.grpo, resume=going_on)
    after = right(model)
    save_language_model(model, tokenizer, here.folder / "model")
    change = Change("read right", bootstrap(before), bootstrap(after), paired_bootstrap(before, after).difference)
    report = Report("Numbers in words", f"seed {here.seed}").section("Before and after").headline([change])
    outcome.add_curves(report, here, "grpo", "Reinforcement", {"reward": "mean reward", "groups/flat": "flat groups"})
    outcome.finish(report, here, "grpo", "What the policy said last")
    figures = [one.text(100, 1) for one in (change.before, change.after, change.difference) if one]
    ui.table(f"Read right, % of {len(after)} held-out numbers", ("before", "after", "difference"), [figures])
    outcome.print_places(here)
    return 0


APP = App(
    name="examples.numbers_app",
    summary="Numbers in words -> digits: the smallest application on the core.",
    config=NumbersConfig,
    default_config=Path(__file__).with_suffix(".yaml"),
    verbs=(
        Verb("audit", "assay the reward", "examples.numbers_app:run_audit"),
        Verb("train", "SFT, then GRPO", "examples.numbers_app:run_train"),
    ),
)

if __name__ == "__main__":
    sys.exit(APP.main())
