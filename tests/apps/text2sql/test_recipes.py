"""Every recipe in configs/text2sql is dry-run: on the real architecture's shape, and data in the real layout."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from apps.text2sql.config import Text2SqlConfig
from apps.text2sql.dry_run import check, show
from apps.text2sql.train import run_train
from common.config import load
from tests.apps.text2sql.data_folders import bird_folder, multispider_folder, row, write

CONFIGS = Path(__file__).resolve().parents[3] / "configs" / "text2sql"


#: Published shapes of Llama-3.2-3B, Qwen2.5-Coder-7B and SmolLM2-135M: class, vocabulary, width, inner width, layers,
#: heads, key-value heads, tied embeddings.
SHAPES = {
    "llama3-3b": ("Llama", 128256, 3072, 8192, 28, 24, 8, True),
    "qwen2.5-coder-7b": ("Qwen2", 152064, 3584, 18944, 28, 28, 4, False),
    "smollm2-135m": ("Llama", 49152, 576, 1536, 30, 9, 3, True),
}


def model(folder: Path, name: str) -> str:
    """A folder with a config.json of one of `SHAPES`."""
    import transformers

    kind, vocabulary, width, inner, layers, heads, key_values, tied = SHAPES[name]
    getattr(transformers, f"{kind}Config")(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=inner,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=key_values,
        tie_word_embeddings=tied,
        architectures=[f"{kind}ForCausalLM"],
    ).save_pretrained(folder)
    return str(folder)


def multispider(folder: Path) -> Path:
    multispider_folder(folder)
    rows = [row("How many countries?", "SELECT count(*) FROM country")]
    write(folder / "dataset/multispider/with_english_value/train_en.json", rows)
    return folder


def bird(folder: Path) -> list[str]:
    """Two folders, as BIRD ships them: train and dev."""
    from tests.apps.text2sql.data_folders import write_database

    write_database(folder / "train/train_databases/music/music.sqlite")
    question = {"db_id": "music", "question": "Names?", "evidence": "", "SQL": "SELECT name FROM country"}
    write(folder / "train/train.json", [question])
    bird_folder(folder / "dev")
    return ["--train.path", str(folder / "train"), "--heldout.path", str(folder / "dev")]


def options(name: str, folder: Path) -> list[str]:
    """What a user with the weights and the data on disk adds to a recipe's command."""
    if name == "llama3-3b-multispider":
        data = str(multispider(folder / "data"))
        return ["--model.path", model(folder / "model", "llama3-3b"), "--train.path", data, "--heldout.path", data]
    if name.startswith("qwen2.5-coder-7b-bird"):
        return ["--model.path", model(folder / "model", "qwen2.5-coder-7b"), *bird(folder / "data")]
    if name == "smollm2-135m-spider":
        return ["--model.path", model(folder / "model", "smollm2-135m"), "--model.gguf_file", "null"]
    return []


@pytest.mark.parametrize("file", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_recipe_passes_its_dry_run(file, tmp_path):
    config = load(Text2SqlConfig, file, [*options(file.stem, tmp_path), "--runs", str(tmp_path / "runs")])
    failed = [f"{found.name}: {found.detail}" for found in check(config) if not found.passed]
    assert not failed
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize("file", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_recipe_says_how_to_run_it_on_what_how_long_and_with_what_figure(file):
    header = "".join(re.findall(r"^#.*\n", file.read_text("utf-8"), re.M))
    for word in ("Run:", "Hardware:", "Time:", "Figure:"):
        assert word in header, f"{file.name} lacks {word}"
    assert f"configs/text2sql/{file.name}" in header or file.stem == "pocket"


def test_real_shapes_have_the_published_sizes(tmp_path, capsys):
    file = CONFIGS / "llama3-3b-multispider.yaml"
    config = load(Text2SqlConfig, file, options("llama3-3b-multispider", tmp_path))
    assert run_train(config, dry_run=True, json_output=True) == 0
    found = {row["name"]: row["detail"] for row in json.loads(capsys.readouterr().out)}
    assert re.search(r"LlamaForCausalLM, 3,21\d\.\d M weights", found["model"])


@pytest.mark.parametrize(
    ("change", "name", "message"),
    [
        (["--train.path", "nowhere"], "training data", "nowhere"),
        (["--grpo.gradient_accumulation", "7"], "batches", "do not divide"),
        (["--grpo.generations", "1"], "batches", "at least 2"),
        (["--model.lora.target_modules", '["nope"]'], "model", "LoRA does not fit"),
    ],
)
def test_a_recipe_that_cannot_run_says_why(change, name, message, tmp_path):
    file = CONFIGS / "llama3-3b-multispider.yaml"
    config = load(Text2SqlConfig, file, [*options("llama3-3b-multispider", tmp_path), *change])
    looks = check(config)
    found = {looked.name: looked for looked in looks}
    assert not found[name].passed
    assert message in found[name].detail
    assert show(looks, json_output=False) == 2
