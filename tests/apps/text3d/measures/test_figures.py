"""Figures of scenes: intervals and paired tests, the geometry's shares, CLIP, agreement of views, several faces."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from apps.text3d.export.views import read_views, write_views
from apps.text3d.measures.assets import read_assets
from apps.text3d.measures.clip import measure_clip, ranks
from apps.text3d.measures.consistency import agreement, janus, measure_consistency
from apps.text3d.measures.geometry import measure_geometry
from apps.text3d.measures.results import Measurement, absent, figure_of, interval, paired_tests, swap_test
from apps.text3d.pocket.sdf_scene import SdfScene
from common.errors import DataError
from common.models.clip import Clip
from common.stats import wilson
from tests.apps.text3d.measures.made import BLUE, GREEN, RED, RIGHT, WRONG, scene, world
from tests.common.models.tiny_clip import tiny_clip_folder

NAN = math.nan


def values(figures):
    return {figure.name: figure.value for figure in figures}


class TestResults:
    def test_intervals(self):
        assert interval([1.0, 0.0, 1.0, NAN], list("abcd"), share=True) == wilson(2, 3)
        one = interval([1.0, 0.0], ["same", "same"])
        assert (one.mean, one.n, math.isnan(one.low)) == (0.5, 2, True)
        # Two seeds of a prompt are no two prompts: the interval is as wide as that of the prompts' means.
        seeds = interval([1.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0], list("aabbccdd"), share=True)
        assert (seeds.mean, seeds.n, seeds.low, seeds.high) == (0.5, 8, wilson(2, 4).low, wilson(2, 4).high)
        # Three values say little: Student's t with two degrees of freedom, and no share leaves [0, 1].
        few = interval([0.25, 0.5, 0.75], list("abc"))
        assert few.high - 0.5 == pytest.approx(4.3027 * 0.25 / 3**0.5, rel=1e-3)
        assert interval([0.25, 0.5, 0.75], list("abc"), share=True).high == 1.0
        many = interval([row / 29 for row in range(30)], [str(row) for row in range(30)])
        assert 0.1 < many.high - 0.5 < 0.14

    def test_few_prompts_prove_nothing(self):
        better = swap_test([0.1, 0.2, 0.3], [0.4, 0.6, 0.9])
        assert (better.p, better.n01, better.n10) == (0.25, 3, 0)
        assert better.difference.mean == pytest.approx(13 / 30)
        assert better.difference.low < 0.13
        assert swap_test([0.0] * 10, [1.5] * 10).p == pytest.approx(2 / 2**10)
        assert swap_test([0.5, NAN, 0.5], [0.5, 0.1, 0.5]).p == 1.0
        assert math.isnan(swap_test([NAN], [1.0]).p)
        rng = np.random.default_rng(0)
        null = [swap_test(*rng.normal(size=(2, size))).p for size in [5, 30] * 100]
        assert 0.0 < sum(p <= 0.1 for p in null) / 200 < 0.18
        assert swap_test([0.0] * 30, [1.5] * 30).p == 1 / 10_000

    def test_a_graders_failure_is_a_failure_and_nothing_to_measure_is_none(self):
        nothing = figure_of("x", [NAN, NAN], ["a", "b"])
        assert (nothing.value, nothing.reason, nothing.wanted) == (None, "no scene has a value", False)
        lost = figure_of("x", [NAN, NAN], ["a", "b"], lost=2)
        assert (lost.reason, lost.wanted) == ("the grader failed on 2 scenes", True)
        assert Measurement("m", [], [], [lost]).partial
        assert not Measurement("m", [], [], [nothing, absent("y", "not configured")]).partial

    def test_paired_tests_are_of_the_shared_prompts(self):
        prompts = [str(number) for number in range(12)]

        def made(name, right, soft, rows=range(12)):
            texts = [prompts[row] for row in rows]
            figures = [figure_of("right", [right(row) for row in rows], texts), figure_of("soft", soft, texts)]
            return Measurement(name, texts, texts, figures)

        first = made("first", lambda row: float(row == 0), [0.1] * 12)
        second = made("second", lambda row: 1.0, [NAN, *[0.4] * 9], range(10))
        tests = paired_tests(first, second)
        assert (tests["right"].n01, tests["right"].n10, tests["right"].difference.n) == (9, 0, 10)
        assert tests["right"].p == pytest.approx(2 / 2**9)
        # Nine better of ten: the half pairs of Agresti and Min keep the interval from having an end above 1.
        assert tests["right"].difference.mean == 0.9
        assert tests["right"].difference.low == pytest.approx(0.75 - 1.96 * (10 - 81 / 12) ** 0.5 / 12)
        assert tests["right"].difference.high == 1.0
        assert tests["soft"].difference.mean == pytest.approx(0.3)
        assert tests["soft"].difference.n == 9
        with pytest.raises(DataError, match="no prompt in common"):
            paired_tests(Measurement("x", ["0"], ["other"]), second)


def test_geometry_comes_from_the_verdicts(tmp_path):
    scene(tmp_path / "a", RED)
    scene(tmp_path / "b", GREEN, shows=RED, geometry=WRONG)
    scene(tmp_path / "c", "a red cube left of a green cone", shows=RED, geometry={**RIGHT, "relation": 0.0})
    (tmp_path / "d" / "views").mkdir(parents=True)
    (tmp_path / "d" / "prompt.txt").write_text("a torn hat")
    figures = measure_geometry(read_assets(tmp_path).found)
    found = values(figures)
    assert found["geometry.correct"].text() == wilson(2, 3).text()
    assert (found["geometry.colour"].mean, found["geometry.colour"].n) == (pytest.approx(2 / 3), 3)
    # Only the third prompt asks for a relation.
    assert (found["geometry.relation"].mean, found["geometry.relation"].n) == (0.0, 1)
    assert "1 scenes without a verdict are left out" in figures[0].note
    (only,) = measure_geometry(read_assets(tmp_path / "d").found)
    assert only.value is None
    assert "result.json" in only.reason


class TestClip:
    @pytest.fixture(scope="class")
    def clip(self, tmp_path_factory):
        return Clip(f"local-dir:{tiny_clip_folder(tmp_path_factory.mktemp('clip'), [RED, GREEN, BLUE])}")

    @pytest.fixture(scope="class")
    def scenes(self, tmp_path_factory):
        folder = tmp_path_factory.mktemp("scenes")
        for prompt in (RED, GREEN, BLUE):
            scene(folder / prompt, prompt)
        return folder

    def test_cosines_and_ranks_are_the_models_own(self, clip, scenes):
        assets = read_assets(scenes).found
        found = values(measure_clip(clip, assets, ["a purple cross", RED], 2)[0])
        texts = [*dict.fromkeys([*(asset.prompt for asset in assets), "a purple cross"])]
        vectors, means, firsts, seconds = clip.text(texts), [], [], []
        for row, asset in enumerate(assets):
            scores = clip.image(asset.views().rgb) @ vectors.T
            means.append(float(scores[:, row].mean()))
            order = scores.argsort(1, descending=True)
            firsts.append(float((order[:, 0] == row).float().mean()))
            seconds.append(float((order[:, :2] == row).any(1).float().mean()))
        assert found["clip.mean"].mean == pytest.approx(sum(means) / 3, abs=1e-5)
        assert found["clip.r@1"].mean == pytest.approx(sum(firsts) / 3)
        assert found["clip.r@2"].mean == pytest.approx(sum(seconds) / 3)
        assert found["clip.max"].mean >= found["clip.mean"].mean
        assert found["clip.r@1"].n == 3

    def test_a_clip_that_finds_all_alike_has_no_precision(self):
        pictures = torch.nn.functional.normalize(torch.ones(4, 8), dim=1)
        texts = torch.nn.functional.normalize(torch.ones(5, 8), dim=1)
        assert ranks(pictures, texts, 2).tolist() == [5] * 4
        assert ranks(torch.eye(8)[[1, 0]], torch.eye(8)[:5], 1).tolist() == [1, 5]

    def test_a_failing_model_is_no_score(self, clip, scenes, monkeypatch):
        image = Clip.image

        def failing(self, pictures):
            if failing.calls == 1:
                failing.calls += 1
                raise RuntimeError("out of memory")
            failing.calls += 1
            return image(self, pictures)

        failing.calls = 0
        monkeypatch.setattr(Clip, "image", failing)
        figures, _ = measure_clip(clip, read_assets(scenes).found)
        mean = figures[0]
        assert (mean.lost, mean.value.n) == (1, 2)
        assert [math.isnan(value) for value in mean.each] == [False, True, False]

    def test_a_model_that_guided_is_not_held_out(self, clip, tmp_path):
        scene(tmp_path / "a", RED, guidance={"clip": {"name": clip.model_name, "weight": 1.0}})
        scene(tmp_path / "b", GREEN, guidance={"clip": {"name": clip.model_name, "weight": 0.0}})
        figures, _ = measure_clip(clip, read_assets(tmp_path).found)
        assert "NOT held out: this CLIP guided 1 of the scenes" in figures[0].note
        scene(tmp_path / "b", RED)
        names = {figure.name: figure for figure in measure_clip(clip, read_assets(tmp_path).found)[0]}
        assert names["clip.r@1"].value is None
        assert "--prompts" in names["clip.r@1"].reason


class TestAgreement:
    def test_a_solid_scene_agrees_with_itself(self, tmp_path):
        seen = read_views(write_views(SdfScene(world("a red cube left of a green cone")), tmp_path, 12, 56))
        found = agreement(seen)
        assert found.surface > 0.97
        assert found.colour > 0.9

    def test_views_of_different_scenes_do_not(self, tmp_path):
        one = read_views(write_views(SdfScene(world("a red cube left of a green cone")), tmp_path / "one", 6, 56))
        two = read_views(write_views(SdfScene(world("a green cone above a red cube")), tmp_path / "two", 6, 56))
        turns = torch.tensor([row % 2 == 0 for row in range(6)])
        mixed = replace(
            one,
            rgb=torch.where(turns[:, None, None, None], one.rgb, two.rgb),
            depth=torch.where(turns[:, None, None], one.depth, two.depth),
        )
        assert agreement(mixed).surface < agreement(one).surface - 0.3
        # The same shape in other colours: the surfaces agree, the colours do not.
        painted = replace(one, rgb=torch.where(turns[:, None, None, None], one.rgb, one.rgb[:, [2, 0, 1]]))
        assert agreement(painted).surface == agreement(one).surface
        assert agreement(painted).colour < agreement(one).colour - 0.2

    def test_without_depth_it_is_not_measured(self, tmp_path):
        seen = read_views(write_views(SdfScene(world(RED)), tmp_path / "run" / "views", 3, 16))
        assert math.isnan(agreement(replace(seen, depth=None)).surface)
        assert math.isnan(agreement(replace(seen, depth=torch.zeros_like(seen.depth))).surface)
        (tmp_path / "run" / "prompt.txt").write_text(RED)
        for path in (tmp_path / "run" / "views").glob("*-depth.png"):
            path.unlink()
        (figure,) = measure_consistency(read_assets(tmp_path).found)
        assert "no scene has views with depth" in figure.reason


class TestFaces:
    @pytest.mark.parametrize(
        ("scores", "count", "warn"),
        [
            ([0.9, 0.1, 0.1, 0.1], 1, False),
            ([0.9, 0.8, 0.1, 0.1], 2, False),
            ([0.9, 0.8, 0.1, 0.8], 3, True),
            ([0.9, 0.9, 0.9, 0.9], 4, True),
            ([0.1, 0.1, 0.1, 0.1], 0, False),
        ],
    )
    def test_quarters_that_show_a_front(self, scores, count, warn):
        found = janus(scores, [0.0, 90.0, 180.0, 270.0])
        assert (found.count, found.warn, found.back) == (count, warn, scores[2])

    def test_many_views_in_front_are_one_quarter(self):
        azimuths = [30.0 * row for row in range(12)]
        front = [float(min(azimuth, 360 - azimuth) <= 40) for azimuth in azimuths]
        assert janus(front, azimuths).count == 1
        assert janus(front, azimuths).back == 0.0
        assert math.isnan(janus([1.0], [0.0]).back)
        # One odd view of three does not make a quarter a front, but it is told.
        stray = [float(azimuth in (0, 30, 330, 90, 180, 270)) for azimuth in azimuths]
        assert (janus(stray, azimuths).count, janus(stray, azimuths).back) == (1, 1.0)
