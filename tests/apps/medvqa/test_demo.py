"""The demo without a browser: what each event changes on the page, and that no text becomes HTML."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from apps.medvqa import demo, demo_view
from apps.medvqa.answers import AnswerScore, AnswerScorer
from apps.medvqa.assistant import DISCLAIMER, Answer
from apps.medvqa.demo_handlers import Handlers, Said, Shown
from apps.medvqa.pocket import LABEL, phantom
from apps.medvqa.viewer import AS_STORED, open_view
from apps.medvqa.workbench import Truth, Wish, Workbench, make_phantom
from common.demo import notice
from common.errors import UsageError
from tests.apps.medvqa.pictures import ct, grey, png, uploaded
from tests.apps.medvqa.scripted import Scripted, tiny_config
from tests.common.dicom.dicoms import dicom

HOSTILE = "<img src=x onerror=alert(1)>"
WHERE = "Where is the nodule?"
REASONED = "<think>A round white spot.</think><answer>right middle zone</answer>"


@pytest.fixture(scope="module")
def scorer() -> AnswerScorer:
    return AnswerScorer()


@pytest.fixture
def handlers(scorer: AnswerScorer) -> Handlers:
    return Handlers(Workbench(Scripted({WHERE: REASONED}), scorer))


@pytest.fixture
def uploads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of uploads, as the demo's handlers find it."""
    folder = tmp_path / "uploads"
    folder.mkdir()
    monkeypatch.setattr("gradio.utils.get_upload_folder", lambda: str(folder))
    return folder


def test_the_handler_says_what_is_wrong_and_leaves_the_page(handlers: Handlers, uploads: Path) -> None:
    for path in (uploaded(uploads, "notes.png", b"no picture"), Path("/etc/hostname")):
        answer = handlers.upload(str(path))
        assert len(answer) == 20
        changed = [value for value in answer if isinstance(value, dict) and "value" in value]
        assert len(changed) == 1
        assert "That did not work" in changed[0]["value"]
        assert str(uploads) not in changed[0]["value"]
    assert Path("/etc/hostname").exists()


def drawn(handlers: Handlers, **changes: Any) -> Shown:
    wish = {"organ": "chest", "finding": "nodule", "side": "right", "zone": "upper zone", "size": 30, "count": 1}
    shown: Shown = handlers.draw(*{**wish, "seed": 0, **changes}.values())[0]
    return shown


class TestHandlers:
    def test_the_first_phantom_is_drawn_from_empty_dropdowns(self, handlers: Handlers) -> None:
        answer = handlers.draw("chest", None, None, None, None, None, 0)
        assert len(answer) == 20
        shown = answer[0]
        assert (shown.study, shown.window) == (make_phantom(Wish())[1], None)
        assert LABEL in answer[1]
        assert [value["value"] for value in answer[7:12]] == ["nodule", "right", "upper zone", 30, 1]

    def test_whatever_a_request_holds_becomes_a_phantom(self, handlers: Handlers) -> None:
        for values in (
            [None] * 7,
            [["chest"], {}, 3, True, "20 mm", -1, float("nan")],
            ["leg", HOSTILE, "", "", 1e30, 2.5, -7],
        ):
            shown = handlers.draw(*values)[0]
            assert shown.study is not None
        # What is being typed into the seed's field stays.
        assert "value" not in handlers.draw("leg", "fracture", "left", "", 0, 1, 77)[12]
        assert isinstance(handlers.another(True)[12], int)

    def test_a_window_reaches_the_model(self, handlers: Handlers) -> None:
        assistant = handlers.workbench.assistant
        assert isinstance(assistant, Scripted)
        shown = drawn(handlers)
        windowed = handlers.window(shown, 200.0, 20.0)[0]
        for state in (shown, windowed, handlers.window(windowed, 127.5, 255.0)[0]):
            handlers.ask(state, WHERE, "")
        before, through, again = (np.asarray(pictures[0]) for _, pictures in assistant.asked)
        assert np.array_equal(before, again)
        assert np.array_equal(through, np.asarray(windowed.view.seen((200.0, 20.0))))
        assert set(np.unique(through)) != set(np.unique(before))
        told = handlers.ask(windowed, WHERE, "")[2]["value"]
        assert "centre 200 and width 20" in told

    def test_a_preset_moves_the_sliders_and_sliders_leave_the_preset(self, handlers: Handlers) -> None:
        shown = Shown(open_view(ct(), "scan.dcm"))
        state, picture, preset, centre, width, _ = handlers.preset(shown, "lung")
        assert (preset["value"], centre["value"], width["value"]) == ("lung", -600, 1500)
        assert picture != handlers.preset(shown, AS_STORED)[1]
        state, _, preset, *_ = handlers.window(state, -500.0, 1500.0)
        assert (state.window, preset["value"]) == ((-500.0, 1500.0), None)
        state, _, preset, *_ = handlers.window(state, 40.0, 80.0)
        assert (state.window, preset["value"]) == (None, AS_STORED)
        # Whatever a field sends, there is a picture.
        assert "<img" in handlers.window(state, 40.0, -3.0)[1]

    def test_frames_are_seen_one_by_one(self, handlers: Handlers) -> None:
        values = np.stack([np.full((8, 8), value, np.uint8) for value in (10, 200)])
        shown = Shown(open_view(dicom(values), "cine.dcm"))
        second = handlers.frame(shown, 2)[0]
        assert grey(second.view)[0] == 200
        assert "frame 2" in handlers.ask(second, "What?", "")[2]["value"]
        assert "there is no frame" in handlers.frame(shown, 9)[1]

    def test_the_answer_is_scored_and_the_truth_told_on_demand(self, handlers: Handlers) -> None:
        shown = drawn(handlers)
        said, _, told, _, score, truth = handlers.ask(shown, WHERE, "right upper zone")
        assert re.search(r'class="said">right middle zone<', told["value"])
        assert "<details><summary>Reasoning</summary><p>A round white spot.</p></details>" in told["value"]
        assert "Vetoed" in score["value"]
        assert truth["value"] == ""
        assert "right upper zone" not in told["value"]
        truth, reference, score = handlers.reveal(shown, said, WHERE, "")
        assert "Wrong: “right middle zone”" in truth["value"]
        assert reference == "right upper zone"
        assert "Vetoed" in score["value"]
        # A reference of the visitor's own stays.
        _, reference, _ = handlers.reveal(shown, said, WHERE, "my own")
        assert "value" not in reference
        correct = handlers.check(shown, said, "right middle zone")
        assert "Counts as correct" in correct["value"]

    def test_an_answer_about_a_picture_that_is_gone_counts_for_nothing(self, handlers: Handlers) -> None:
        before, now = drawn(handlers), drawn(handlers, side="left")
        said = handlers.ask(before, WHERE, "")[0]
        # Another window is the same picture.
        windowed = handlers.window(before, 100.0, 50.0)[0]
        for shown, kept in ((before, True), (windowed, True), (now, False)):
            assert all(("value" in value) is not kept for value in handlers.settle(shown, said))
            assert ("ask a question first" in handlers.check(shown, said, "left")["value"]) is not kept
            assert ("Wrong" in handlers.reveal(shown, said, WHERE, "")[0]["value"]) is kept
        assert all("value" not in value for value in handlers.settle(now, Said()))

    def test_the_truth_of_a_question_that_is_not_the_worlds(self, handlers: Handlers) -> None:
        shown = drawn(handlers)
        said = handlers.ask(shown, "Should one worry?", "")[0]
        truth, reference, _ = handlers.reveal(shown, said, "Should one worry?", "")
        assert "do not answer this question by themselves" in truth["value"]
        assert "nodule" in truth["value"]
        assert "value" not in reference

    def test_clicking_a_question_asks_it_and_forgets_the_reference_to_another(self, handlers: Handlers) -> None:
        _, question, told, reference, score, _ = handlers.choose(drawn(handlers), [WHERE])
        assert (question, reference, score["value"]) == (WHERE, "", "")
        assert "right middle zone" in told["value"]

    def test_a_new_picture_takes_the_old_answer_away(self, handlers: Handlers, uploads: Path) -> None:
        for answer in (handlers.another(False), handlers.upload(str(uploaded(uploads, "a.png", png())))):
            _, examples, told, reference, score, reveal, truth = answer[-7:]
            assert (told["value"], reference, score["value"], truth["value"]) == ("", "", "", "")
            assert examples["samples"] == [[question] for question in handlers.workbench.questions(answer[0].study)]
            assert reveal["visible"] is (answer[0].study is not None)
        assert "only ever seen phantoms" in answer[-7]["value"]

    def test_nothing_happens_without_picture_answer_or_question(self, handlers: Handlers) -> None:
        for answer in (
            handlers.window(Shown(), 1.0, 2.0),
            handlers.preset(Shown(), "lung"),
            handlers.frame(Shown(), 1),
            handlers.reveal(Shown(), Said(), WHERE, ""),
            handlers.settle(Shown(), Said()),
        ):
            assert all("value" not in value for value in answer)
        assert "ask a question first" in handlers.check(Shown(), Said(), "yes")["value"]
        assert "There is no picture" in handlers.ask(Shown(), WHERE, "")[2]["value"]
        shown = drawn(handlers)
        assert "write a right answer first" in handlers.check(shown, handlers.ask(shown, WHERE, "")[0], " ")["value"]
        for question in ("  ", "why? " * 200):
            said, _, told, *_ = handlers.ask(shown, question, "")
            assert "That did not work" in told["value"]
            assert said.answer is None


def test_hostile_texts_are_escaped_everywhere() -> None:
    study, view = phantom("nodule"), open_view(png(), HOSTILE)
    answers = [Answer.of(HOSTILE, f"<think>{HOSTILE}</think><answer>{HOSTILE}</answer>"), Answer.of("", HOSTILE)]
    pages = [
        demo_view.picture_html(view.seen(), view),
        *(demo_view.answer_html(answer, HOSTILE) for answer in answers),
        demo_view.score_html(AnswerScore(0.1, HOSTILE, HOSTILE, HOSTILE, {HOSTILE: 0.5})),
        demo_view.truth_html(Truth(HOSTILE, True), study, answers[0]),
        notice(HOSTILE, HOSTILE, HOSTILE),
    ]
    for page in pages:
        assert "&lt;img src=x" in page
        assert "<img src=x" not in page


def test_every_veto_and_part_of_the_scorer_is_told(scorer: AnswerScorer) -> None:
    from apps.medvqa.answers.compare import CAPS

    assert set(demo_view.VETOES) <= set(CAPS)
    for veto in CAPS:
        page = demo_view.score_html(AnswerScore(0.05, "left", "left is said", veto))
        assert f"Vetoed: {demo_view.VETOES.get(veto, veto)}." in page
    assert set(demo_view.PARTS) == set(scorer.score("yes", "no", "Is there a nodule?").parts)


def test_a_score_without_veto_is_called_what_it_is() -> None:
    page = demo_view.score_html(AnswerScore(0.44, "upper zone", "part is missing", "", {"recall": 0.44}))
    assert "Counts as wrong (below 0.8)" in page
    assert "Part is missing." in page
    assert "width:44.0%" in page


def test_no_answer_shows_what_was_said() -> None:
    page = demo_view.answer_html(Answer("What?", "<think>", "", "", "empty"), "as stored")
    assert "(no answer)" in page
    assert "&lt;think&gt;" in page


def test_a_large_picture_is_shown_smaller_and_the_disclaimer_stands_there() -> None:
    view = open_view(png(size=(3000, 1500)), "large.png")
    page = demo_view.picture_html(view.seen(), view)
    assert "3,000 × 1,500 pixels" in page
    assert len(page) < 50_000
    assert DISCLAIMER in demo_view.disclaimer_html()
    assert LABEL in demo_view.disclaimer_html()


def test_the_configured_model_answers_in_the_demo(tmp_path: Path) -> None:
    config = tiny_config(tmp_path / "model")
    built = demo.build_workbench(config)
    assert built.pocket
    answers = [Handlers(built).ask(drawn(Handlers(built)), WHERE, "")[0].answer for _ in range(2)]
    assert answers[0] == answers[1]
    assert answers[0].completion
    assert demo.build_demo(config) is not None
    config.prompt.style = "reasoning"
    assert not demo.build_workbench(config).pocket
    config.model.path = str(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="nowhere"):
        demo.build_workbench(config)
