"""The demo without a browser: scenes that are watched, stopped and left, what judge and VLM say, wrong wishes."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import pytest
import torch

pytest.importorskip("gradio")

from apps.text3d import demo, demo_view
from apps.text3d.cameras import around
from apps.text3d.demo_answers import TOGETHER
from apps.text3d.demo_handlers import FILES, FIRST, PARTS, Handlers, Job
from apps.text3d.demo_wishes import PLACES, Wish, granted, knobs
from apps.text3d.prompts.parser import parse
from apps.text3d.workbench import ASKING, JUDGING, SHAPING, WRITING, Made, Moment, Workbench
from common.errors import UsageError
from common.models import vlm as vlm_module
from tests.apps.text3d.demo_parts import PROMPT, STEPS, settings, small_workbench, vlm_folder

ANALYTIC = {"analytic": 1.0}
#: What the page sends: the weights in the order of `PLACES`.
SENT = (0.0, 0.0, 0.0, 0.0, 0.0, 1.0)


@pytest.fixture(scope="module")
def bench() -> Iterator[Workbench]:
    made = small_workbench()
    yield made
    made.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return vlm_folder(tmp_path_factory.mktemp("models") / "vlm")


@pytest.fixture(scope="module")
def asked(folder: Path) -> Made:
    """A scene about which the VLM was asked."""
    return finished(small_workbench(f"--guidance.vlm.model={folder}"), Wish(PROMPT, steps=2))


def finished(bench: Workbench, wish: Wish) -> Made:
    *_, last = bench.shape(wish, every=60.0)
    assert isinstance(last, Made)
    return last


@pytest.mark.parametrize("kind", ["voxel", "gaussians"])
def test_a_scene_is_watched_judged_and_written(bench, kind):
    import trimesh

    found = bench.shape(Wish(PROMPT, kind, STEPS, 3, ANALYTIC), every=0.0)
    looks, made = [], None
    for one in found:
        if isinstance(one, Made):
            made = one
            # Its files lie there as long as the iterator waits.
            mesh = trimesh.load(made.files["scene.glb"], force="mesh")
            assert len(mesh.faces) > 20
            assert made.files["turntable.mp4"].stat().st_size > 300
        else:
            looks.append(one)
    assert [one.step for one in looks if one.doing == SHAPING] == list(range(STEPS + 1))
    assert [one.doing for one in looks[STEPS + 1 :]] == [JUDGING, WRITING]
    assert looks[0].views.shape == (4, 112, 112, 3)
    assert (looks[0].views != looks[-1].views).any()
    assert made is not None
    assert [step for step, _ in made.last.losses] == list(range(1, STEPS + 1))
    assert made.last.losses[-1][1] < made.last.losses[0][1]
    assert "upper bound" in made.note
    assert ("splats.ply" in made.files) == (kind == "gaussians")
    assert {"scene.ply", "sheet.png"} < set(made.files)
    assert not list(bench.folder.iterdir()), "a run's folder stayed behind"


def test_stopped_it_is_taken_as_it_is(bench):
    stop = Event()
    for one in bench.shape(Wish(PROMPT, steps=500), stop, every=0.0):
        if isinstance(one, Moment) and one.step == 3:
            stop.set()
        if isinstance(one, Made):
            assert one.last.step == 3
            assert one.files["scene.glb"].is_file()
            page = demo_view.made_html(one.files["sheet.png"], one.last, one.note)
            assert "finished after 3 steps, stopped before its 500" in page
            break
    else:
        pytest.fail("it never came to an end")


def test_who_leaves_leaves_nothing_behind():
    bench = small_workbench()
    found = bench.shape(Wish(PROMPT, steps=500), every=0.0)
    next(found)
    assert len(list(bench.folder.iterdir())) == 1
    found.close()
    assert not list(bench.folder.iterdir())
    folder = bench.folder
    bench.close()
    assert not folder.exists()


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        (Wish("  "), "write a prompt first"),
        (Wish(None), "write a prompt first"),
        (Wish("a red cube " * 40), "439 characters; at most 300"),
        (Wish("a dragon"), "nothing in 'a dragon' is known here; kinds are cube"),
        (Wish("\ud800"), "nothing in '\\?' is known here"),
        (Wish(PROMPT, "../../etc"), "no such kind of scene; there are voxel, gaussians"),
        (Wish(PROMPT, steps=0), "steps must be a number from 1 to 2,000"),
        (Wish(PROMPT, steps=None), "steps must be a number"),
        (Wish(PROMPT, steps=math.inf), "steps must be a number"),
        (Wish(PROMPT, seed=-1), "the seed must be a number from 0 to 1,000,000"),
        (Wish(PROMPT, weights={"analytic": math.nan}), "the weight analytic must be a number"),
        (Wish(PROMPT, weights={"analytic": "1"}), "the weight analytic must be a number"),
        (Wish(PROMPT, weights={"analytic": 0.0}), "there is no guidance"),
        (Wish(PROMPT, weights={"vlm.spatial": 1.0}), r"guidance\.vlm\.model is empty"),
    ],
)
def test_a_wrong_wish_is_said_and_nothing_begun(bench, wish, said):
    with pytest.raises(UsageError, match=said):
        list(bench.shape(wish))
    assert not list(bench.folder.iterdir())


def test_weights_reach_the_guidances_and_schedules_stay_until_moved():
    config = settings("--guidance.analytic=[0, 0.5, 2.0, 10]", "--guidance.vlm.model=some-folder")
    offered = {one.name: one for one in knobs(config.guidance)}
    assert list(offered) == list(PLACES)
    assert (offered["analytic"].value, offered["analytic"].scheduled) == (2.0, True)
    assert offered["sds"].off == "needs a model: --guidance.sds.model"
    assert not offered["vlm.spatial"].off
    weights = {"vlm.spatial": 0.25, "analytic": 2.0}
    wanted, prompt = granted(config, Wish(PROMPT, "gaussians", 7, 5, weights), "somewhere")
    assert wanted.guidance.analytic == [0, 0.5, 2.0, 10]
    assert (wanted.guidance.vlm.spatial, wanted.guidance.vlm.semantic) == (0.25, 0.0)
    assert (wanted.scene.kind, wanted.optimise.steps, wanted.seed) == ("gaussians", 7, 5)
    assert len(prompt.objects) == 2
    assert granted(config, Wish(PROMPT, weights={"analytic": 0.0}), "x")[0].guidance.analytic == 0.0
    # The configuration itself is everyone's.
    assert config.guidance.vlm.spatial == 0.0


def test_every_question_is_answered_view_by_view(asked, folder):
    assert not asked.silent
    kinds = [one.kind for one in asked.answers]
    assert kinds == sorted(kinds, key=("semantic", "spatial", "consistency").index)
    left = {one.expected: one for one in asked.answers if one.kind == "spatial" and "cube to the left" in one.text}
    # From behind, the cube is on the right; from the sides nobody can say.
    assert [place for place, _ in left[True].odds] == ["0°"]
    assert [place for place, _ in left[False].odds] == ["180°"]
    assert left[True].text == left[False].text
    cubes = next(one for one in asked.answers if "show a red cube?" in one.text)
    assert [place for place, _ in cubes.odds] == ["0°", "90°", "180°", "270°"]
    assert [one.odds[0][0] for one in asked.answers if one.kind == "consistency"] == [TOGETHER, TOGETHER]


def test_log_odds_are_those_of_the_model(folder):
    """Recomputed one question at a time on the same scene."""
    from apps.text3d.demo_answers import answers, every_reward
    from apps.text3d.generate import learner_of

    config = settings(f"--guidance.vlm.model={folder}")
    learner = learner_of(config, parse(PROMPT))
    found = answers(learner.scene, every_reward(config, parse(PROMPT)), config)
    model = vlm_module.VisionLanguageModel(str(folder))
    with torch.no_grad():
        views = learner.scene.render(around(4, 28)).rgb
        for one in (found[0], found[3], next(one for one in found if not one.expected)):
            for place, odds in one.odds:
                view = views[int(place[:-1]) // 90]
                wanted = model.yes_logit([[view]], [one.text]).item() * (1 if one.expected else -1)
                assert odds == pytest.approx(wanted, abs=1e-4)


def test_the_vlm_is_opened_once_for_all_scenes(folder, monkeypatch):
    opened = []
    real = vlm_module.load_vlm
    monkeypatch.setattr(vlm_module, "load_vlm", lambda *given, **more: opened.append(1) or real(*given, **more))
    bench = small_workbench(f"--guidance.vlm.model={folder}")
    doing = [one.doing for one in bench.shape(Wish("a red cube", steps=1), every=60.0) if isinstance(one, Moment)]
    assert doing == [SHAPING, JUDGING, ASKING, WRITING]
    guided = finished(bench, Wish("a red cube", steps=1, weights={"vlm.semantic": 1.0, "analytic": 0.0}))
    assert guided.answers
    assert guided.note == "", "no critic had a weight"
    assert len(opened) == 1


def test_without_a_vlm_the_page_says_why_and_the_judge_stands_alone(tmp_path):
    for more, why in (((), "no vision-language model is named"), ((f"{tmp_path / 'gone'}",), "gone")):
        made = finished(small_workbench(*(f"--guidance.vlm.model={one}" for one in more)), Wish(PROMPT, steps=1))
        assert made.answers == ()
        assert why in made.silent
        assert "No vision-language model was asked" in demo_view.asked_html(made.answers, made.silent)
        assert demo_view.judged_html(made.verdict).count('class="track"') == 4


def test_a_scene_without_a_surface_has_bars_and_says_that_there_are_no_files():
    bench = small_workbench("--scene.voxel.blob.height=-400", "--scene.voxel.blob.radius=50")
    *_, shown = Handlers(bench, 60.0).shape(Job(), PROMPT, "voxel", 1, 0, *SENT)
    page = dict(zip((*PARTS, *FILES), shown, strict=True))
    assert "There are no files" in page["message"]["value"]
    assert "Not all that the prompt asks for" in page["judged"]
    assert not any(page[name]["visible"] for name in FILES)


def test_the_page_is_filled_with_what_came_out(bench):
    handlers = Handlers(bench, 60.0)
    job, waiting, *_ = handlers.begin(None)
    assert "Waiting" in waiting
    found = handlers.shape(job, "a red cube that sings", "gaussians", 2, 0, *SENT)
    first = dict(zip((*PARTS, *FILES), next(found), strict=True))
    assert "step 0 of 2" in first["preview"]
    assert "“sings”" in first["message"]["value"]
    for shown in found:
        page = dict(zip((*PARTS, *FILES), shown, strict=True))
    assert page["results"]["visible"]
    for name in ("glb", "ply", "splats", "mp4", "sheet"):
        assert Path(page[name]["value"]).name == FILES[name][1]
    assert not page["gif"]["visible"]
    assert "upper bound, no text-to-3D result" in page["preview"]
    assert job.over
    assert [one["interactive"] for one in handlers.finish(job)] == [True, False]


def test_failures_and_stops_are_said_in_the_page(bench):
    handlers = Handlers(bench)
    said = [dict(zip(PARTS, one, strict=False)) for one in handlers.shape(Job(), "a dragon", "voxel", 2, 0, *SENT)]
    assert len(said) == 1
    assert "That did not work" in said[0]["message"]["value"]
    assert FIRST in said[0]["preview"]
    stopped = Job()
    assert "Stopping" in handlers.stop(stopped)["value"]
    (only,) = handlers.shape(stopped, PROMPT, "voxel", 2, 0, *SENT)
    assert "before it began" in only[PARTS.index("message")]["value"]
    assert stopped.over
    assert "value" not in handlers.stop(stopped), "there is nothing left to stop"
    assert "value" not in handlers.stop(None)


def test_a_new_scene_takes_the_place_of_the_visitors_last_one(bench):
    handlers = Handlers(bench, 0.0)
    old = Job()
    found = handlers.shape(old, PROMPT, "voxel", 500, 0, *SENT)
    next(found)
    new, *_ = handlers.begin(old)
    assert list(found) == []
    assert old.over
    assert not new.stop.is_set()
    # The old one's end does not give the buttons of the new one free.
    assert [one["interactive"] for one in handlers.finish(new)] == [False, True]
    assert not list(bench.folder.iterdir())


def test_the_page_can_be_built_of_the_shipped_configuration():
    assert demo.build_demo(settings()) is not None
