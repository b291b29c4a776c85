"""The command line reaches every verb: each example of the help pages is parsed and handed over."""

from __future__ import annotations

import importlib
import inspect
import json
import shlex

import pytest

from apps.driving.__main__ import APP
from common.errors import UsageError

EXAMPLES = [(verb, example) for verb in APP.verbs for example in verb.examples]


@pytest.mark.parametrize(("verb", "example"), EXAMPLES, ids=[example for _, example in EXAMPLES])
def test_an_examples_options_are_those_of_the_function(verb, example, monkeypatch):
    module, function = verb.target.split(":")
    real = inspect.signature(getattr(importlib.import_module(module), function))
    called = []

    def stand_in(config, **flags):
        called.append(real.bind(config, **flags))

    monkeypatch.setattr(f"{module}.{function}", stand_in)
    command = shlex.split(example)
    assert command[:3] == ["python", "-m", "apps.driving"]
    assert APP.main(command[3:]) == 0
    assert len(called) == 1


def test_a_route_is_driven_from_the_command_line(capsys):
    arguments = ["--town", "village", "--vehicles", "0", "--evaluate.end.seconds", "2", "--json"]
    seen = []
    for options in ([], ["--parts", "progress"], ["--seed", "5"]):
        assert APP.main(["drive", *arguments, *options]) == 0
        seen.append(json.loads(capsys.readouterr().out))
    assert seen[0] == seen[1]
    assert seen[0]["case"]["town"] == "village"
    assert seen[0]["case"]["route"] != seen[2]["case"]["route"]


def test_every_verb_is_a_function_that_can_be_imported():
    for verb in APP.verbs:
        module, function = verb.target.split(":")
        assert callable(getattr(importlib.import_module(module), function))
    assert APP.main(["nothing"]) == UsageError.exit_code
