"""Targets that open a model's folder, of which one file is damaged: weights, settings, tokenizers."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from common.errors import TouchstoneError
from common.files import locate
from tests.fuzz.harness import Target
from tests.fuzz.mutations import documents, files

FOLDER = Path(tempfile.mkdtemp(prefix="touchstone-fuzz-"))
#: Bytes at the beginning of a file that are damaged; there lie the headers of large ones.
_HEAD = 20_000
#: Read by people alone.
_NOT_READ = (".md", ".png", ".html", ".jsonl")


def policies() -> Target:
    from apps.driving.drivers.trained import load_trained

    def drive(folder: Path) -> None:
        policy = load_trained(folder).policy
        policy.act(policy.network.observation_space.sample())

    return _folder("assets/driving/policy", drive, 6)


def captioners() -> Target:
    import torch

    from apps.captioning.model import load_captioner

    def caption(folder: Path) -> None:
        captioner = load_captioner(folder)
        captioner.generate(torch.ones(1, captioner.shape.features), 3)

    return _folder("assets/captioning/captioner", caption)


def language_models() -> Target:
    from common.config import LanguageModelConfig
    from common.models.language import generate, load_language_model

    def say(folder: Path) -> None:
        generate(*load_language_model(LanguageModelConfig(path=str(folder))), ["How many?"], 2)

    return _folder("assets/text2sql/model", say)


def vision_models() -> Target:
    from PIL import Image

    from common.models.vlm import VisionLanguageModel, ask

    prompt = ask("What is it?", [Image.new("RGB", (60, 50))])
    return _folder("assets/medvqa/model", lambda folder: VisionLanguageModel(folder).generate([prompt], 2))


def clips() -> Target:
    from common.models.clip import Clip

    return _folder("assets/captioning/clip", lambda folder: Clip(folder).text(["a red circle"]))


def students() -> Target:
    from common.models.clip_student import ClipStudent

    return _folder("assets/driving/student", lambda folder: ClipStudent(folder))


def encoders() -> Target:
    from common.models.text import load_encoder

    return _folder("assets/text2sql/encoder", lambda folder: load_encoder(folder).encode(["how many?"]))


def discriminators() -> Target:
    from common.rewards.trained.discriminator import Classifier

    return _folder("assets/captioning/discriminator", lambda folder: Classifier(folder).logits(["a dog"]))


def learned_rewards() -> Target:
    from common.rewards.trained.learned_reward import LearnedReward

    return _folder("assets/rewards/answers", lambda folder: LearnedReward(folder)(prompt=["a"], completion=["b"]))


def diffusion() -> Target:
    from apps.text3d.guidance.prior import load_prior

    return _folder("assets/text3d/diffusion", lambda folder: load_prior(folder, dtype="float32"))


def _folder(name: str, load: Callable[[Path], Any], examples: int = 4) -> Target:
    """A model's folder of which one file is damaged; large ones in their headers."""
    source, place = locate(name), FOLDER / name.replace("/", "-")
    names = [
        path.relative_to(source)
        for path in sorted(source.rglob("*"))
        if path.is_file() and path.suffix not in _NOT_READ
    ]
    shutil.copytree(source, place, dirs_exist_ok=True)

    def parse(value: tuple[Path, bytes]) -> None:
        file, content = value
        good = (source / file).read_bytes()
        (place / file).write_bytes(content + good[_HEAD:])
        try:
            load(place)
        finally:
            (place / file).write_bytes(good)

    def inputs(file: Path) -> st.SearchStrategy[tuple[Path, bytes]]:
        content = (source / file).read_bytes()
        whole = files(content[:_HEAD])
        if file.suffix == ".json" and len(content) <= _HEAD:
            whole = whole | documents(json.loads(content))
        return st.tuples(st.just(file), whole)

    return Target(
        st.one_of(*map(inputs, names)), parse, (TouchstoneError,), examples=examples, seconds=20.0, megabytes=1500
    )
