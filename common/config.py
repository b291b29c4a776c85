"""The typed settings that several applications share, and the loader that fills them.

YAML files and dotted options land in the same dataclasses; an unknown key is an error that names the nearest one.
Nothing heavy is imported here: `--help` reads this module.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar, get_type_hints

from common.errors import DataError, UsageError

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser

ConfigT = TypeVar("ConfigT")
#: Characters of a config file.
LONGEST_FILE = 200_000
#: Lists and mappings within each other in one.
DEEPEST_FILE = 100


@dataclass
class LoraConfig:
    """Low-rank adapters (Hu et al. 2021, arXiv 2106.09685), trained instead of the whole model.

    Args:
        rank: rank of each adapter.
        alpha: scale; the update is multiplied by alpha / rank.
        dropout: dropout on the adapter's input.
        target_modules: layers that get an adapter: "all-linear" or a list of names.
    """

    rank: int = 16
    alpha: int = 32
    dropout: float = 0.05
    target_modules: str | list[str] = "all-linear"


@dataclass
class LanguageModelConfig:
    """A causal language model and its tokenizer.

    Args:
        path: a local folder or a hub id.
        tokenizer: folder or hub id of the tokenizer; the model's own where not given.
        dtype: weights' type; "auto" takes bfloat16 on a GPU that has it and float32 elsewhere.
        device: "auto", "cpu", "cuda" or "cuda:N".
        gguf_file: name of a GGUF file inside `path`, where the weights come in that format; of no account where
            `path` holds unpacked weights alone, as a trained model's folder does.
        lora: train adapters instead of the whole model.
    """

    path: str = ""
    tokenizer: str | None = None
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device: str = "auto"
    gguf_file: str | None = None
    lora: LoraConfig | None = None


@dataclass
class BackboneConfig:
    """What reads a prompt and a completion, before the head makes a number of it.

    Args:
        path: a folder or a hub id of a causal language model, a Qwen-VL or a sentence encoder; "hash" for hashed
            n-grams.
        kind: which of these it is; "auto" goes by the folder's config.
        pooling: the feature is the state of the "last" token, as in BaseReward, or the "mean" over the completion's;
            of an encoder neither counts.
        tune: train the head alone ("frozen"), the "full" backbone with it, or adapters on it ("lora").
        lora: size of the adapters.
        dtype: weights' type; "auto" takes bfloat16 on a GPU that has it and float32 elsewhere.
        device: "auto", "cpu", "cuda" or "cuda:N".
        max_length: longest prompt + completion of a language model, in tokens; what is over is cut from the front of
            the prompt. 0 is the model's own limit.
        batch_size: completions read at once.
    """

    path: str = "assets/medvqa/model"
    kind: Literal["auto", "encoder", "language", "vision"] = "auto"
    pooling: Literal["last", "mean"] = "last"
    tune: Literal["frozen", "full", "lora"] = "frozen"
    lora: LoraConfig = field(default_factory=LoraConfig)
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    device: str = "auto"
    max_length: int = 0
    batch_size: int = 32


@dataclass
class JudgeConfig:
    """An LLM behind any OpenAI-compatible endpoint (vLLM, llama.cpp, a vendor's).

    Args:
        url: base address, such as http://127.0.0.1:8000/v1; empty leaves the judge out.
        model: model name to ask for.
        key_file: file that holds the API key, where one is needed; a key is never part of a config.
        concurrency: requests in flight at once.
        timeout: seconds for one request.
        retries: further tries after a failed request.
    """

    url: str = ""
    model: str = ""
    key_file: str = ""
    concurrency: int = 8
    timeout: float = 30.0
    retries: int = 2


@dataclass
class SftConfig:
    """Supervised fine-tuning with trl's SFTTrainer.

    Args:
        steps: optimiser steps; 0 leaves the stage out.
        schedule: steps that the learning rate is laid out for, where training is to stop before; 0 is `steps`.
        batch_size: rows per device and forward pass.
        gradient_accumulation: forward passes per optimiser step.
        learning_rate: peak learning rate.
        warmup: share of the steps spent warming up.
        max_length: longest prompt + completion, in tokens.
        eval_every: steps between held-out measurements; 0 for none.
        save_every: steps between checkpoints; 0 saves at the end only.
        extra: settings handed on to trl's SFTConfig as they are.
    """

    steps: int = 0
    schedule: int = 0
    batch_size: int = 16
    gradient_accumulation: int = 1
    learning_rate: float = 1e-3
    warmup: float = 0.03
    max_length: int = 1024
    eval_every: int = 0
    save_every: int = 0
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass
class GrpoConfig:
    """Group-relative policy optimisation (Shao et al. 2024, arXiv 2402.03300) with trl's GRPOTrainer.

    Args:
        steps: optimiser steps.
        prompts_per_step: different prompts in one optimiser step.
        generations: completions sampled for each prompt (the group).
        learning_rate: peak learning rate.
        temperature: sampling temperature.
        spread: sample a group together, so that it covers what the policy may say evenly (arithmetic sampling); in one
            process, without trl's own sampling.
        beta: weight of the KL term against the starting model; 0 loads no reference model.
        max_completion_length: longest completion, in tokens.
        loss_type: trl's name of the loss: "dapo", "grpo", "dr_grpo", "bnpo", ...
        scale_rewards: divide advantages by the spread of the "group", of the "batch", or by "none".
        aggregation: "sum_then_normalize", or "normalize_then_sum" (GDPO, arXiv 2601.05242).
        gradient_accumulation: forward passes per optimiser step.
        eval_every: steps between held-out measurements; 0 for none.
        save_every: steps between checkpoints; 0 saves at the end only.
        extra: settings handed on to trl's GRPOConfig as they are.
    """

    steps: int = 100
    prompts_per_step: int = 16
    generations: int = 8
    learning_rate: float = 1e-6
    temperature: float = 1.0
    spread: bool = False
    beta: float = 0.0
    max_completion_length: int = 256
    loss_type: str = "dapo"
    scale_rewards: Literal["group", "batch", "none"] = "group"
    aggregation: Literal["sum_then_normalize", "normalize_then_sum"] = "sum_then_normalize"
    gradient_accumulation: int = 1
    eval_every: int = 0
    save_every: int = 0
    extra: dict[str, Any] = field(default_factory=dict)


@dataclass
class CompareConfig:
    """Several runs of one recipe, side by side; empty lists mean one run with the settings above.

    Args:
        recipes: reward recipes to train with.
        seeds: seeds to train with.
    """

    recipes: list[str] = field(default_factory=list)
    seeds: list[int] = field(default_factory=list)


def load(kind: type[ConfigT], file: Path | str | None, overrides: Sequence[str] = ()) -> ConfigT:
    """Fill `kind` from its defaults, then a YAML file, then dotted overrides (`["--grpo.steps", "10"]`).

    Raises:
        UsageError: unknown key (names the nearest known one), wrong type, or unreadable file.
    """
    given = [*(["--config", str(file)] if file is not None else []), *overrides]
    parser = config_parser(kind)  # type: ignore[arg-type]  # mypy calls no type of a type variable hashable
    return parse(parser, kind, given)[0]


@cache  # building it takes as long as reading a file by it
def config_parser(kind: type) -> ArgumentParser:
    """A jsonargparse parser with `--config FILE` and one dotted option for every field of `kind`; callers share it."""
    from jsonargparse import ArgumentParser

    parser = ArgumentParser(exit_on_error=False, default_env=False)
    add_config(parser, kind)
    return parser


def add_config(parser: ArgumentParser, kind: type) -> None:
    """Add `--config FILE` and one dotted option for every field of `kind`."""
    from jsonargparse import ActionConfigFile  # type: ignore[attr-defined]

    parser.add_argument("--config", action=ActionConfigFile, metavar="FILE", help="YAML file with the settings below")
    parser.add_class_arguments(kind, as_group=True)


def parse(parser: ArgumentParser, kind: type[ConfigT], arguments: Sequence[str]) -> tuple[ConfigT, dict[str, Any]]:
    """Parse command-line arguments into a config and the parser's other options.

    Raises:
        UsageError: unknown key (names the nearest known one), wrong type, or unreadable file.
    """
    import argparse

    arguments = list(arguments)
    _check_options(parser, kind, arguments)
    for file in _config_files(arguments):
        _check_file(kind, Path(file))
    try:
        namespace = parser.parse_args(arguments)
        built = parser.instantiate_classes(namespace)
    except (argparse.ArgumentError, TypeError, ValueError, KeyError) as error:
        raise UsageError(" ".join(str(error).split()) or type(error).__name__) from error
    names = {entry.name for entry in fields(kind)}  # type: ignore[arg-type]
    config = kind(**{name: built[name] for name in names})
    others = {name: value for name, value in vars(built).items() if name not in names and name != "config"}
    return config, others


def typed(kind: type, arguments: Sequence[str]) -> list[str]:
    """Those of a command's arguments that are settings, `--config` included, in their order and as `--name=value`."""
    known = {"--config", *(f"--{key}" for key in known_keys(kind))}
    found = []
    for position, option in enumerate(arguments):
        name, equals, _ = option.partition("=")
        if name in known or (name.startswith("--") and ".extra." in name):
            found.append(option if equals else f"{name}={next(iter(arguments[position + 1 :]), '')}")
    return found


def to_dict(config: Any) -> dict[str, Any]:
    """A config dataclass as plain nested dictionaries, for YAML and JSON."""
    return asdict(config)


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted names and values of nested dictionaries, such as `to_dict` gives."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def nearest(name: str, known: Sequence[str]) -> str:
    """`; did you mean 'x'?` for the known name most like `name`, or a list of the known ones."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {close[0]!r}?" if close else f"; known: {', '.join(sorted(known))}"


def known_keys(kind: type, prefix: str = "") -> Iterator[str]:
    """Every dotted key of a config dataclass, sections included."""
    hints = get_type_hints(kind)
    for entry in fields(kind):
        yield prefix + entry.name
        section = _section(hints[entry.name])
        if section is not None:
            yield from known_keys(section, f"{prefix}{entry.name}.")


def _section(hint: Any) -> type | None:
    """The dataclass inside a hint, `X | None` included."""
    for candidate in (hint, *getattr(hint, "__args__", ())):
        if isinstance(candidate, type) and is_dataclass(candidate):
            return candidate
    return None


def _config_files(arguments: Sequence[str]) -> Iterator[str]:
    for position, option in enumerate(arguments):
        if option.startswith("--config="):
            yield option.split("=", 1)[1]
        elif option == "--config" and position + 1 < len(arguments):
            yield arguments[position + 1]


def _check_options(parser: ArgumentParser, kind: type, arguments: Sequence[str]) -> None:
    flags = [option for action in parser._actions for option in action.option_strings]
    known = [*dict.fromkeys([*flags, *(f"--{key}" for key in known_keys(kind))])]
    for option in arguments:
        name = option.split("=", 1)[0]
        if name.startswith("--") and name != "--" and name not in known and ".extra." not in name:
            raise UsageError(f"unknown option {name}{nearest(name, known)}")


def read_yaml(file: Path) -> Any:
    """What a YAML file holds: plain values, in bounded time and memory.

    Raises:
        DataError: the file is absent, no YAML, too long or too deep, or has aliases.
    """
    import yaml

    try:
        text = file.read_text(encoding="utf-8-sig")
        if len(text) > LONGEST_FILE:
            raise DataError(f"{len(text):,} characters are no config; at most {LONGEST_FILE:,} are read", path=file)
        depth = 0
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            # An alias stands for all that it names: a few lines of them unfold into more than any memory holds.
            if isinstance(event, yaml.AliasEvent):
                raise DataError("a config has no aliases (*name); write the settings out", path=file)
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            # The time of reading grows with the square of the depth.
            if depth > DEEPEST_FILE:
                raise DataError(f"cannot be read: no config is nested more than {DEEPEST_FILE} deep", path=file)
        return yaml.safe_load(text)
    except FileNotFoundError as error:
        raise DataError("no such file", path=file) from error
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError, yaml.YAMLError) as error:
        raise DataError(f"cannot be read as YAML: {error}", path=file) from error


def _check_file(kind: type, file: Path) -> None:
    content = read_yaml(file)
    if content is None:
        return
    if not isinstance(content, Mapping):
        raise UsageError(f"{file}: a config file holds `key: value` lines; found {type(content).__name__}")
    known = list(known_keys(kind))
    for key in _mapping_keys(kind, content):
        if key not in known:
            raise UsageError(f"{file}: unknown key {key!r}{nearest(key, known)}")


def _mapping_keys(kind: type, content: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    hints = get_type_hints(kind)
    for name, value in content.items():
        yield f"{prefix}{name}"
        section = _section(hints[name]) if name in hints else None
        if section is not None and not isinstance(value, (Mapping, str, type(None))):
            raise UsageError(f"{prefix}{name} is a section of settings; found {value!r:.60}, not `key: value` lines")
        if section is not None and isinstance(value, Mapping):
            yield from _mapping_keys(section, value, f"{prefix}{name}.")
