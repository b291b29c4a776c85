from dataclasses import dataclass, field
from pathlib import Path

import pytest

from common.config import GrpoConfig, LanguageModelConfig, load, to_dict
from common.errors import UsageError


@dataclass
class Settings:
    """Settings of the test.

    Args:
        model: the model.
        grpo: reinforcement stage.
        seed: seed.
    """

    model: LanguageModelConfig = field(default_factory=LanguageModelConfig)
    grpo: GrpoConfig = field(default_factory=GrpoConfig)
    seed: int = 0


def write(folder: Path, text: str) -> Path:
    path = folder / "settings.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_file_and_options_land_in_the_same_dataclass(tmp_path):
    path = write(tmp_path, "grpo:\n  steps: 7\n  extra:\n    top_k: 5\nmodel:\n  lora:\n    rank: 3\n")
    settings = load(Settings, path, ["--grpo.generations", "4", "--grpo.extra.top_p=0.5", "--seed=2"])
    assert (settings.grpo.steps, settings.grpo.generations, settings.seed) == (7, 4, 2)
    assert settings.grpo.extra == {"top_k": 5, "top_p": 0.5}
    assert settings.model.lora is not None
    assert settings.model.lora.rank == 3
    assert settings.model.lora.alpha == 32


def test_one_reading_leaves_nothing_behind_for_the_next(tmp_path):
    first = load(Settings, write(tmp_path, "grpo:\n  extra:\n    top_k: 5\n"), ["--grpo.extra.top_p=0.5", "--seed=2"])
    first.grpo.extra["beam"] = first.model.path = "mine"
    load(Settings, None).grpo.extra["beam"] = 3
    assert load(Settings, None) == Settings()


def test_what_is_saved_loads_again_to_the_same_settings(tmp_path):
    import yaml

    settings = load(Settings, None, ["--model.lora.rank", "4", "--grpo.learning_rate", "1e-4"])
    assert load(Settings, write(tmp_path, yaml.safe_dump(to_dict(settings)))) == settings


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("grpo:\n  stepz: 1\n", r"unknown key 'grpo.stepz'; did you mean 'grpo.steps'\?"),
        ("grpo: 3\n", r"grpo is a section of settings; found 3"),
        ("sed: 1\n", r"unknown key 'sed'; did you mean 'seed'\?"),
        ("grpo:\n  steps: many\n", r"grpo.steps"),
        ("- 1\n", r"holds `key: value` lines; found list"),
        ("a: [\n", r"cannot be read as YAML"),
    ],
)
def test_a_bad_file_is_an_error_that_helps(tmp_path, text, message):
    with pytest.raises(UsageError, match=message):
        load(Settings, write(tmp_path, text))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--grpo.step", "1"], r"unknown option --grpo.step; did you mean '--grpo.steps'\?"),
        (["--model.dtype", "int8"], r"model.dtype"),
        (["--seed", "x"], r"seed"),
    ],
)
def test_a_bad_option_is_an_error_that_helps(options, message):
    with pytest.raises(UsageError, match=message):
        load(Settings, None, options)


def test_an_absent_file_is_named():
    with pytest.raises(UsageError, match=r"nowhere\.yaml: no such file"):
        load(Settings, "nowhere.yaml")
