"""Every recipe in configs/medvqa is dry-run: on the real architecture's shape, and data in the real layout."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image

from apps.medvqa.config import MedVqaConfig
from apps.medvqa.dry_run import check
from apps.medvqa.train import run_train
from common.config import load
from common.files import write_jsonl

CONFIGS = Path(__file__).resolve().parents[3] / "configs" / "medvqa"
FILES = sorted(CONFIGS.glob("*.yaml"))
#: Published shapes of Qwen2.5-VL-Instruct: width, inner width, layers, heads, key-value heads, tied embeddings.
SEVEN_B = (3584, 18944, 28, 28, 4, False)
SHAPES = {
    "armed-qwen2.5-vl-3b": (2048, 11008, 36, 16, 2, True),
    "qwen2.5-vl-7b-lora": SEVEN_B,
    "qwen2.5-vl-7b-vllm-server": SEVEN_B,
}


def qwen(folder: Path, name: str) -> Path:
    """A config.json of the published shape."""
    from transformers import Qwen2_5_VLConfig

    width, inner, layers, heads, key_values, tied = SHAPES[name]
    Qwen2_5_VLConfig(
        text_config={
            "hidden_size": width,
            "intermediate_size": inner,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "num_key_value_heads": key_values,
            "vocab_size": 151936 if tied else 152064,
            "tie_word_embeddings": tied,
            "rope_parameters": {"rope_type": "default", "mrope_section": [16, 24, 24], "rope_theta": 1e6},
        },
        vision_config={"hidden_size": 1280, "out_hidden_size": width, "intermediate_size": 3420, "depth": 32},
        tie_word_embeddings=tied,
        architectures=["Qwen2_5_VLForConditionalGeneration"],
    ).save_pretrained(folder)
    return folder


def data(folder: Path, name: str) -> str:
    """Our own JSONL with a picture each."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for at in range(4):
        picture = folder / f"{name}{at}.png"
        Image.new("L", (64, 64), 40 * at).save(picture)
        rows.append(
            {
                "id": f"{name}{at}",
                "question": "Is there a nodule?",
                "answer": "no",
                "pictures": [picture.name],
                "split": name,
                "study": f"{name}-{at}",
                "reasoning": "Nothing round is seen.",
            }
        )
    write_jsonl(folder / f"{name}.jsonl", rows)
    return str(folder / f"{name}.jsonl")


def options(name: str, folder: Path) -> list[str]:
    """What a user with the weights and the data on disk adds to a recipe's command."""
    if name not in SHAPES:
        # Drawing all phantoms takes half a minute.
        return ["--train.limit=60", "--heldout.limit=20", "--demonstrations.limit=60"]
    paths = [
        f"--{part}.path={data(folder / 'data', split)}" for part, split in (("train", "train"), ("heldout", "test"))
    ]
    found = ["--model.path", str(qwen(folder / "model", name)), *paths, "--reward.semantic.encoder=hash"]
    return [*found, f"--demonstrations.path={data(folder / 'data', 'train')}"] if name.startswith("armed") else found


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_recipe_passes_its_dry_run(file, tmp_path):
    config = load(MedVqaConfig, file, [*options(file.stem, tmp_path), "--runs", str(tmp_path / "runs")])
    failed = [f"{found.name}: {found.detail}" for found in check(config) if not found.passed]
    assert not failed
    assert not (tmp_path / "runs").exists()


def test_the_meta_model_has_the_published_size(tmp_path):
    sizes = {}
    for file in FILES:
        if file.stem in SHAPES:
            config = load(MedVqaConfig, file, options(file.stem, tmp_path / file.stem))
            detail = next(found.detail for found in check(config) if found.name == "model")
            sizes[file.stem] = [float(number.replace(",", "")) for number in re.findall(r"([\d,.]+) M", detail)]
    assert sizes["armed-qwen2.5-vl-3b"][0] == pytest.approx(3755, rel=0.01)
    assert sizes["qwen2.5-vl-7b-lora"][0] == pytest.approx(8292, rel=0.01)
    assert sizes["qwen2.5-vl-7b-lora"][1] < 200


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.stem)
def test_recipe_says_how_to_run_it_on_what_how_long_and_with_what_figure(file):
    header = file.read_text("utf-8").split("\nmodel:")[0]
    for word in ("Run:", "Hardware:", "Time:", "Figure:"):
        assert word in header, word
    assert "TBD" not in header
    assert "apps.medvqa train" in header


def test_dry_run_fails_with_exit_code_2_and_says_what_is_wrong(tmp_path, capsys):
    config = load(
        MedVqaConfig, CONFIGS / "pocket.yaml", [f"--model.path={tmp_path / 'nothing'}", *options("", tmp_path)]
    )
    assert run_train(config, dry_run=True) == 2
    assert "no such model folder" in " ".join(capsys.readouterr().out.split())


def test_data_that_is_elsewhere_is_not_checked(tmp_path):
    config = load(MedVqaConfig, CONFIGS / "qwen2.5-vl-7b-lora.yaml", [f"--train.path={tmp_path / 'no.jsonl'}"])
    found = {one.name: one for one in check(config)}
    assert found["training data"].passed is None
    assert "not on this machine" in found["training data"].detail
