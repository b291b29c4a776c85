"""Targets that read documents of rows: configs, JSONL, JSON, tables, routes."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from common.errors import UsageError
from tests.fuzz.harness import Target
from tests.fuzz.mutations import HOSTILE, damaged, documents, edits, jsonl, texts

FOLDER = Path(tempfile.mkdtemp(prefix="touchstone-fuzz-"))
CONFIG = """grpo:
  steps: 3
  learning_rate: 1e-6
  extra: {a: 1}
reward: {preset: strict}
model:
  path: x
  lora: {rank: 8}
train: {languages: [en, de], limit: 3}
seed: 1
"""
YAMLS = [
    CONFIG, "seed: 1", "", "--- {}\n--- {}", "[1, 2]", "seed: [", "seed: !!python/object/apply:os.system ['true']", "? [a]\n: 1", "1: 2",
    "seed: 2001-01-01", "seed: 0o7", "seed: .nan", "grpo: 3", "grpo: {steps: {steps: 1}}", "grpo:\n- 1", "<<: {seed: 1}", "seed: &a [*a]", "a: *b",
    "model: {lora: null}\nmodel: {lora: 3}", "data: " + "[" * 400 + "]" * 400, "data: " + "{a: " * 300 + "1" + "}" * 300, "[" * 5000,
    "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [" + ",".join([f"*{chr(97 + n)}"] * 9) + "]\n" for n in range(9)
    ) + "grpo: {extra: {x: *j}}",
    "x: &a {x: 1}\ngrpo: {extra: &b [&c [1,1,1,1,1,1,1,1], *c, *c, *c, *c, *c, *c]}",
    "grpo:\n  extra:\n    a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"    {chr(98 + n)}: &{chr(98 + n)} [" + ",".join([f"*{chr(97 + n)}"] * 9) + "]\n" for n in range(9)
    ),
]  # fmt: skip
YAML_WORDS = [
    "seed",
    "grpo:",
    "steps:",
    "\n  ",
    "- ",
    ": ",
    "!!int",
    "!!python/name:os.system",
    "&a",
    "*a",
    "<<: *a",
    "|",
    ">",
    "%",
    "@",
    "{",
    "}",
    "[",
    "]",
    "~",
    "yes",
]


def config() -> Target:
    from apps.text2sql.config import Text2SqlConfig
    from common.config import load, to_dict

    path = FOLDER / "config.yaml"

    def parse(text: str) -> None:
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
        to_dict(load(Text2SqlConfig, path))

    return Target(texts(YAMLS, YAML_WORDS, 4) | st.sampled_from(YAMLS), parse, (UsageError,), examples=30)


def json_files() -> Target:
    from common.files import read_json, read_jsonl

    path = FOLDER / "rows.jsonl"

    def parse(content: bytes) -> None:
        path.write_bytes(content)
        try:
            read_json(path)
        except UsageError as error:
            assert path.name in str(error)
        list(read_jsonl(path))

    return Target(jsonl([{"a": 1, "b": [1, {"c": None}]}]), parse, named=path.name, examples=60)


def _reader(name: str, call: Callable[[Path], Any], inputs: st.SearchStrategy[bytes], examples: int = 10) -> Target:
    path = FOLDER / name

    def parse(content: bytes) -> None:
        path.write_bytes(content)
        found = call(path)
        if isinstance(found, Iterable):
            list(found)

    return Target(inputs, parse, named=path.name, examples=examples)


def text2sql_rows() -> Target:
    """Every row reader of text2sql, one after the other, on the same kind of rows."""
    from apps.text2sql.data import read_jsonl_examples
    from apps.text2sql.measures.predictions import read_predictions
    from apps.text2sql.schemas.descriptions import read_bird_descriptions, read_spider_descriptions
    from apps.text2sql.score import _read as read_pairs

    row = {
        "question": "How many?",
        "sql": "SELECT 1",
        "database": "a.sqlite",
        "id": 1,
        "tags": ["x"],
        "language": "en",
    }
    (FOLDER / "good.jsonl").write_text('{"question": "How many?", "sql": "SELECT 1", "database": "a.sqlite"}\n')
    examples = read_jsonl_examples(FOLDER / "good.jsonl")
    table = {
        "db_id": "a", "table_names": ["b"], "table_names_original": ["b"], "column_names": [[-1, "*"], [0, "c"]],
        "column_names_original": [[-1, "*"], [0, "c"]], "column_types": ["text"], "foreign_keys": [[1, 1]], "primary_keys": [1],
    }  # fmt: skip
    pair = {
        "gold": "SELECT 1",
        "pred": "SELECT 2",
        "setup": "CREATE TABLE a (b);",
        "database": "a",
        "dialect": "sqlite",
    }
    readers: list[tuple[str, Callable[[Path], Any], st.SearchStrategy[bytes]]] = [
        ("pairs.jsonl", lambda path: read_pairs(path, {}), jsonl([pair])),
        ("examples.jsonl", read_jsonl_examples, jsonl([row])),
        (
            "said.jsonl",
            lambda path: read_predictions(path, examples),
            jsonl([{"sql": "SELECT 1"}, {"samples": ["a"]}]),
        ),
        (
            "said.json",
            lambda path: read_predictions(path, examples),
            documents({"0": "SELECT 1\t----- bird -----\ta"}),
        ),
        ("said.sql", lambda path: read_predictions(path, examples), st.binary(max_size=60)),
        ("tables.json", read_spider_descriptions, documents([table])),
        ("b.csv", lambda path: read_bird_descriptions(path.parent), st.binary(max_size=80) | _csv()),
    ]
    return _several(readers)


def captioning_rows() -> Target:
    from apps.captioning.measures.predictions import read_predictions, read_references
    from apps.captioning.reading import annotations, flickr, folder, sentences

    coco = {
        "images": [{"id": 1, "file_name": "a.jpg"}],
        "annotations": [{"id": 1, "image_id": 1, "caption": "A dog."}],
    }
    karpathy = {
        "images": [
            {"filename": "a.jpg", "split": "test", "imgid": 1, "sentences": [{"raw": "A dog.", "tokens": ["a"]}]}
        ]
    }
    said = {"image_id": 1, "caption": "A dog.", "image": "a.jpg", "captions": ["a"], "text": "A dog."}
    readers: list[tuple[str, Callable[[Path], Any], st.SearchStrategy[bytes]]] = [
        ("captions_val2017.json", annotations.read_coco, documents(coco)),
        ("nocaps.json", annotations.read_nocaps, documents(coco)),
        ("dataset_flickr8k.json", annotations.read_karpathy, documents(karpathy)),
        ("results.csv", flickr.read_flickr, _csv()),
        ("rows.jsonl", folder.read_rows, jsonl([said])),
        ("said.jsonl", read_predictions, jsonl([said])),
        ("said.json", read_predictions, documents([said])),
        ("gold.jsonl", read_references, jsonl([said])),
        ("gold.json", read_references, documents(coco)),
        ("texts.jsonl", sentences.read_sentence_rows, jsonl([said])),
        ("texts.txt", sentences.read_text, _csv()),
        ("cc3m.tsv", sentences.read_cc3m, _csv()),
        ("ss1m.json", sentences.read_ss1m, documents(["<S> a dog </S>"])),
    ]
    return _several(readers)


def medvqa_rows() -> Target:
    from apps.medvqa.cases import read_cases
    from apps.medvqa.config import DataConfig, MedVqaConfig
    from apps.medvqa.data import load_examples
    from apps.medvqa.score import run_score

    row = {
        "question": "What?",
        "answer": "a mass",
        "picture": "a.png",
        "pictures": ["a.png"],
        "choices": ["a"],
        "tags": {},
    }
    pair = {"question": "What?", "answer": "a mass", "reference": ["mass", "a mass"], "choices": ["a", "b"]}
    case = {
        "question": "What?",
        "reference": "a",
        "better": "a",
        "worse": "b",
        "id": "1",
        "kind": "side",
        "source": "x",
    }

    def score(path: Path) -> None:
        run_score(MedVqaConfig(), str(path), str(FOLDER / "scored.jsonl"), json_output=True)

    # The first call brings in the scorer's tables, which is not the rows' fault.
    (FOLDER / "good.jsonl").write_text(json.dumps(pair))
    score(FOLDER / "good.jsonl")
    readers: list[tuple[str, Callable[[Path], Any], st.SearchStrategy[bytes]]] = [
        ("examples.jsonl", lambda path: load_examples(DataConfig(format="jsonl", path=str(path))), jsonl([row])),
        ("pairs.jsonl", score, jsonl([pair])),
        ("cases.jsonl", read_cases, jsonl([case])),
    ]
    return _several(readers)


def text3d_rows() -> Target:
    from apps.text3d.measures.prompt_sets import read_prompts

    readers: list[tuple[str, Callable[[Path], Any], st.SearchStrategy[bytes]]] = [
        ("prompts.jsonl", read_prompts, jsonl([{"prompt": "a cube"}])),
        ("prompts.json", read_prompts, documents([{"prompt": "a cube"}])),
        ("prompts.txt", read_prompts, _csv()),
    ]
    return _several(readers)


def driving_rows() -> Target:
    from apps.driving.config import DrivingConfig
    from apps.driving.roads.library import load_roads
    from apps.driving.roads.route_files import read_routes
    from apps.driving.score import run_score

    roads = load_roads("ring")
    state = {
        "speed": 3.0,
        "limit": 5.0,
        "offset": 0.1,
        "angle": 0.0,
        "steering": 0.0,
        "collision": 0,
        "progress": None,
    }

    def score(path: Path) -> None:
        run_score(DrivingConfig(), str(path), str(FOLDER / "scored.jsonl"), "revolve", json_output=True)

    from common.files import locate

    routes = json.loads(locate("assets/driving/routes/ring.json").read_text())
    small = {**routes, "routes": routes["routes"][:2]} if isinstance(routes, dict) else routes[:2]
    # The first call brings in torch.
    (FOLDER / "good.jsonl").write_text(json.dumps({"state": state}))
    with contextlib.suppress(UsageError):
        score(FOLDER / "good.jsonl")
    readers: list[tuple[str, Callable[[Path], Any], st.SearchStrategy[bytes]]] = [
        ("states.jsonl", score, jsonl([{"state": state, "episode": 1}])),
        ("routes.json", lambda path: read_routes(path, roads), documents(small)),
    ]
    return _several(readers)


def _several(readers: list[tuple[str, Callable[[Path], Any], st.SearchStrategy[bytes]]], examples: int = 40) -> Target:
    """One of several readers, each with its own file."""

    def parse(value: tuple[int, bytes]) -> None:
        number, content = value
        name, call, _ = readers[number]
        path = FOLDER / name
        path.write_bytes(content)
        try:
            found = call(path)
            if isinstance(found, Iterable):
                list(found)
        finally:
            path.unlink()

    inputs = st.one_of(*(st.tuples(st.just(number), inputs) for number, (_, _, inputs) in enumerate(readers)))
    return Target(inputs, parse, named=".", examples=examples)


def _csv() -> st.SearchStrategy[bytes]:
    cell = st.sampled_from([*HOSTILE, "a.jpg#0", "a.jpg| 0| A dog.", "original_column_name", "A dog."]) | st.text(
        max_size=8
    )
    line = st.lists(cell, max_size=5).map(lambda cells: ",".join(cells)) | st.lists(cell, max_size=4).map("\t".join)
    whole = st.lists(line, max_size=5).map(lambda lines: "\n".join(lines).encode("utf-8", "surrogatepass"))
    return st.one_of(whole, st.builds(damaged, whole, edits))
