"""Nothing in the tree runs what it reads: the source is searched, not for words, but for calls."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = sorted(path for folder in ("apps", "common", "examples") for path in (ROOT / folder).rglob("*.py"))

#: Calls that run code, or may, whatever their arguments.
FORBIDDEN = {
    "eval", "exec", "compile", "__import__", "execfile", "input",
    "pickle.load", "pickle.loads", "pickle.Unpickler", "_pickle.loads", "dill.load", "dill.loads", "cloudpickle.load",
    "cloudpickle.loads", "joblib.load", "shelve.open", "marshal.load", "marshal.loads", "pandas.read_pickle",
    "pd.read_pickle", "os.system", "os.popen", "os.execv", "os.execvp", "pty.spawn", "subprocess.getoutput",
    "subprocess.getstatusoutput", "yaml.load", "yaml.load_all", "yaml.full_load", "yaml.unsafe_load",
    "tempfile.mktemp", "shutil.unpack_archive", "torch.hub.load", "runpy.run_path", "code.interact",
}  # fmt: skip
#: Methods that unpack archives, wherever they come from: names inside one may lead out of the folder.
METHODS = {"extractall", "enable_load_extension", "load_extension"}
#: Where a forbidden call stands all the same, and why it may.
ALLOWED = {
    ("common/rewards/check.py", "pickle.loads"): "its own bytes, made in the same line: does the reward pickle?",
    (
        "apps/text2sql/execution/worker.py",
        "marshal.loads",
    ): "the pipe between a process and the worker that it started",
}


def test_there_is_something_to_search() -> None:
    assert len(FILES) > 300


def test_no_call_runs_what_was_read_but_the_ones_allowed() -> None:
    found = {
        (path.relative_to(ROOT).as_posix(), call): line
        for path in FILES
        for line, call in dangerous(path.read_text(encoding="utf-8"))
    }
    assert {place: line for place, line in found.items() if place not in ALLOWED} == {}
    # An exception that nobody needs any more is one to take out.
    assert set(ALLOWED) <= set(found)


@pytest.mark.parametrize(
    "code",
    [
        "eval(x)",
        "import pickle as p; p.load(f)",
        "from pickle import loads; loads(x)",
        "import torch; torch.load(f)",
        "import torch; torch.load(f, weights_only=False)",
        "import numpy as np; np.load(f, allow_pickle=True)",
        "import numpy as np; np.load(f, allow_pickle=flag)",
        "import yaml; yaml.load(f, Loader=yaml.Loader)",
        "from yaml import load as read; read(f)",
        "import subprocess; subprocess.run(x, shell=True)",
        "import os; os.system(x)",
        "archive.extractall(folder)",
        "model = AutoModel.from_pretrained(x, trust_remote_code=True)",
        "blocks.launch(allowed_paths=['/'])",
        "blocks.launch(server_name='0.0.0.0')",
        "logging.config.listen(9030)",
        "import importlib.util as u; u.spec_from_file_location(n, p)",
    ],
)
def test_the_search_finds(code: str) -> None:
    assert list(dangerous(code))


@pytest.mark.parametrize(
    "code",
    [
        "import torch; torch.load(f, weights_only=True)",
        "import numpy as np; np.load(f, allow_pickle=False)",
        "import yaml; yaml.safe_load(f)",
        "model.eval()",
        "re.compile(x)",
        "import pickle; pickle.dumps(x)",
    ],
)
def test_the_search_lets_pass(code: str) -> None:
    assert not list(dangerous(code))


def dangerous(source: str) -> Iterator[tuple[int, str]]:
    """Line and name of each call that could run what it is given."""
    tree = ast.parse(source)
    known = dict(_imports(tree))
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = _name(node.func, known)
        keywords = {keyword.arg: keyword.value for keyword in node.keywords}
        if name in FORBIDDEN or (isinstance(node.func, ast.Attribute) and node.func.attr in METHODS):
            yield node.lineno, name
        elif name == "torch.load" and not _is(keywords.get("weights_only"), True):
            yield node.lineno, "torch.load without weights_only=True"
        elif name in ("np.load", "numpy.load") and not _is(keywords.get("allow_pickle"), False):
            yield node.lineno, "numpy.load without allow_pickle=False"
        elif "shell" in keywords and not _is(keywords["shell"], False):
            yield node.lineno, "shell=True"
        elif "trust_remote_code" in keywords and not _is(keywords["trust_remote_code"], False):
            yield node.lineno, "trust_remote_code"
        elif "allowed_paths" in keywords:
            yield node.lineno, "allowed_paths"
        elif "server_name" in keywords and not _is(keywords["server_name"], "127.0.0.1"):
            yield node.lineno, "a server that others reach"
        elif name.endswith(("spec_from_file_location", "logging.config.listen")):
            yield node.lineno, name


def _imports(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Local names and what they stand for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.asname, alias.name) for alias in node.names if alias.asname)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from ((alias.asname or alias.name, f"{node.module}.{alias.name}") for alias in node.names)


def _name(function: ast.expr, known: dict[str, str]) -> str:
    parts = []
    while isinstance(function, ast.Attribute):
        parts.append(function.attr)
        function = function.value
    if not isinstance(function, ast.Name):
        return ".".join(["…", *reversed(parts)])
    return ".".join([known.get(function.id, function.id), *reversed(parts)])


def _is(node: ast.expr | None, value: object) -> bool:
    return (
        isinstance(node, ast.Constant) and node.value is value
        if isinstance(value, bool)
        else (isinstance(node, ast.Constant) and node.value == value)
    )
