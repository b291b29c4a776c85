"""What is known of the applications without importing them: a line each, their pocket models, their packages."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib import metadata

from common.files import locate

DISTRIBUTION = "touchstone-rl"


@dataclass(frozen=True)
class Application:
    """One of the applications.

    Attributes:
        name: of its package in `apps`, its extra, its folder in `assets` and in `runs`.
        line: what it does.
        models: of its pocket models, the file with the weights in `assets/<name>`, and the verb that makes it.
    """

    name: str
    line: str
    models: Mapping[str, str]


@dataclass(frozen=True)
class Status:
    """Whether an application can run here.

    Attributes:
        packages: packages of its extra that are absent or too old, as the requirement is written.
        models: files of pocket models that are absent, each with the command that makes it.
    """

    packages: tuple[str, ...]
    models: Mapping[str, str]

    @property
    def ready(self) -> bool:
        """Whether nothing is missing."""
        return not self.packages and not self.models


APPS = {
    one.name: one
    for one in (
        Application(
            "text2sql",
            "question + schema -> SQL: SFT, then GRPO with an execution-first, multilingual reward",
            {"model/model.safetensors": "pretrain", "encoder/encoder.safetensors": "pretrain"},
        ),
        Application(
            "captioning",
            "picture -> sentence, without paired data: text-only initialisation, then CLIP's rewards",
            {
                "clip/open_clip_model.safetensors": "pretrain",
                "discriminator/model.safetensors": "pretrain",
                "captioner-init/mapper.safetensors": "pretrain",
                "captioner/mapper.safetensors": "pretrain",
            },
        ),
        Application(
            "medvqa",
            "medical picture + question -> answer: SFT, then GRPO with a reward that reads polarity, side, numbers",
            {"model/model.safetensors": "pretrain"},
        ),
        Application(
            "driving",
            "route + view from above -> steer and pedals: PPO or SAC, language goals through CLIP as reward",
            {
                "clip/open_clip_model.safetensors": "pretrain",
                "student/student.safetensors": "pretrain",
                "policy/tensors.safetensors": "train",
            },
        ),
        Application(
            "text3d",
            "prompt -> 3D scene: shaped by an analytic critic, or by diffusion, CLIP and a VLM of yours",
            {
                "clip/open_clip_model.safetensors": "pretrain",
                "diffusion/unet/diffusion_pytorch_model.safetensors": "pretrain",
                "vlm/model.safetensors": "pretrain",
            },
        ),
    )
}


def status(name: str) -> Status:
    """Whether an application can run here: packages by their metadata, models by their files; nothing is imported."""
    models = {f"assets/{name}/{file}": f"python -m apps.{name} {verb}" for file, verb in APPS[name].models.items()}
    absent = {file: command for file, command in models.items() if not locate(file).is_file()}
    return Status(tuple(missing_packages(name)), absent)


def missing_packages(extra: str) -> Iterator[str]:
    """Requirements of an extra, and of the core, that are not met, in the order in which they are declared."""
    from packaging.requirements import Requirement

    try:
        declared = metadata.requires(DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        yield DISTRIBUTION
        return
    for text in declared:
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": extra}):
            continue
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            yield _shortened(text)
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            yield f"{_shortened(text)} (here: {version})"


def run_list(json_output: bool = False) -> int:
    """`python -m apps`: each application, what it does, and whether it can run here."""
    from common.ui import print_json, say, table

    found = {name: status(name) for name in APPS}
    if json_output:
        print_json({name: {"what": APPS[name].line, "ready": one.ready, **asdict(one)} for name, one in found.items()})
        return 0
    table("Applications", ("", "what it does", "here"), [(name, APPS[name].line, told(found[name])) for name in APPS])
    say("python -m apps.APP --help: an application's verbs; python -m apps --help: those of the whole suite")
    for name, one in found.items():
        if one.packages:
            say(f"{name}: {install(name)} brings {', '.join(one.packages)}")
        for file, command in one.models.items():
            say(f"{name}: {command} makes {file}")
    return 0


def install(extra: str) -> str:
    """The command that installs an extra."""
    return f"pip install '{DISTRIBUTION}[{extra}]'"


def told(one: Status) -> str:
    """A status in a few words."""
    if one.ready:
        return "ready"
    counts = (("packages", len(one.packages)), ("models", len(one.models)))
    return ", ".join(f"{count} {what} missing" for what, count in counts if count)


def _shortened(requirement: str) -> str:
    """A requirement without its marker: `transformers>=5.0`."""
    return re.sub(r"\s*;.*", "", requirement)
