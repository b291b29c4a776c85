"""The files of `configs/rewards` do what their examples say, and every name of the catalogue stands in one."""

from __future__ import annotations

import importlib
import math
import pickle
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from common.rewards.base import Reward
from common.rewards.build import build, imported, read_block, read_example
from common.rewards.catalogue import CATALOGUE, FUNCTIONS
from common.rewards.catalogue.listing import documentation, names_in
from common.rewards.catalogue.page import README, page
from common.rewards.catalogue.papers import PAPERS
from common.rewards.check import check_reward
from tests.common.rewards.configs import FILES, columns_of, on_the_loopback

ROOT = Path(__file__).resolve().parents[3]
IMPORTS = re.compile(r"^\s*from (common[\w.]*) import (\([^)]*\)|[^\n(]*)", re.MULTILINE)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_files_example_scores_what_it_says_and_the_reward_passes_the_check(file: Path) -> None:
    torch.set_num_threads(1)
    example = read_example(file)
    columns = columns_of(example)
    with on_the_loopback(file) as spec:
        reward = build(spec)
        twin = pickle.loads(pickle.dumps(reward))
        expected = [math.nan if value is None else value for value in example.values]
        assert reward(**columns).values.tolist() == pytest.approx(expected, abs=1e-4, nan_ok=True)
        assert twin(**columns).values.tolist() == pytest.approx(expected, abs=1e-4, nan_ok=True)
        # A reward that learns as steps go by has no value of its own for a row; the rest must hold without a step.
        check_reward(
            reward, {name: column for name, column in columns.items() if name != "step" or name in reward.needs}
        )


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_file_begins_with_what_it_shows(file: Path) -> None:
    assert file.read_text(encoding="utf-8").startswith("# ")


def test_every_name_of_the_catalogue_stands_in_a_file() -> None:
    shown = set().union(*(names_in(dict(read_block(file, "reward"))) for file in FILES))
    assert set(CATALOGUE) - shown == set()


@pytest.mark.parametrize("entry", [*CATALOGUE.values(), *FUNCTIONS.values()], ids=lambda entry: entry.name)
def test_an_entry_is_what_it_says(entry) -> None:
    target = imported(f"{entry.module}:{entry.attribute}", entry.name)
    assert importlib.import_module(entry.module).__file__ == str(ROOT / entry.file)
    assert entry.attribute in documentation(entry)
    if isinstance(target, type):
        assert issubclass(target, Reward) == (entry.kind != "piece")
        texts = [kind.__doc__ or "" for kind in target.__mro__ if kind not in (Reward, object)]
        assert entry.kind != "leaf" or "igher is better" in " ".join(" ".join(texts).split()), "which way is up?"


def test_an_entrys_users_use_it() -> None:
    """`used_by` names exactly the applications whose code names the class."""
    named: dict[str, set[str]] = {}
    for file in (ROOT / "apps").glob("*/**/*.py"):
        for module, names in IMPORTS.findall(file.read_text(encoding="utf-8")):
            for name in re.findall(r"\w+", names):
                named.setdefault(f"{module}:{name}", set()).add(file.relative_to(ROOT).parts[1])
    for entry in CATALOGUE.values():
        homes = {f"{entry.module}:{entry.attribute.split('.')[0]}"}
        # Most import a class from the package that hands it on.
        homes |= {f"{package}:{entry.attribute}" for package in ("common.rewards", entry.module.rpartition(".")[0])}
        used = set().union(*(named.get(home, set()) for home in homes))
        assert set(entry.used_by) == used, entry.name


@pytest.mark.parametrize("arguments", [["--help"], ["list"], ["list", "--json"], ["score", "--help"]])
def test_listing_needs_no_torch(arguments: list[str]) -> None:
    code = (
        "import sys, runpy\n"
        f"sys.argv = ['rewards', *{arguments!r}]\n"
        "try:\n    runpy.run_module('common.rewards', run_name='__main__')\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)


class TestPage:
    def test_the_page_is_the_catalogues(self) -> None:
        text = README.read_text(encoding="utf-8")
        assert text == page(), "run python -m common.rewards.catalogue.page"

    def test_every_paper_is_on_it_with_names_that_are_there_or_a_reason(self) -> None:
        assert [paper.number for paper in PAPERS] == list(range(1, 43))
        for paper in PAPERS:
            assert paper.names or paper.elsewhere or paper.why, paper.title
            assert set(paper.names) <= {*CATALOGUE, *FUNCTIONS}, paper.title
            for file in paper.elsewhere:
                assert (ROOT / file).is_file(), file

    def test_its_links_lead_somewhere(self) -> None:
        for link in re.findall(r"\]\(([^)]+)\)", README.read_text(encoding="utf-8")):
            assert link.startswith("https://arxiv.org/") or (README.parent / link).is_file(), link
