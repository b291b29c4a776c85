"""Marks by a judge that sees pictures, and GoT-R1's scores: truth tables, boxes, the best of several, outages."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

from apps.text3d.cameras import orbit
from apps.text3d.measures.assets import read_assets
from apps.text3d.measures.got import ASPECTS, Candidate, GotJudge, best_of, found_boxes, grounding, total
from apps.text3d.measures.marks import measure_marks
from apps.text3d.measures.rubric import measure_rubric
from apps.text3d.pocket.sdf_scene import SdfScene
from apps.text3d.prompts import parse
from common.errors import UsageError
from common.rewards.judges.layout import draw_boxes
from tests.apps.text3d.measures.made import GREEN, RED, endpoint, pictures, redness, scene, told, world
from tests.common.rewards.judge_server import chat, judge_server

PAIR = "a red cube left of a green cone"
LEFT, RIGHT = [0.1, 0.4, 0.4, 0.7], [0.6, 0.4, 0.9, 0.7]
HIGH, LOW = [0.4, 0.1, 0.6, 0.4], [0.4, 0.6, 0.6, 0.9]


def boxes(*rows):
    return torch.tensor(rows)


def middle(picture, colour):
    """Column and row of the middle of what is drawn in a colour."""
    rows, columns = np.nonzero(np.abs(picture - np.array(colour) / 255).max(-1) < 0.02)
    return columns.mean(), rows.mean()


def draughtsman(body):
    """Marks a layout by the drawing alone: whether the first box lies as the prompt says."""
    if "layout" not in body["messages"][0]["content"]:
        return chat('{"picture": 10}')
    (picture,), asked = pictures(body), told(body)
    if len(asked["boxes"]) < 2:
        return chat('{"layout": 0}')
    first, second = middle(picture, (0x2F, 0x7F, 0xD1)), middle(picture, (0xD0, 0x8A, 0x12))
    right = first[0] < second[0] if "left of" in asked["prompt"] else first[1] < second[1]
    return chat(json.dumps({"layout": 10 if right else 2}))


class TestGot:
    @pytest.mark.parametrize(
        ("prompt", "planned", "score"),
        [
            (PAIR, boxes(LEFT, RIGHT), 1.0),
            (PAIR, boxes(RIGHT, LEFT), 0.2),
            ("a red cube above a green cone", boxes(HIGH, LOW), 1.0),
            ("a red cube above a green cone", boxes(LOW, HIGH), 0.2),
            (PAIR, boxes(LEFT), 0.0),
        ],
    )
    def test_the_layout_is_judged_by_the_drawing(self, prompt, planned, score):
        names = ["red cube", "green cone"][: len(planned)]
        with judge_server() as server:
            server.answer = draughtsman
            (found,) = GotJudge(endpoint(server.url), pause=0.0).score(
                [Candidate(prompt, planned=planned, names=names)]
            )
            assert len(server.bodies) == 1  # nothing else of the candidate is there to be asked about
        assert found.layout == score
        assert math.isnan(found.total)
        assert found.reasons["semantic"] == found.reasons["picture"] == found.reasons["grounding"] == "not given"

    def test_boxes_are_drawn_where_they_are(self):
        picture = np.asarray(draw_boxes(boxes([0.25, 0.5, 0.75, 1.0]), ["red cube"], 200)) / 255
        rows, columns = np.nonzero(np.abs(picture - np.array([0x2F, 0x7F, 0xD1]) / 255).max(-1) < 0.02)
        assert (columns.min(), columns.max(), rows.min(), rows.max()) == (49, 149, 99, 199)
        with pytest.raises(UsageError, match="a name for each"):
            draw_boxes(boxes(LEFT, RIGHT), ["one"])

    @pytest.mark.parametrize(
        ("planned", "found", "score"),
        [
            (boxes(LEFT, RIGHT), boxes(RIGHT, LEFT), 1.0),
            (boxes(LEFT, RIGHT), boxes(LEFT), 0.5),
            (boxes(LEFT), boxes(LEFT, RIGHT), 0.5),
            (boxes(LEFT), boxes(RIGHT), 0.0),
            (boxes(LEFT), torch.zeros(0, 4), 0.0),
            (torch.zeros(0, 4), boxes(LEFT), 0.0),
            (boxes([0.0, 0.0, 0.5, 1.0]), boxes([0.25, 0.0, 0.75, 1.0]), 1 / 3),
            (None, boxes(LEFT), math.nan),
            (boxes(LEFT), None, math.nan),
        ],
    )
    def test_grounding(self, planned, found, score):
        assert grounding(planned, found)[0] == pytest.approx(score, nan_ok=True)

    @pytest.mark.parametrize(
        ("parts", "score"),
        [
            ((1.0, 1.0, 1.0, 1.0), 2.0),
            ((1.0, 0.0, 1.0, 1.0), 1.0),
            ((1.0, 1.0, 0.0, 1.0), 0.0),
            ((1.0, 1.0, 1.0, 0.0), 0.0),
            ((0.5, 0.25, 0.5, 0.8), 0.3),
            ((math.nan, 1.0, 1.0, 0.0), math.nan),
        ],
    )
    def test_the_product(self, parts, score):
        assert total(*parts) == pytest.approx(score, nan_ok=True)

    def test_the_best_of_several_leaves_failures_out(self):
        def judge(body):
            system = body["messages"][0]["content"]
            if "mark a plan" in system:
                good = "left" in told(body)["plan"]
                return chat(json.dumps(dict.fromkeys(ASPECTS, 10 if good else 4)))
            if "mark a layout" in system:
                return draughtsman(body)
            (picture,) = pictures(body)
            return (503, {}) if picture.mean() > 0.99 else chat(json.dumps({"picture": round(10 * redness(picture))}))

        planned, red = boxes(LEFT, RIGHT), Image.new("RGB", (28, 28), (220, 20, 20))
        names = ["red cube", "green cone"]
        blank = Image.new("RGB", (28, 28), "white")
        plans = ["the cube left, the cone right", "a cube and a cone"]
        several = [
            Candidate(PAIR, red, plans[1], planned, planned, names),
            Candidate(PAIR, red, plans[0], planned, planned, names),
            Candidate(PAIR, blank, plans[0], planned, planned, names),
        ]
        with judge_server() as server:
            server.answer = judge
            scores = GotJudge(endpoint(server.url), pause=0.0).score(several)
        assert [one.semantic for one in scores] == [0.4, 1.0, 1.0]
        assert scores[1].total == pytest.approx(2.0)
        assert math.isnan(scores[2].picture)
        assert scores[2].reasons["picture"] == "the judge failed: HTTP 503"
        assert best_of([one.total for one in scores]) == 1
        assert best_of([math.nan]) is None
        assert best_of([0.5, 0.5]) == 0

    def test_things_are_found_by_their_colours(self):
        view = SdfScene(world(PAIR)).render(orbit([0.0], size=96)).rgb[0]
        found, names = found_boxes(view, parse(PAIR))
        assert names == ["red cube", "green cone"]
        assert found[0, 2] < found[1, 0]
        turned, _ = found_boxes(view.flip(-1), parse(PAIR))
        assert turned[0, 0] > turned[1, 2]
        two = torch.ones(3, 40, 40)
        for columns in (slice(4, 14), slice(20, 36)):
            two[:, 10:20, columns] = torch.tensor([0.8, 0.1, 0.1])[:, None, None]
        two[:, 30, 30] = two[:, 12, 6]  # a speck is no thing
        found, names = found_boxes(two, parse("two red cubes"))
        assert names == ["red cube", "red cube"]
        assert torch.allclose(found, torch.tensor([[4, 10, 14, 20], [20, 10, 36, 20]]) / 40)
        assert len(found_boxes(torch.ones(3, 32, 32), parse(PAIR))[0]) == 0
        for unclear in ("a cube", "a red cube left of a red cone", "a torn hat"):
            assert found_boxes(view, parse(unclear)) is None


class TestMarks:
    def test_the_judge_sees_the_views_and_an_outage_is_no_mark(self, tmp_path):
        scene(tmp_path / "a", RED)
        scene(tmp_path / "b", "a red cone", shows=GREEN)
        scene(tmp_path / "c", "a red torus")
        (tmp_path / "d" / "result.json").parent.mkdir()
        (tmp_path / "d" / "result.json").write_text('{"prompt": "a red sphere"}')

        def judge(body):
            if told(body)["prompt"] == "a red torus":
                return 503, {}
            (picture,) = pictures(body)
            return chat(json.dumps({"quality": 4, "alignment": 5 if redness(picture) > 0.01 else 1}))

        with judge_server() as server:
            server.answer = judge
            figures = {
                one.name: one for one in measure_marks(endpoint(server.url), read_assets(tmp_path).found, pause=0)
            }
        assert figures["marks.alignment"].each[:2] == [5.0, 1.0]
        assert [math.isnan(value) for value in figures["marks.alignment"].each] == [False, False, True, True]
        assert (figures["marks.alignment"].lost, figures["marks.alignment"].value.n) == (1, 2)
        assert figures["marks.t3bench"].each[:2] == [90.0, 50.0]
        assert "1 lost: HTTP 503" in figures["marks.quality"].note
        assert "judge fake-eye" in figures["marks.quality"].note

    @pytest.mark.parametrize(
        "reply",
        ['{"quality": 6, "alignment": 1}', '{"quality": true, "alignment": 1}', '{"quality": 3}', "3", "[]", "YES"],
    )
    def test_an_answer_that_is_none(self, tmp_path, reply):
        scene(tmp_path / "a", RED)
        with judge_server() as server:
            server.answer = lambda body: chat(reply)
            found = measure_marks(endpoint(server.url), read_assets(tmp_path).found, pause=0.0)
            assert len(server.bodies) == 2
        assert all(one.value is None and one.lost == 1 and one.wanted for one in found)


def test_the_rubric_of_finished_scenes(tmp_path):
    scene(tmp_path / "a", PAIR, size=64)
    scene(tmp_path / "b", "a green cone left of a red cube", shows=PAIR, size=64)
    scene(tmp_path / "c", "a torn hat", shows=RED)
    with judge_server() as server:
        server.answer = draughtsman
        found = {one.name: one for one in measure_rubric(endpoint(server.url), read_assets(tmp_path).found, pause=0.0)}
    assert found["got.layout"].each[:2] == [1.0, 0.2]
    assert found["got.layout"].value.n == 2
    assert found["got.picture"].value.n == 3
    assert found["got.layout"].lost == 0
