"""The demo without a browser: windows, phantoms and their truth, uploads, scores; no other file is read."""

from __future__ import annotations

import random
import re
import struct
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from apps.medvqa import demo, demo_view, workbench
from apps.medvqa.answers import AnswerScore, AnswerScorer
from apps.medvqa.assistant import DISCLAIMER, Answer
from apps.medvqa.demo_handlers import Handlers, Said, Shown
from apps.medvqa.inquiries import find_inquiry, inquiries, to_try
from apps.medvqa.pocket import LABEL, Study, is_right, phantom
from apps.medvqa.pocket.catalogue import HELD_OUT, KINDS, ORGANS, SIDES, places_of
from apps.medvqa.pocket.phrasings import PHRASINGS
from apps.medvqa.viewer import AS_STORED, View, open_view
from apps.medvqa.workbench import Truth, Wish, Workbench, accept_upload, make_phantom, menu, random_wish
from common.errors import DataError, UsageError
from tests.apps.medvqa.scripted import Scripted, tiny_config
from tests.common.dicoms import data_set, dicom, saved

HOSTILE = "<img src=x onerror=alert(1)>"
WHERE = "Where is the nodule?"
REASONED = "<think>A round white spot.</think><answer>right middle zone</answer>"


def ct(**fields: Any) -> bytes:
    """A CT of -1000 to 1500 Hounsfield units, from top to bottom, that is to be shown through 40, 80."""
    values = np.repeat(np.linspace(0, 2500, 64).astype(np.uint16)[:, None], 48, axis=1)
    about = {"Modality": "CT", "RescaleSlope": 1, "RescaleIntercept": -1000, "RescaleType": "HU"}
    return dicom(values, **{**about, "WindowCenter": 40, "WindowWidth": 80, **fields})


def png(mode: str = "RGB", size: tuple[int, int] = (30, 20), colour: Any = 0, kind: str = "PNG") -> bytes:
    file = BytesIO()
    Image.new(mode, size, colour).save(file, kind)
    return file.getvalue()


def uploaded(folder: Path, name: str, content: bytes) -> Path:
    """A file as gradio lays uploads down: in a folder of its own."""
    path = folder / "0123abcd" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    return path


def grey(view: View, window: Any = None) -> np.ndarray:
    return np.asarray(view.seen(window))[:, 0, 0].astype(int)


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


class TestViews:
    def test_hounsfield_units_have_named_windows(self) -> None:
        view = open_view(ct(), "scan.dcm")
        assert view.hounsfield
        assert view.presets == (AS_STORED, "lung", "mediastinum", "soft tissue", "brain", "bone")
        assert view.start == view.window_of("brain") == (40, 80)
        assert (view.low, view.high, view.size) == (-1000, 1500, (48, 64))
        assert np.array_equal(grey(view), grey(view, (40.0, 80.0)))
        assert np.array_equal(grey(view, "lung"), grey(view, view.window_of("lung")))
        assert not np.array_equal(grey(view, "lung"), grey(view))
        for name in view.presets:
            centre, width = view.window_of(name)
            assert view.centres[0] <= centre <= view.centres[1]
            assert view.widths[0] <= width <= view.widths[1]
        assert "Hounsfield units -1000 to 1500" in view.about

    def test_8_bits_are_shown_as_they_are_and_sliders_start_where_nothing_changes(self) -> None:
        for source in (png(colour=(10, 200, 90)), png("L", colour=77, kind="JPEG"), make_phantom(Wish())[0].source):
            view = open_view(source, "film")
            assert view.presets == (AS_STORED,)
            assert np.array_equal(np.asarray(view.seen()), np.asarray(view.seen(view.start)))
            assert (view.about, view.hounsfield) == ("", False)

    @pytest.mark.parametrize("kind", ["PNG", "TIFF"])
    def test_16_bits_start_where_the_picture_is_seen(self, kind: str) -> None:
        file = BytesIO()
        ramp = np.repeat(np.linspace(100, 4000, 64).astype(np.uint16)[:, None], 48, axis=1)
        Image.fromarray(ramp).save(file, kind)
        view = open_view(file.getvalue(), "deep")
        assert view.presets == (AS_STORED, "auto", "full")
        assert (view.low, view.high) == (100, 4000)
        assert np.abs(grey(view) - grey(view, view.start)).max() <= 1
        assert grey(view, (2000.0, 10.0)).tolist() == [0] * 31 + [255] * 33
        assert view.widths[0] == view.step == 1

    def test_few_values_are_split_finer(self) -> None:
        file = BytesIO()
        Image.fromarray(np.linspace(0, 1, 48, dtype=np.float32).reshape(6, 8)).save(file, "TIFF")
        view = open_view(file.getvalue(), "floats")
        assert 0 < view.step <= 0.01
        view.seen((0.5, view.widths[0]))
        flat = open_view(dicom(np.full((4, 4), 7, np.uint16)), "flat")
        flat.seen((7.0, flat.widths[0]))
        flat.seen(flat.window_of("full"))

    def test_frames(self) -> None:
        values = np.stack([np.full((8, 8), value, np.uint8) for value in (10, 200)])
        view = open_view(dicom(values), "cine.dcm")
        assert (view.frames, grey(view)[0], grey(view.at(1))[0]) == (2, 10, 200)
        with pytest.raises(DataError, match=r"^cine\.dcm: there is no frame 2"):
            view.at(2)
        pages = [Image.new("L", (8, 8), value) for value in (10, 200)]
        file = BytesIO()
        pages[0].save(file, "TIFF", save_all=True, append_images=pages[1:])
        view = open_view(file.getvalue(), "pages.tif")
        assert (view.frames, grey(view)[0], grey(view.at(1))[0]) == (2, 10, 200)


class TestQuestions:
    def test_every_reference_is_exactly_right_and_no_question_has_two(self) -> None:
        rng = random.Random(0)
        studies = [phantom(organ=organ) for organ in ORGANS] + [phantom(organ="kidney", side="left")]
        for kind in KINDS:
            for side, zone in places_of(kind):
                count = rng.choice((1, 2, 3) if kind.crowd else (1,))
                studies.append(phantom(kind.name, side, zone, 0, count, organ=kind.organ))
        asked = set()
        for study in studies:
            answers: dict[str, str] = {}
            for example in inquiries(study):
                assert is_right(example, example.answer), (example.question, example.answer)
                assert answers.setdefault(example.question.lower(), example.answer) == example.answer
                asked.add(example.tags["asks"])
        assert asked == set(PHRASINGS)

    def test_a_question_is_known_however_it_is_written_and_only_where_it_presumes_nothing(self) -> None:
        study = phantom("nodule", "right", "upper zone", 30)
        for text in (WHERE, " where  is the NODULE", "where is the nodule ?!"):
            found = find_inquiry(text, study)
            assert found is not None
            assert found.answer == "right upper zone"
        for text in ("", "Where is the cavity?", "How many nodules and cavities are there?", HOSTILE):
            assert find_inquiry(text, study) is None

    @pytest.mark.parametrize("kind", KINDS, ids=lambda kind: f"{kind.organ} {kind.name}")
    def test_questions_to_try_are_answered_by_the_phantom(self, kind: Any) -> None:
        study = phantom(kind.name, organ=kind.organ)
        questions = to_try(study)
        assert len(set(questions)) == len(questions) >= 4
        assert all(find_inquiry(question, study) for question in questions)
        told = {find_inquiry(question, study).answer for question in questions}  # type: ignore[union-attr]
        assert {"yes", "no"} <= told


class TestPhantoms:
    @settings(max_examples=200, deadline=None)
    @given(
        organ=st.sampled_from([*ORGANS, "", "spleen"]),
        finding=st.sampled_from(["", "lung", *(kind.name for kind in KINDS)]),
        side=st.sampled_from(["", "up", *SIDES]),
        zone=st.sampled_from(["", *(zone for organ in ORGANS.values() for zone in organ.zones)]),
        size=st.integers(-5, 99),
        count=st.integers(-1, 5),
        seed=st.integers(0, 10**9),
    )
    def test_whatever_is_chosen_becomes_a_phantom(self, **chosen: Any) -> None:
        offered = menu(Wish(*chosen.values()))
        wish = offered.wish
        _, study = make_phantom(wish)
        assert menu(wish) == offered
        if wish.finding:
            (finding,) = study.findings
            assert (finding.kind, finding.side, finding.zone) == (wish.finding, wish.side, wish.zone)
            assert (finding.size_mm, finding.count) == (wish.size_mm, wish.count)
        assert wish.finding in offered.findings
        assert wish.count in offered.counts
        assert not offered.sizes or wish.size_mm in offered.sizes

    def test_choices_that_go_together_are_kept(self) -> None:
        wish = Wish("leg", "lytic lesion", "left", "distal third", 15, 2, 7)
        assert menu(wish).wish == wish
        # A third lesion is small; two are no longer than the pair of sizes allows.
        assert menu(Wish("leg", "lytic lesion", "left", "distal third", 15, 3, 7)).wish.size_mm == 10
        assert menu(Wish("kidney", "", "left")).wish == Wish("kidney", "", "left", "", 0, 1, 0)

    def test_random_ones_differ_and_are_held_out_where_asked(self) -> None:
        wishes = [random_wish(held=True) for _ in range(40)]
        assert all(make_phantom(wish)[1].held for wish in wishes)
        assert {(wish.organ, wish.finding, wish.side, wish.zone) for wish in wishes} <= HELD_OUT
        assert len({make_phantom(random_wish())[1].organ for _ in range(60)}) == len(ORGANS)


class TestUploads:
    def test_a_picture_is_taken_in_and_its_file_is_gone(self, tmp_path: Path) -> None:
        for name, content in (
            ("a.png", png()),
            ("b.jpg", png(kind="JPEG")),
            ("c.tif", png(kind="TIFF")),
            ("scan", ct()),
        ):
            path = uploaded(tmp_path, name, content)
            view = accept_upload(path, tmp_path)
            assert view.name == name
            assert list(tmp_path.iterdir()) == []
            assert view.seen().mode == "RGB"

    @pytest.mark.parametrize(
        ("name", "content", "reason"),
        [
            ("empty.png", b"", "empty"),
            ("notes.png", b"only its name says so", "no picture in a format that is read here: PNG, JPEG"),
            ("torn.png", png(size=(300, 300), colour=(1, 2, 3))[:300], "broken or cut off"),
            ("torn.dcm", ct()[:900], "broken or cut off"),
            ("named.dcm", b"only its name says so", "no picture in a format that is read here: PNG, JPEG"),
            (
                "page.eps",
                b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
                "no picture in a format that is read here: PNG, JPEG",
            ),
        ],
    )
    def test_what_is_no_picture_is_refused_by_its_own_name(
        self, tmp_path: Path, name: str, content: bytes, reason: str
    ) -> None:
        path = uploaded(tmp_path, name, content)
        with pytest.raises(DataError) as raised:
            accept_upload(path, tmp_path)
        assert str(raised.value).startswith(f"{name}: ")
        assert reason in str(raised.value)
        assert str(tmp_path) not in str(raised.value)
        assert list(tmp_path.iterdir()) == []

    def test_too_many_bytes_or_pixels(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        chunks = [b"IHDR" + struct.pack(">IIBBBBB", 60_000, 20_000, 1, 0, 0, 0, 0), b"IDAT" + zlib.compress(b"")]
        bomb = b"\x89PNG\r\n\x1a\n"
        for chunk in chunks:
            bomb += struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
        with pytest.raises(DataError, match=r"^bomb\.png: more than 50 million pixels"):
            accept_upload(uploaded(tmp_path, "bomb.png", bomb), tmp_path)
        monkeypatch.setattr(workbench, "MOST_PIXELS", 64 * 48 - 1)
        with pytest.raises(DataError, match=r"^scan\.dcm: more than 0 million pixels"):
            accept_upload(uploaded(tmp_path, "scan.dcm", ct()), tmp_path)
        made = data_set(np.zeros((512, 512), np.uint16))
        made.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.1.99"
        with pytest.raises(DataError, match=r"^packed\.dcm: it unpacks to more than"):
            accept_upload(uploaded(tmp_path, "packed.dcm", saved(made)), tmp_path)
        monkeypatch.setattr(workbench, "LARGEST_UPLOAD", 10)
        with pytest.raises(DataError, match=r"^a\.png: larger than"):
            accept_upload(uploaded(tmp_path, "a.png", png()), tmp_path)
        assert list(tmp_path.iterdir()) == []

    def test_nothing_but_uploads_is_read_or_removed(self, tmp_path: Path) -> None:
        folder, secret = tmp_path / "uploads", tmp_path / "secret.png"
        folder.mkdir()
        secret.write_bytes(png())
        (folder / "link.png").symlink_to(secret)
        for path in (secret, folder / ".." / "secret.png", folder / "link.png", folder, folder / "nowhere.png"):
            with pytest.raises(UsageError, match="only a file that was uploaded"):
                accept_upload(path, folder)
        assert secret.read_bytes() == png()

    def test_the_handler_says_what_is_wrong_and_leaves_the_page(self, handlers: Handlers, uploads: Path) -> None:
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
        demo_view.notice(HOSTILE, HOSTILE, HOSTILE),
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


def test_truth_needs_an_answer_for_a_verdict(scorer: AnswerScorer) -> None:
    bench = Workbench(Scripted({}), scorer)
    study: Study = phantom("nodule", "right", "upper zone", 30)
    assert bench.truth(study, WHERE, None) == Truth("right upper zone", None)
    assert bench.truth(study, WHERE, Answer.of(WHERE, "upper zone on the right")) == Truth("right upper zone", True)
    assert bench.truth(study, "Why?", None) == Truth()
