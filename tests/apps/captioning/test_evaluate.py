"""`evaluate`: the captioner's own captions and ones made elsewhere, metric by metric."""

from __future__ import annotations

import json

import pytest

from apps.captioning.config import EvaluateConfig
from apps.captioning.data import load_examples
from apps.captioning.evaluate import OURS, run_evaluate
from apps.captioning.measures.metric_suite import METRICS
from common.errors import DataError, UsageError
from common.files import write_json, write_jsonl
from tests.apps.captioning.tiny import tiny_captioner
from tests.apps.captioning.tiny_models import tiny_config

TEXT = ["bleu", "rouge_l", "cider_d", "diversity"]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    tiny_captioner(folder / "captioner")
    return folder


@pytest.fixture
def config(models):
    config = tiny_config(models)
    config.captioner.path, config.captioner.device = str(models / "captioner"), "cpu"
    config.captioner.max_new_tokens = 12
    config.heldout.limit, config.corpus.limit = 6, 30
    config.evaluate.metrics = [*TEXT, "clip_score", "ref_clip_score", "retrieval", "scene", "held_out_clip"]
    config.evaluate.second_clip = config.clip.name
    return config


def run(config, capsys, **given):
    code = run_evaluate(config, json_output=True, **given)
    return code, json.loads(capsys.readouterr().out)


def test_the_metrics_asked_for_by_default_exist():
    assert set(EvaluateConfig().metrics) <= {*METRICS, *OURS}
    assert "spice" not in EvaluateConfig().metrics


@pytest.mark.parametrize(("beam", "projection"), [(1, 0.0), (3, 0.0), (1, 50.0)])
def test_the_captioners_own_captions(config, capsys, tmp_path, beam, projection):
    config.evaluate.beam, config.captioner.projection = beam, projection
    code, found = run(config, capsys, out=str(tmp_path / "out"))
    assert code == 0
    assert not found["partial"]
    assert len(found["items"]) == 6
    names = {"bleu4", "rouge_l", "cider_d", "clip_score", "ref_clip_score", "caption_r@1", "exact", "held_out_clip"}
    assert names <= set(found["metrics"])
    assert "exact, held-out combinations" in found["metrics"]
    assert json.loads((tmp_path / "out" / "evaluation.json").read_text("utf-8")) == found
    assert "exact" in (tmp_path / "out" / "report.html").read_text("utf-8")


def test_the_pictures_own_captions_are_exact(config, capsys, tmp_path):
    examples = load_examples(config.heldout)
    said = write_jsonl(tmp_path / "said.jsonl", [{"id": one.id, "caption": one.captions[0]} for one in examples])
    code, found = run(config, capsys, predictions=str(said))
    assert code == 0
    metrics = found["metrics"]
    assert metrics["exact"]["value"] == metrics["grammatical"]["value"] == 1
    assert metrics["invented"]["value"] == 0
    assert metrics["bleu4"]["value"] == pytest.approx(1)
    # The second CLIP is the first one here, and CLIPScore is 2.5 times its cosine.
    cosines = [max(0.0, value) for value in metrics["held_out_clip"]["each"]]
    assert metrics["clip_score"]["each"] == pytest.approx([2.5 * value for value in cosines], abs=1e-4)


def test_captions_of_other_pictures_are_named(config, tmp_path):
    said = write_jsonl(tmp_path / "said.jsonl", [{"id": "elsewhere", "caption": "A red star."}])
    with pytest.raises(DataError, match="test_held-00000"):
        run_evaluate(config, predictions=str(said), json_output=True)


def test_a_paired_test_against_another_evaluation(config, capsys, tmp_path):
    examples = load_examples(config.heldout)
    said = write_jsonl(tmp_path / "said.jsonl", [{"id": one.id, "caption": one.captions[0]} for one in examples])
    run(config, capsys, predictions=str(said), out=str(tmp_path / "right"))
    code, found = run(config, capsys, compare=str(tmp_path / "right" / "evaluation.json"))
    assert code == 0
    assert "comparison" in found
    write_json(tmp_path / "other.json", {"items": []})
    with pytest.raises(DataError, match=r"other\.json: no evaluation of captions"):
        run_evaluate(config, compare=str(tmp_path / "other.json"))


@pytest.mark.parametrize(
    ("file", "published"),
    [
        (
            "good_captions.json",
            {"bleu1": 0.6667, "bleu2": 0.4899, "bleu3": 0.3469, "rouge_l": 0.4280, "cider_d": 0.5637},
        ),
        (
            "bad_captions.json",
            {"bleu1": 0.4815, "bleu2": 0.2404, "bleu3": 0.1359, "rouge_l": 0.3121, "cider_d": 0.2790},
        ),
    ],
)
def test_published_digits_of_captions_made_elsewhere(config, capsys, shared, file, published):
    folder = shared / "data" / "coco_caption_fixtures" / "clipscore_example"
    if not folder.is_dir():
        pytest.skip("the example of CLIPScore is not there")
    config.evaluate.metrics = TEXT
    code, found = run(config, capsys, predictions=str(folder / file), references=str(folder / "refs.json"))
    assert code == 0
    for name, digits in published.items():
        assert found["metrics"][name]["value"] == pytest.approx(digits, abs=5.1e-5), name


def test_what_needs_pictures_is_left_out_without_them_and_said(config, capsys, tmp_path):
    write_json(tmp_path / "said.json", {"1": "a red star", "2": "a blue heart"})
    write_json(tmp_path / "right.json", {"1": ["a red star"], "2": ["a pink heart"]})
    given = {"predictions": str(tmp_path / "said.json"), "references": str(tmp_path / "right.json")}
    assert run_evaluate(config, json_output=True, **given) == 0
    captured = capsys.readouterr()
    assert "clip_score" in captured.err
    assert "clip_score" not in json.loads(captured.out)["metrics"]


def test_a_metric_that_cannot_be_taken_leaves_the_others_and_exits_with_1(config, capsys, monkeypatch, tmp_path):
    from apps.captioning.measures import text_metrics
    from common.errors import TouchstoneError

    def no_java(*_):
        raise TouchstoneError("there is no Java")

    monkeypatch.setattr(text_metrics, "meteor", no_java)
    config.evaluate.metrics, config.evaluate.second_clip = (
        ["meteor", "bleu", "held_out_clip"],
        f"local-dir:{tmp_path}/no",
    )
    code, found = run(config, capsys)
    assert code == 1
    assert found["partial"]
    assert found["metrics"]["meteor"]["value"] is None
    assert found["metrics"]["meteor"]["reason"] == "there is no Java"
    assert found["metrics"]["held_out_clip"]["reason"] == "evaluate.second_clip is not there"
    assert found["metrics"]["bleu4"]["value"] is not None
    config.evaluate.metrics, config.evaluate.second_clip = ["bleu", "held_out_clip"], ""
    assert run(config, capsys)[0] == 0


def test_wrong_use_is_named(config):
    with pytest.raises(UsageError, match="--references goes with --predictions"):
        run_evaluate(config, references="refs.json")
    config.evaluate.metrics = ["rouge"]
    with pytest.raises(UsageError, match="unknown metrics rouge; there are bleu"):
        run_evaluate(config, json_output=True)
