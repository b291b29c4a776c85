"""The README stays true: its set-up lines are the ones CI runs, and each of its commands runs, made small."""

from __future__ import annotations

import json
import re
import shlex
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from common.files import write_jsonl

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = (
    ROOT / "README.md",
    ROOT / "common" / "rewards" / "README.md",
    *(ROOT / "apps" / app / "README.md" for app in ("text2sql", "captioning", "medvqa", "driving", "text3d")),
)
MODULES = re.compile(r"python -m (apps|common\.rewards|examples)\b")

# Long work is made short by options a user has too; what is run is otherwise what the page says.
SMALL = {
    "common.rewards": {"train": "--steps 4 --backbone.path hash"},
    "apps.text2sql": {
        "train": "--grpo.steps 2 --grpo.prompts_per_step 2 --grpo.generations 2 --heldout.limit 7 --train.limit 56"
        " --minimum_accuracy 0",
        "evaluate": "--heldout.limit 14",
        "audit": "--rows 14",
        "pretrain": "--pretrain.sft.steps 2 --pretrain.examples 140 --heldout.limit 7 --pretrain.encoder_steps 2",
    },
    "apps.captioning": {
        "train": "--train.limit 8 --validation.limit 4 --heldout.limit 6 --corpus.limit 20 --init.steps 2"
        " --init.batch_size 4 --init.further 2 --rl.steps 2 --rl.pictures_per_step 2 --rl.samples 2"
        " --comparison.seeds [0]",
        "audit": "--rows 14",
    },
    "apps.medvqa": {
        "train": "--grpo.steps 2 --grpo.prompts_per_step 2 --grpo.generations 2 --heldout.limit 8 --train.limit 20"
        " --minimum_accuracy 0",
        "evaluate": "--heldout.limit 16",
        "audit": "--rows 20",
        "pairs": "--rows 12",
        "pretrain": "--pretrain.vision_steps 2 --pretrain.language_steps 2 --pretrain.examples 64 --heldout.limit 8",
    },
    "apps.driving": {
        "train": "--control.steps 512 --control.ppo.rollout 64 --control.eval_every 0 --evaluate.routes_per_map 1"
        " --evaluate.vehicles [0] --evaluate.end.seconds 4",
        "compare": "--comparison.recipes [progress,tirl]",
        "evaluate": "--evaluate.routes_per_map 1 --evaluate.vehicles [0] --evaluate.end.seconds 4",
        "drive": "--evaluate.end.seconds 4",
        "audit": "--rows 4 --drives 2 --recipes progress,tirl",
    },
    "apps.text3d": {
        "generate": "--optimise.steps 4 --optimise.size 28 --export.resolution 32 --export.frames 3 --runs runs",
        "train": "--optimise.steps 3 --optimise.size 28 --export.resolution 0 --export.frames 0 --train.count 2"
        " --comparison.recipes [] --comparison.seeds []",
        "audit": "--rows 1 --audit.size 56 --audit.judged 0",
        "pretrain": "--only clip --pretrain.out models --pretrain.clip.steps 2 --pretrain.clip.scenes 16"
        " --pretrain.clip.heldout 4",
    },
}
# A server (tests/browser, or CARLA's), a run that must exist (test_train_resumes), what tests of their own run as it
# stands here (test_pretrain, test_numbers_app, test_suite_audit), and what writes into the checkout.
NOT_RUN = (
    *("demo", "--resume", "captioning pretrain", "medvqa pretrain", "driving pretrain", "numbers_app", "m apps audit"),
    *("runs/", "carla", "roads.build"),
)


def commands() -> list[str]:
    blocks = [block for page in PAGES for block in re.findall(r"```bash\n(.*?)```", page.read_text("utf-8"), re.S)]
    lines = [line.split("  #")[0].strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    found = [line[match.start() :] for line in lines if (match := MODULES.search(line))]
    return [line for line in dict.fromkeys(found) if not any(word in line for word in NOT_RUN)]


def rationed(found: list[str]) -> Iterator[Any]:
    """One command of each verb for every run; the others are for `-m slow`, which CI runs too.

    What a verb does in each application is what tests/apps/<app> tries in every run.
    """
    seen: set[str] = set()
    for command in found:
        verb = " ".join(command.split()[3:4])  # `python -m apps` has none
        yield pytest.param(command, id=command, marks=[pytest.mark.slow] if verb in seen else [])
        seen.add(verb)


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


def lay_out(module: str, folder: Path) -> None:
    """The files of their own that the page's readers are told to name."""
    row: dict[str, object] = {"id": 1, "setup": "CREATE TABLE t(a); INSERT INTO t VALUES (1);"}
    row |= {"gold": "SELECT a FROM t", "pred": "SELECT 1"}
    with sqlite3.connect(folder / "music.sqlite") as database:
        database.execute("CREATE TABLE singer(id INTEGER PRIMARY KEY, name TEXT)")
    if module == "apps.captioning":
        (folder / "folder").mkdir()
        for name in ("photo.jpg", "folder/1.png", "folder/2.png"):
            Image.new("RGB", (40, 30), (200, 40, 40)).save(folder / name)
        row = {"image": "photo.jpg", "caption": "a red star"}
        said = {"image_id": 1, "caption": "a red star"}
        (folder / "results.json").write_text(json.dumps([said]))
        known = {"images": [{"id": 1, "file_name": "photo.jpg"}], "annotations": [{"id": 1, **said}]}
        (folder / "captions_val2014.json").write_text(json.dumps(known))
    if module == "apps.medvqa":
        Image.new("L", (112, 112), 60).save(folder / "phantom.png")
        row = {"question": "Is a pneumothorax seen?", "reference": "No pneumothorax", "answer": "none"}
    if module == "apps.text3d":
        Image.new("RGB", (112, 112), (200, 40, 40)).save(folder / "view.png")
        row = {"prompt": "a red cube", "image": "view.png"}
    (folder / "pairs.jsonl").write_text(json.dumps(row) + "\n")
    if module == "common.rewards":
        said = [{"prompt": "2 + 2?", "completion": text, "score": score} for text, score in (("4", 1.0), ("5", 0.0))]
        pairs = [{"prompt": f"{n} + {n}?", "chosen": f"{2 * n}", "rejected": f"{2 * n + 1}"} for n in range(100)]
        write_jsonl(folder / "rows.jsonl", [{"completion": "Paris", "reference": "paris"}])
        write_jsonl(folder / "scored.jsonl", said)
        for place in (folder, folder / "preferences"):
            write_jsonl(place / "pairs.jsonl", pairs)


@pytest.mark.parametrize("command", rationed(commands()))
def test_command_runs(command, tmp_path):
    words = shlex.split(command)[2:]
    module, verb = words[0], words[1] if len(words) > 1 else ""
    lay_out(module, tmp_path)
    if "../shared" in command and not (ROOT.parent / "shared").is_dir():
        pytest.skip("the public data is not beside this checkout")
    words = [str(ROOT / word) if word.startswith(("../shared", "configs/", "assets/")) else word for word in words]
    if module == "apps.driving" and verb == "train" and not (ROOT / "assets" / "driving" / "clip").is_dir():
        pytest.skip("no pocket CLIP in this checkout")
    words += SMALL.get(module, {}).get(verb, "").split()
    if "compare-" in command:
        words += SMALL.get(module, {}).get("compare", "").split()
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
