"""The demo without a browser: scenes, uploads, rewards as training pays them, attention over the whole corpus."""

from __future__ import annotations

import math
import random
import re
from io import BytesIO

import pytest
import torch
from PIL import Image

from apps.captioning import demo, demo_view, workbench
from apps.captioning.aggregation import nearest
from apps.captioning.config import CaptioningConfig
from apps.captioning.data_config import CorpusConfig
from apps.captioning.demo import Handlers, Shown
from apps.captioning.measures.facts import compare
from apps.captioning.measures.scenes import score_caption
from apps.captioning.model_config import CaptionerConfig, ClipConfig
from apps.captioning.pocket.grammar import read, says, write
from apps.captioning.pocket.render import draw
from apps.captioning.pocket.scene import sample_scene
from apps.captioning.rewards import ClipAgg, ClipCos
from apps.captioning.train_config import RewardConfig
from apps.captioning.workbench import INITIAL, TRAINED, Paid, Workbench, accept_upload, initial_path
from common.demo import notice
from common.errors import DataError, UsageError
from tests.apps.captioning.scripted import scripted_workbench
from tests.apps.captioning.tiny import tiny_captioner
from tests.common.headers import png_header
from tests.common.models.tiny_clip import tiny_clip_folder

POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n"
HOSTILE = "<img src=x onerror=alert(1)>"
SENTENCE = "Two small red stars to the left of a blue circle on a grey background."


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Workbench:
    said = {INITIAL: ["A blue star on grey.", HOSTILE], TRAINED: [SENTENCE, "A red star."]}
    return scripted_workbench(tmp_path_factory.mktemp("clip"), said, [HOSTILE])


@pytest.fixture(scope="module")
def seen(bench: Workbench) -> torch.Tensor:
    return bench.see(draw(bench.scene_of(SENTENCE)))


def test_a_sentence_becomes_a_scene_drawn_anew_each_time(bench):
    scenes = [bench.scene_of(SENTENCE) for _ in range(3)]
    assert all(says(SENTENCE, scene) for scene in scenes)
    assert len({scene.seed for scene in scenes}) == 3
    for text in ("", "  ", "a photo of a dog", "red", SENTENCE * 50, HOSTILE):
        with pytest.raises(UsageError, match=r"grammar|write a sentence"):
            bench.scene_of(text)


def test_random_scenes_are_told_by_their_sentence_and_held_out_where_asked(bench):
    for held in (False, True):
        for _ in range(20):
            scene, sentence = bench.random_scene(held)
            assert says(sentence, scene)
            assert scene.held or not held


def test_sentences_to_try_are_sentences_and_always_the_same(bench):
    told = bench.sentences()
    assert len(set(told)) == 5
    assert told == bench.sentences()
    assert all(read(text) is not None and len(text) <= workbench.LISTED for text in told)


def test_captions_are_paid_what_training_pays(bench, seen):
    captions = [SENTENCE, "A blue star.", ""]
    for temperature in (0.0, 30.0, 400.0):
        paid = bench.pay(seen, captions, temperature)
        columns = {"completion": captions, "images": seen.expand(3, -1)}
        config = RewardConfig()
        wanted = ClipAgg(bench.clip, bench.features, temperature, config.cos_weight)(**columns).values.tolist()
        assert [entry.clip_agg for entry in paid] == pytest.approx(wanted, abs=1e-3)
        assert [entry.clip_cos for entry in paid] == pytest.approx(ClipCos(bench.clip)(**columns).values.tolist())
    assert bench.pay(seen, [], 100.0) == []


def test_attention_is_the_softmax_over_the_whole_corpus(bench, seen):
    found = bench.attend(seen, 60.0, 5)
    weights = torch.softmax(60.0 * (bench.features @ seen[0]).double(), 0)
    assert [weight for _, weight, _ in found.sentences] == pytest.approx(weights.topk(5).values.tolist(), abs=1e-6)
    assert sum(weight for _, weight, _ in found.sentences) + found.rest == pytest.approx(1)
    assert found.others == len(bench.corpus) - 5
    # The same sentences, in the same order, as the reward's own search.
    _, rows = nearest(seen, bench.features, 5, 60.0)
    assert [text for text, _, _ in found.sentences] == [bench.corpus[row] for row in rows[0].tolist()]
    flat = bench.attend(seen, 0.0, 5)
    assert all(weight == pytest.approx(1 / len(bench.corpus)) for _, weight, _ in flat.sentences)
    # Sharp enough, whatever the gap between the two nearest, only the nearest is left.
    first, second = (bench.features @ seen[0]).double().topk(2).values.tolist()
    assert bench.attend(seen, 10 / (first - second)).sentences[0][1] == pytest.approx(1, abs=1e-3)
    assert bench.attend(seen, 60.0, 1000).others == 0


def test_facts_agree_with_the_measure_of_exact_scenes():
    rng = random.Random(3)
    for number in range(600):
        scene, other = sample_scene(rng), sample_scene(rng)
        caption = write(scene if number % 3 == 0 else other, rng)
        facts, score = compare(caption, scene), score_caption(caption, scene)
        assert (facts.exact, facts.grammatical) == (score.exact, score.grammatical)
        # One attribute at a time, too; a missing or a foreign group counts against the caption in both.
        wrong = {fact.name for fact in facts.wrong}
        for name in ("relation", "background"):
            if score.attributes.get(name) == 0.0 and len(read(caption).groups) == len(scene.groups):
                assert name in wrong


@pytest.mark.parametrize(
    ("caption", "wrong"),
    [
        (SENTENCE, set()),
        ("A blue disc to the right of a pair of tiny red stars on grey.", set()),
        ("Two small red stars above a blue circle on a grey background.", {"relation"}),
        ("A blue circle to the left of two small red stars on grey.", {"relation"}),
        ("Two small red stars on a grey background.", {"object"}),
        ("Three small red stars to the left of a blue circle.", {"count", "background"}),
        ("Two red stars to the left of a blue circle on grey.", {"size"}),
    ],
)
def test_facts_name_what_is_wrong(bench, caption, wrong):
    assert {fact.name for fact in compare(caption, bench.scene_of(SENTENCE)).wrong} == wrong


def uploaded(folder, name, content):
    """A file where gradio puts it: in a folder of its own."""
    path = folder / "0123" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


def test_uploads_are_decoded_or_refused_by_their_own_name_and_removed(tmp_path, monkeypatch):
    file = BytesIO()
    Image.new("RGBA", (300, 200), (255, 0, 0, 0)).save(file, "PNG")
    good = file.getvalue()
    picture = accept_upload(uploaded(tmp_path, "photo.png", good), tmp_path)
    assert (picture.mode, picture.size) == ("RGB", (300, 200))
    assert picture.getpixel((0, 0)) == (255, 255, 255)
    contents = {"text.png": b"no picture", "torn.png": good[:80], "empty.jpg": b"", "page.eps": POSTSCRIPT}
    for name, content in contents.items():
        with pytest.raises(DataError) as raised:
            accept_upload(uploaded(tmp_path, name, content), tmp_path)
        assert str(raised.value).startswith(f"{name}: ")
        assert str(tmp_path) not in str(raised.value)
    monkeypatch.setattr(workbench, "MOST_PIXELS", 59_999)
    with pytest.raises(DataError, match=r"^photo\.png: more than 0 million pixels"):
        accept_upload(uploaded(tmp_path, "photo.png", good), tmp_path)
    monkeypatch.setattr(workbench, "LARGEST_UPLOAD", 10)
    with pytest.raises(DataError, match=r"^photo\.png: larger than"):
        accept_upload(uploaded(tmp_path, "photo.png", good), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_nothing_but_uploads_is_read_or_removed(tmp_path):
    folder, secret = tmp_path / "uploads", tmp_path / "secret.png"
    folder.mkdir()
    Image.new("RGB", (4, 4)).save(secret)
    for path in (secret, folder / ".." / "secret.png", folder / "nowhere.png"):
        with pytest.raises(UsageError, match="only a file that was uploaded"):
            accept_upload(path, folder)
    assert secret.is_file()


def test_a_picture_that_would_fill_the_memory_is_refused_by_its_header(tmp_path):
    path = uploaded(tmp_path, "bomb.png", png_header(60_000, 20_000))
    with pytest.raises(DataError, match=r"^bomb\.png: more than 50 million pixels"):
        accept_upload(path, tmp_path)


def test_hostile_texts_are_escaped_everywhere(bench, seen):
    scene = bench.scene_of(SENTENCE)
    pages = [
        demo_view.cards_html(bench.captions(seen, 5), {INITIAL: HOSTILE}, scene),
        demo_view.card_html(HOSTILE, HOSTILE, scene),
        demo_view.attention_html(bench.attend(seen, 0.0, 100)),
        demo_view.rewards_html([(HOSTILE, Paid(1.0, -3.0))]),
        demo_view.picture_html(draw(scene), HOSTILE),
        notice(HOSTILE, HOSTILE, HOSTILE),
    ]
    for page in pages:
        assert "&lt;img src=x" in page
        assert "<img src=x" not in page


def test_an_abstention_is_a_dash_and_no_best():
    page = demo_view.rewards_html([("one", Paid(math.nan, -4.0)), ("two", Paid(50.0, 60.0))])
    assert re.findall(r'class="value[^"]*">([^<]*)<', page) == ["–", "-4.0", "50.0", "60.0"]
    assert page.count("best") == 2
    assert "negative" in page


def test_a_bad_upload_or_sentence_leaves_the_page_as_it_is(bench, tmp_path, monkeypatch):
    monkeypatch.setattr("gradio.utils.get_upload_folder", lambda: str(tmp_path))
    handlers = Handlers(bench)
    notes = uploaded(tmp_path, "notes.png", b"no picture")
    for answer in (handlers.upload(str(notes), 3, 100.0), handlers.draw("a dog", 3, 100.0)):
        assert len(answer) == 9
        changed = [value for value in answer if value.get("__type__") == "update" and "value" in value]
        assert len(changed) == 1
        assert "That did not work" in changed[0]["value"]
        assert str(tmp_path) not in changed[0]["value"]


def test_a_caption_longer_than_the_page_lets_through_is_not_scored(bench, seen):
    handlers, shown = Handlers(bench), Shown(seen, None, {TRAINED: "A red star."})
    verdict, rewards = handlers.check(shown, "x" * 1001, 100.0)
    assert "1,001 characters; at most 1,000 are read" in verdict["value"]
    assert "value" not in rewards
    assert demo.OWN not in handlers.heat(shown, "x" * 1001, 100.0)[0]
    assert demo.OWN in handlers.heat(shown, "x" * 1000, 100.0)[0]


def test_nothing_happens_before_the_first_picture(bench):
    handlers = Handlers(bench)
    for answer in (
        handlers.beam(Shown(), 3, "", 100.0),
        handlers.heat(Shown(), "", 100.0),
        handlers.check(Shown(), "A red star.", 100.0),
    ):
        assert answer["__type__"] == "update"
        assert "value" not in answer


def test_the_configured_models_and_the_initialisation_beside_them(tmp_path):
    clip = f"local-dir:{tiny_clip_folder(tmp_path / 'clip')}"
    trained = tiny_captioner(tmp_path / "captioner", clip=clip)
    config = CaptioningConfig(
        clip=ClipConfig(clip, device="cpu"),
        captioner=CaptionerConfig(str(trained), max_new_tokens=8, device="cpu"),
        corpus=CorpusConfig(limit=30),
    )
    built = demo.build_workbench(config)
    assert list(built.assistants) == [TRAINED]
    assert not built.pocket
    assert initial_path(trained) is None
    tiny_captioner(tmp_path / "captioner-init", seed=1, clip=clip)
    built = demo.build_workbench(config)
    assert list(built.assistants) == [INITIAL, TRAINED]
    answer = Handlers(built).another(True, 2, 100.0)
    shown = answer[3]
    assert set(shown.said) == {INITIAL, TRAINED}
    assert len({assistant.clip for assistant in built.assistants.values()}) == 1
    # A run keeps its initialisation among its checkpoints.
    run = tmp_path / "run"
    tiny_captioner(run / "model")
    tiny_captioner(run / "checkpoints" / "init" / "final")
    assert initial_path(run / "model") == run / "checkpoints" / "init" / "final"
    assert demo.build_demo(config) is not None


def test_projection_reaches_the_demo(tmp_path):
    clip = f"local-dir:{tiny_clip_folder(tmp_path / 'clip')}"
    config = CaptioningConfig(
        clip=ClipConfig(clip, device="cpu"),
        captioner=CaptionerConfig(str(tiny_captioner(tmp_path / "captioner")), device="cpu", projection=1e4),
        corpus=CorpusConfig(limit=10),
    )
    built = demo.build_workbench(config)
    picture = draw(built.scene_of(SENTENCE))
    told = built.assistants[TRAINED].features(built.see(picture))
    best = built.attend(built.see(picture), 1e4, 1).sentences[0][0]
    assert torch.allclose(told[0], built.features[built.corpus.index(best)], atol=1e-3)


def test_pictures_are_enlarged_pixel_by_pixel_only_where_drawn():
    assert "drawn" in demo_view.picture_html(Image.new("RGB", (64, 64)), "x")
    assert "drawn" not in demo_view.picture_html(Image.new("RGB", (6400, 100)), "x", drawn=False)
