"""`python -m apps`: the list is quick, imports nothing heavy, and says what is missing and what brings it."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata
from types import SimpleNamespace

import pytest

from apps import suite
from apps.__main__ import APP, main


def test_the_list_names_every_app_and_imports_nothing_heavy():
    script = "import sys; from apps.__main__ import main; code = main([]); heavy = {'torch', 'gradio', 'transformers'}"
    run = [sys.executable, "-c", f"{script}; sys.exit(code or len(heavy & set(sys.modules)))"]
    done = subprocess.run(run, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in suite.APPS)


def test_every_verb_has_a_function_and_every_app_its_room():
    import importlib

    for verb in APP.verbs:
        module, function = verb.target.split(":")
        assert callable(getattr(importlib.import_module(module), function)), verb.name
    for name in suite.APPS:
        assert importlib.import_module(f"apps.{name}.__main__").APP.name == f"apps.{name}"


@pytest.fixture
def bare(monkeypatch, tmp_path):
    """A machine with an old trl and without gradio, and a checkout without models."""
    declared = [
        "torch>=2.6",
        "trl>=1.10; extra == 'text2sql'",
        "gradio>=6.0 ; extra == 'text2sql'",
        "ancient>=1; python_version < '3' and extra == 'text2sql'",
        "carla>=0.9; extra == 'driving'",
    ]
    here = {"torch": "2.14.1+cu130", "trl": "1.2.0"}

    def version(name):
        if name not in here:
            raise metadata.PackageNotFoundError(name)
        return here[name]

    # In a place of its own: others ask for versions too.
    known = SimpleNamespace(
        requires=lambda name: declared, version=version, PackageNotFoundError=metadata.PackageNotFoundError
    )
    monkeypatch.setattr(suite, "metadata", known)
    monkeypatch.setattr(suite, "locate", lambda path: tmp_path / path)


def test_what_is_missing_is_named_with_the_command_that_brings_it(bare, capsys):
    assert tuple(suite.missing_packages("text2sql")) == ("trl>=1.10 (here: 1.2.0)", "gradio>=6.0")
    assert tuple(suite.missing_packages("driving")) == ("carla>=0.9",)
    assert main([]) == 0
    printed = capsys.readouterr()
    assert "2 packages missing, 2 models missing" in printed.out
    assert "pip install 'touchstone-rl[text2sql]' brings trl>=1.10 (here: 1.2.0), gradio>=6.0" in printed.err
    assert "python -m apps.driving train makes assets/driving/policy/tensors.safetensors" in printed.err


def test_json_says_the_same(bare, capsys):
    assert main(["list", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["driving"]["packages"] == ["carla>=0.9"]
    assert not any(one["ready"] for one in found.values())


def test_without_an_installation_nothing_is_called_ready(bare, monkeypatch):
    def unknown(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(suite.metadata, "requires", unknown)
    assert not suite.status("medvqa").ready


def test_an_unknown_verb_names_the_nearest(capsys):
    assert main(["doktor"]) == 2
    assert "did you mean 'doctor'" in capsys.readouterr().err


def test_every_model_that_is_named_is_shipped():
    assert not [file for name in suite.APPS for file in suite.status(name).models]
