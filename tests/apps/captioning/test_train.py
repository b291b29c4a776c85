"""The whole of `train` on the pocket world with tiny models: what a run leaves, resumes, refuses and compares."""

from __future__ import annotations

import json
import os
import signal
from copy import deepcopy

import pytest
import torch

from apps.captioning import comparison, train
from apps.captioning.audit import run_audit
from apps.captioning.config import CaptioningConfig
from apps.captioning.measures.evaluation import Evaluation
from apps.captioning.model import load_captioner
from common.config import load
from common.errors import DataError, UsageError
from common.files import write_jsonl
from common.training.run import Interrupted
from tests.apps.captioning.tiny import tiny_decoder_folder
from tests.apps.captioning.tiny_judge import tiny_judge_folder
from tests.apps.captioning.tiny_models import tiny_config

TINY_STEPS = 4


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    tiny_decoder_folder(folder / "decoder")
    tiny_judge_folder(folder / "discriminator")
    return folder


@pytest.fixture
def config(models, tmp_path) -> CaptioningConfig:
    return settings(models, tmp_path / "runs")


def settings(models, runs) -> CaptioningConfig:
    config = tiny_config(models, runs)
    config.captioner.decoder, config.captioner.device = str(models / "decoder"), "cpu"
    config.captioner.max_new_tokens, config.captioner.align = 16, True
    config.train.limit, config.validation.limit, config.heldout.limit, config.corpus.limit = 12, 5, 8, 40
    config.init.steps, config.init.batch_size, config.init.warmup = 3, 8, 1
    config.rl.steps, config.rl.pictures_per_step, config.rl.samples, config.rl.warmup = TINY_STEPS, 3, 3, 1
    config.rl.eval_every, config.rl.save_every = 2, 1
    config.reward.clip_agg, config.reward.naturalness, config.discriminator.gate = 0.5, 0.2, 0.0
    config.discriminator.pretrain_steps = 2
    config.evaluate.second_clip = ""
    return config


@pytest.fixture
def quick(monkeypatch):
    """No report, which takes longer than all the rest."""
    from apps.captioning import training_report

    monkeypatch.setattr(training_report, "write_report", lambda *_: None)


@pytest.fixture(scope="module")
def whole(models, tmp_path_factory):
    return train.train_one(settings(models, tmp_path_factory.mktemp("whole")), name="whole")


def captions(evaluation: Evaluation) -> list[str]:
    return [item.caption for item in evaluation.items]


def log(folder) -> list[dict]:
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text("utf-8").splitlines()]
    return [{name: value for name, value in row.items() if "time/" not in name} for row in rows]


def test_a_run_leaves_what_its_user_needs(whole):
    folder = whole.run.folder
    for name in ("config.yaml", "run.json", "log.jsonl", "evaluation.json", "report.html", "model/captioner.json"):
        assert (folder / name).is_file(), name
    assert [row["step"] for row in whole.run.rows("init")] == [1, 2, 3]
    rows = whole.run.rows("rl")
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    assert [row["step"] for row in rows if "validation/selected" in row] == [2, 4]
    assert "kept_step" in rows[-1]
    assert [path.name for path in sorted((folder / "samples").iterdir())] == ["rl-000002.jsonl", "rl-000004.jsonl"]
    sample = json.loads((folder / "samples" / "rl-000004.jsonl").read_text("utf-8").splitlines()[0])
    assert sample["picture"].startswith("train-")
    assert set(sample["parts"]) == {"clip_cos", "clip_agg", "naturalness"}
    page = (folder / "report.html").read_text("utf-8")
    happened = "alignment of pictures with the corpus, then 4 steps of reinforcement"
    for words in ("Before and after", happened, "Pictures and captions", "Reinforcement", "Settings", "<svg"):
        assert words in page, words
    # Pictures are in the page itself: those whose caption has changed.
    changed = sum(a != b for a, b in zip(captions(whole.before), captions(whole.after), strict=True))
    assert page.count("data:image/png") == (changed or 8)
    found = json.loads((folder / "evaluation.json").read_text("utf-8"))
    assert set(found) == {"before", "after", "retrieval"}
    assert len(found["after"]["items"]) == 8
    assert {"exact", "grammatical", "clip_cos", "cider"} <= set(found["after"]["measures"])
    # Nothing that only a resumed run needs is left.
    assert not list(folder.glob("checkpoints/*/*.pt"))


def test_the_kept_model_is_the_one_that_was_measured(whole):
    captioner = load_captioner(whole.run.folder / "model")
    final = load_captioner(whole.run.final("rl"))
    assert all(torch.equal(a, b) for a, b in zip(captioner.parameters(), final.parameters(), strict=True))
    values = {row["step"]: row["validation/selected"] for row in whole.run.rows("rl") if "validation/selected" in row}
    kept = whole.run.rows("rl")[-1]["kept_step"]
    assert kept == 0 or values[kept] == max(values.values())


def test_retrieval_says_the_corpus_own_sentences(whole):
    from apps.captioning.data import load_corpus

    corpus = load_corpus(load(CaptioningConfig, whole.run.folder / "config.yaml").corpus)
    assert set(captions(whole.retrieval)) <= set(corpus)


@pytest.mark.parametrize(("stage", "at"), [("init", 2), ("rl", 1), ("rl", 3)])
def test_interrupted_and_resumed_equals_uninterrupted(quick, config, whole, monkeypatch, capsys, stage, at):
    from apps.captioning.learning.initialise import Initialiser
    from apps.captioning.learning.reinforce import Reinforcer

    kind = Initialiser if stage == "init" else Reinforcer
    step = kind.step

    def stepped(self):
        if self.steps == at:
            os.kill(os.getpid(), signal.SIGINT)
        return step(self)

    monkeypatch.setattr(kind, "step", stepped)
    with pytest.raises(Interrupted, match="--resume"):
        train.train_one(config, name="cut")
    monkeypatch.undo()
    folder = train.Path(config.runs) / "cut"
    assert not (folder / "evaluation.json").exists()
    torch.manual_seed(777)
    assert comparison.resume(folder, json_output=True) == 0
    resumed = json.loads(capsys.readouterr().out)
    assert resumed["run"] == str(folder)
    assert log(folder) == log(whole.run.folder)
    assert captions(train.finished(train_run(folder)).after) == captions(whole.after)
    for part in ("model", "discriminator"):
        for path in (whole.run.folder / part).rglob("*.safetensors"):
            assert path.read_bytes() == (folder / path.relative_to(whole.run.folder)).read_bytes(), path


def train_run(folder):
    from common.training.run import Run

    return Run.resume(folder)


def test_a_run_stopped_between_its_stages_goes_on_the_same(quick, config, whole, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "reinforce", stop)
    with pytest.raises(KeyboardInterrupt):
        train.train_one(config, name="cut")
    monkeypatch.undo()
    folder = train.Path(config.runs) / "cut"
    torch.manual_seed(777)
    train.train_one(load(CaptioningConfig, folder / "config.yaml"), resume=folder)
    assert log(folder) == log(whole.run.folder)


def test_a_finished_run_is_shown_again_and_not_done_again(whole, capsys, monkeypatch):
    monkeypatch.setattr(train, "load_data", None)
    assert comparison.resume(whole.run.folder, json_output=True) == 0
    found = json.loads(capsys.readouterr().out)
    mean = found["changes"]["clip_cos"]["all"]["after"]["mean"]
    assert mean == pytest.approx(whole.after.interval("clip_cos").mean)


def test_no_run_to_go_on_with(tmp_path):
    with pytest.raises(UsageError, match="no run to go on with"):
        comparison.resume(tmp_path, json_output=True)


def test_without_reinforcement_and_alignment_before_is_after(config):
    config.rl.steps, config.captioner.align = 0, False
    result = train.train_one(config, name="text")
    assert captions(result.before) == captions(result.after)
    assert (result.run.folder / "report.html").is_file()


def test_alignment_alone_changes_how_pictures_are_told_and_nothing_else(quick, config):
    config.rl.steps = 0
    result = train.train_one(config, name="aligned")
    start, end = (load_captioner(folder) for folder in (result.run.final("init"), result.run.folder / "model"))
    assert captions(result.before) != captions(result.after)
    assert all(torch.equal(a, b) for a, b in zip(start.parameters(), end.parameters(), strict=True))
    seen = torch.eye(start.shape.features)
    assert torch.allclose(start.translate(seen), seen)
    assert not torch.allclose(end.translate(seen), seen, atol=0.01)


def test_the_discriminator_alone_keeps_the_last_weights(quick, config):
    config.reward.clip_cos = config.reward.clip_agg = 0.0
    config.rl.learning_rate = 1e-2
    result = train.train_one(config, name="gan")
    assert "kept_step" not in result.run.rows("rl")[-1]
    init, final = (load_captioner(result.run.final(stage)) for stage in ("init", "rl"))
    assert not all(torch.equal(a, b) for a, b in zip(init.parameters(), final.parameters(), strict=True))


def test_fewer_pictures_and_sentences_than_anything_asks_for(quick, config):
    config.train.limit, config.corpus.limit, config.validation.limit = 2, 3, 1
    config.rl.steps = 2
    result = train.train_one(config, name="few")
    assert len(result.run.rows("rl")) == 2


def test_a_caption_longer_than_the_decoder_is_refused_at_once(config):
    config.captioner.max_new_tokens = 500
    with pytest.raises(UsageError, match=r"captioner\.max_new_tokens: the decoder has 64 positions"):
        train.train_one(config, name="long")


# --- the unpaired guard --------------------------------------------------------------------------------------------


def jsonl_world(folder, config, corpus_pictures) -> None:
    """Pictures of the pocket world on disk, in our own format; the corpus is of the pictures asked for."""
    from apps.captioning.data import load_examples

    examples = load_examples(config.train)
    folder.mkdir()
    rows = []
    for example in examples:
        example.picture().save(folder / f"{example.id}.png")
        rows.append({"id": example.id, "image": f"{example.id}.png", "captions": list(example.captions)})
    write_jsonl(folder / "pictures.jsonl", rows)
    sentences = [
        {"text": text, "picture": example.id} for example in corpus_pictures(examples) for text in example.captions
    ]
    write_jsonl(folder / "corpus.jsonl", sentences)
    config.train.format, config.train.path, config.train.limit = "jsonl", str(folder / "pictures.jsonl"), 0
    config.corpus.format, config.corpus.path, config.corpus.split = "jsonl", str(folder / "corpus.jsonl"), ""


def test_a_corpus_of_the_training_pictures_own_captions_is_refused(quick, config, tmp_path):
    jsonl_world(tmp_path / "world", config, lambda examples: examples[:2])
    with pytest.raises(DataError, match="corpus sentences are captions of pictures that are trained on"):
        train.train_one(config, name="paired")


def test_pairs_are_allowed_where_they_are_asked_for(quick, config, tmp_path):
    jsonl_world(tmp_path / "world", config, lambda examples: examples[:4])
    config.reward.paired, config.reward.cider = True, 1.0
    config.reward.clip_cos = config.reward.clip_agg = config.reward.naturalness = 0.0
    config.rl.steps, config.rl.select = 2, "captions"
    result = train.train_one(config, name="scst")
    assert "reward/cider" in result.run.rows("rl")[0]
    assert "validation/selected" in result.run.rows("rl")[-1]


def test_supervised_rewards_need_pairs(config):
    config.reward.cider = 1.0
    with pytest.raises(UsageError, match=r"set reward\.paired to true"):
        train.train_one(config, name="cider")


def test_a_reward_of_the_catalogue_in_place_of_the_weights(config):
    window = {"name": "history_quantile", "inner": {"name": "length_window", "high": 3}, "warmup": 2, "weight": 2.0}
    seen = {"name": "clip_score", "clip": config.clip.name, "prefix": "", "weight": 0.5}
    config.reward.own = {"name": "weighted_sum", "parts": {"window": window, "seen": seen}}
    config.rl.steps = 2
    folder = train.train_one(config, name="own").run.folder
    last = log(folder)[-1]
    assert {name for name in last if name.startswith("reward/")} == {"reward/window", "reward/seen"}
    assert (last["weight/window"], last["weight/seen"]) == (2.0, 0.5)
    assert {"validation/window", "validation/seen", "kept_step"} <= set(last)
    assert not (folder / "discriminator").exists(), "no weight counts beside reward.own"
    assert "weighted_sum, seed 0" in (folder / "report.html").read_text("utf-8")


def test_what_cannot_stand_beside_an_own_reward_is_refused(config):
    config.reward.own = {"name": "rouge_l"}
    with pytest.raises(UsageError, match=r"reward\.own: rouge_l compares with .* set reward\.paired to true"):
        train.train_one(config, name="unpaired")
    with pytest.raises(UsageError, match="apps audit --app captioning"):
        run_audit(config)
    config.comparison.methods = ["gan"]
    with pytest.raises(UsageError, match=r"comparison\.methods"):
        train.run_train(config)
    config.comparison.methods, config.rl.ramp_start = [], 5
    with pytest.raises(UsageError, match=r"rl\.ramp_start"):
        train.run_train(config, dry_run=True)


def test_selection_by_reward_reads_no_caption(quick, config, monkeypatch):
    """Captions that cannot be looked at without an error: an unpaired run must not touch them after the guard."""
    from apps.captioning.learning import watch

    seen = []
    values = watch.Watch._values

    def spy(self, texts):
        seen.append([example.captions for example in self.data.validation.examples])
        seen.append([example.captions for example in self.data.train.examples])
        return values(self, texts)

    monkeypatch.setattr(watch.Watch, "_values", spy)
    train.train_one(config, name="blind")
    assert len(seen) == 6
    assert all(captions == () for part in seen for captions in part)


def test_selection_by_captions_needs_some(config, monkeypatch):
    from apps.captioning import data, unpaired

    load_examples = data.load_examples
    monkeypatch.setattr(data, "load_examples", lambda part: unpaired.without_captions(load_examples(part)))
    config.rl.select = "captions"
    with pytest.raises(UsageError, match=r"rl\.select captions needs captions of every validation picture"):
        train.load_data(config, train_clip(config))
    config.rl.select = "reward"
    assert len(train.load_data(config, train_clip(config)).validation.examples) == 5


def train_clip(config):
    from apps.captioning.features import open_clip_model

    return open_clip_model(config.clip)


def test_another_clip_than_the_captioners_is_refused(config, whole, tmp_path):
    from tests.apps.captioning.tiny import tiny_captioner

    config.captioner.path = str(tiny_captioner(tmp_path / "other", features=48))
    with pytest.raises(UsageError, match=r"reads features of size 48, and the CLIP .* makes 32"):
        train.train_one(config, name="other")


# --- comparison ----------------------------------------------------------------------------------------------------


def test_methods_and_seeds_side_by_side(quick, config, capsys):
    config.rl.steps = 2
    config.comparison.methods, config.comparison.seeds = ["text-only", "cgtgan"], [0, 1]
    assert train.run_train(deepcopy(config), name="compare", json_output=True) == 0
    summary = json.loads(capsys.readouterr().out)
    folder = train.Path(config.runs) / "compare"
    assert json.loads((folder / "comparison.json").read_text("utf-8")) == summary
    assert list(summary["methods"]) == ["text-only", "cgtgan", "retrieval"]
    for name in ("text-only", "cgtgan"):
        found = summary["methods"][name]
        values = found["after"]["clip_cos"]["all"]["values"]
        assert len(values) == 2
        assert found["after"]["clip_cos"]["all"]["mean"] == pytest.approx(sum(values) / 2)
    # Both go on from the same text-only captioner, so the start is the same.
    starts = [summary["methods"][name]["before"]["clip_cos"]["all"]["values"] for name in ("text-only", "cgtgan")]
    assert starts[0] == pytest.approx(starts[1])
    page = (folder / "report.html").read_text("utf-8")
    assert "cgtgan" in page
    assert "Learning curves" in page
    before = {file: file.stat().st_mtime_ns for file in folder.glob("*/evaluation.json")}
    assert len(before) == 4
    # Whoever goes on finds every run done, and only counts again.
    assert comparison.resume(folder, json_output=True) == 0
    assert json.loads(capsys.readouterr().out) == summary
    assert {file: file.stat().st_mtime_ns for file in folder.glob("*/evaluation.json")} == before
    with pytest.raises(UsageError, match="go on with --resume"):
        train.run_train(config, name="compare")


def test_methods_go_on_from_the_initialisation_that_the_settings_ask_for(config, tmp_path):
    plain, noisy = deepcopy(config), deepcopy(config)
    plain.init.noise, noisy.init.noise = 0.0, 0.004
    for method in ("clip-cos", "clip-agg", "gan", "cgtgan"):
        assert comparison.start_of(method, plain) == "text-only"
        assert comparison.start_of(method, noisy) == "capdec"
    # The rows to compare with are what they are called, whatever the settings say.
    assert comparison.start_of("decap", noisy) == comparison.start_of("aligned", noisy) == "text-only"
    assert comparison.start_of("capdec-aligned", plain) == "capdec"
    for method, noise in (("text-only", 0.0), ("decap", 0.0), ("aligned", 0.0), ("capdec", 0.004)):
        own = deepcopy(noisy)
        own.init.path, own.init.further = "shipped", 7
        comparison.METHODS[method](own)
        assert (own.init.noise, own.rl.steps, own.captioner.align) == (noise, 0, method == "aligned")
        # Only CapDec's is trained further.
        assert own.init_steps == (7 if method == "capdec" else 0)
    plain.init.path = "shipped"
    comparison.METHODS["capdec"](plain)
    assert (plain.init.noise, plain.init_steps) == (comparison.CAPDEC_NOISE, plain.init.steps)


def test_a_loaded_captioner_is_initialised_further_where_that_is_asked_for(quick, config, whole):
    config.captioner.path, config.rl.steps = str(whole.run.final("init")), 0
    for steps in (0, 2):
        config.init.further = steps
        result = train.train_one(config, name=f"further-{steps}")
        assert len(result.run.rows("init")) == steps
        same = weights_of(result.run.final("init")) == weights_of(whole.run.final("init"))
        assert same == (steps == 0)
        # Before is before all that is done here.
        assert captions(result.before) == captions(whole.before)


def weights_of(folder) -> bytes:
    return (folder / "mapper.safetensors").read_bytes()


@pytest.mark.parametrize("method", ["decap", "capdec", "aligned", "capdec-aligned", "clip-cos", "clip-agg", "gan"])
def test_every_method_trains(quick, config, method):
    config.rl.steps = 1
    config.heldout.split, config.heldout.limit = "test_seen", 3
    config.comparison.methods = [method]
    assert train.run_train(config, name=f"only-{method}") == 0
    summary = json.loads((train.Path(config.runs) / f"only-{method}" / "comparison.json").read_text("utf-8"))
    # No picture shows a held-out combination: no number, and no NaN in the file.
    assert summary["methods"][method]["after"]["exact"]["held"]["mean"] is None


def test_an_unknown_method_is_named(config):
    config.comparison.methods = ["cgtgam"]
    with pytest.raises(UsageError, match="there is no 'cgtgam'; choose from text-only"):
        train.run_train(config, name="unknown")
