"""The README stays true: its set-up lines are the ones CI runs, and each of its commands runs, made small."""

from __future__ import annotations

import json
import re
import shlex
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = (ROOT / "README.md", ROOT / "apps" / "text2sql" / "README.md")
PREFIX = "python -m apps"

# Long work is made short by options a user has too; what is run is otherwise what the page says.
SMALL = {
    "train": "--grpo.steps 2 --grpo.prompts_per_step 2 --grpo.generations 2 --heldout.limit 7 --train.limit 56"
    " --minimum_accuracy 0",
    "evaluate": "--heldout.limit 14",
    "audit": "--rows 14",
    "pretrain": "--pretrain.sft.steps 2 --pretrain.examples 140 --heldout.limit 7 --pretrain.encoder_steps 2",
}
NOT_RUN = ("demo", "--resume")  # a server (tests/browser) and a run that must exist (test_train_resumes)


def commands() -> list[str]:
    blocks = [block for page in PAGES for block in re.findall(r"```bash\n(.*?)```", page.read_text("utf-8"), re.S)]
    lines = [line.split("  #")[0].strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    found = [line[line.index(PREFIX) :] for line in lines if PREFIX in line]
    return [line for line in dict.fromkeys(found) if not any(word in line for word in NOT_RUN)]


def test_the_two_set_up_commands_come_first_and_ci_runs_the_second():
    first, second = re.findall(r"```bash\n(.*?)```", README, re.S)[:2]
    assert first.strip().endswith("python -m apps.text2sql train")
    for block in (first, second):
        assert block.startswith("python3 -m venv .venv && source .venv/bin/activate && pip install -e ")
    assert second.strip().partition("activate && ")[2] in (ROOT / ".ci" / "run").read_text().splitlines()


def test_pictures_and_pages_that_are_named_exist():
    for page in PAGES:
        for target in re.findall(r"\]\(((?!http)[^)#]+)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page}: {target}"


@pytest.mark.parametrize("command", commands())
def test_command_runs(command, tmp_path):
    words = shlex.split(command)[2:]
    module, verb = words[0], words[1] if len(words) > 1 else ""
    (tmp_path / "pairs.jsonl").write_text(
        json.dumps(
            {
                "id": 1,
                "setup": "CREATE TABLE t(a); INSERT INTO t VALUES (1);",
                "gold": "SELECT a FROM t",
                "pred": "SELECT 1",
            }
        )
        + "\n"
    )
    with sqlite3.connect(tmp_path / "music.sqlite") as database:
        database.execute("CREATE TABLE singer(id INTEGER PRIMARY KEY, name TEXT)")
    if "../shared" in command and not (ROOT.parent / "shared").is_dir():
        pytest.skip("the public data is not beside this checkout")
    words = [str(ROOT / word) if word.startswith(("../shared", "configs/", "assets/")) else word for word in words]
    words += SMALL.get(verb, "").split()
    if verb in ("train", "pretrain"):
        words += ["--runs", str(tmp_path / "runs")]
    done = subprocess.run(
        [sys.executable, "-m", module, *words[1:]],
        cwd=tmp_path,
        env={**_environment(), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"


def _environment() -> dict[str, str]:
    import os

    return dict(os.environ)
