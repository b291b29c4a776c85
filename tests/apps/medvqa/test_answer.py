"""`answer`: pictures of every kind reach the model as they are to be seen; streams, JSON, scores and errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from apps.medvqa.__main__ import APP
from apps.medvqa.answer import parse_window, run_answer, split_images
from apps.medvqa.assistant import DISCLAIMER, Answer, ModelAssistant, reasoning_of
from apps.medvqa.config import MedVqaConfig
from apps.medvqa.pocket import draw, is_right, phantom
from apps.medvqa.pocket.inquiries import find_inquiry
from common.config import LanguageModelConfig
from common.dicom.windowing import HOUNSFIELD
from common.errors import DataError, TouchstoneError, UsageError
from tests.apps.medvqa.scripted import ScriptedModel, tiny_config
from tests.common.dicom.dicoms import dicom
from tests.conftest import ROOT

SAID = "<think>A round white spot on the right.</think><answer>right upper zone</answer>"
SHIPPED = ROOT / "assets" / "medvqa" / "model"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> MedVqaConfig:
    return tiny_config(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> ScriptedModel:
    model = ScriptedModel(SAID)
    monkeypatch.setattr(ModelAssistant, "load", lambda self: model)
    return model


def test_a_picture_that_the_model_does_not_take_is_named(tmp_path: Path, config: MedVqaConfig) -> None:
    thin = tmp_path / "thin.png"
    Image.new("L", (3000, 2)).save(thin)
    with pytest.raises(UsageError, match=r"thin\.png: .*more than 200 times"):
        run_answer(config, "What is abnormal?", str(thin))


@pytest.fixture
def film(tmp_path: Path) -> Path:
    """A phantom as a PNG file."""
    path = tmp_path / "film.png"
    draw(phantom("nodule", "right", "upper zone", 30)).save(path)
    return path


@pytest.fixture
def scan(tmp_path: Path) -> Path:
    """A CT of -1000 to 1500 Hounsfield units, from top to bottom."""
    values = np.repeat(np.linspace(0, 2500, 64).astype(np.uint16)[:, None], 64, axis=1)
    path = tmp_path / "scan.dcm"
    path.write_bytes(dicom(values, Modality="CT", RescaleSlope=1, RescaleIntercept=-1000, RescaleType="HU"))
    return path


def seen(model: ScriptedModel) -> list[Any]:
    """The pixels of the last prompt's pictures."""
    return [np.asarray(picture) for picture in model.prompts[-1].pictures]


def test_a_tiny_model_answers_a_phantom_in_json(config, film, capsys):
    code = run_answer(config, "Where is the nodule?", str(film), reference="right upper zone", json_output=True)
    printed = json.loads(capsys.readouterr().out)
    assert code == (0 if printed["answer"] else 1)
    assert printed["images"] == [str(film)]
    assert printed["disclaimer"] == DISCLAIMER
    assert printed["completion"]
    assert 0 <= printed["score"]["value"] <= 1
    again = ModelAssistant(config).ask("Where is the nodule?", [Image.open(film)])
    assert again.completion == printed["completion"]


def test_question_answer_reasoning_and_the_score_are_printed(scripted, film, capsys):
    assert run_answer(MedVqaConfig(), "Where  is the\nnodule?", str(film), reference="left upper zone") == 0
    printed = capsys.readouterr()
    for text in ("Where is the nodule?", "right upper zone", "A round white spot on the right.", "vetoed: side"):
        assert text in printed.out
    assert "<think>" not in printed.out
    assert DISCLAIMER in printed.err
    run_answer(MedVqaConfig(), "Where is the nodule?", str(film))
    assert "score" not in capsys.readouterr().out


def test_json_holds_the_parts_of_the_score(scripted, film, capsys):
    run_answer(MedVqaConfig(), "Where is the nodule?", str(film), reference="upper zone, right", json_output=True)
    row = json.loads(capsys.readouterr().out)
    assert row["score"]["correct"] is True
    assert row["score"]["veto"] == ""
    assert set(row["score"]["parts"]) == {"form", "recall", "precision", "certainty", "language", "consistent"}
    assert (row["answer"], row["reasoning"]) == ("right upper zone", "A round white spot on the right.")
    run_answer(MedVqaConfig(), "Where is the nodule?", str(film), json_output=True)
    assert json.loads(capsys.readouterr().out)["score"] is None


def test_several_pictures_reach_the_model_in_their_order(scripted, film, scan):
    run_answer(MedVqaConfig(), "Which?", f"{scan}, {film}", json_output=True)
    first, second = seen(scripted)
    assert (first.shape, second.shape) == ((64, 64, 3), (112, 112, 3))
    odd = film.with_name("a, b.png")
    odd.write_bytes(film.read_bytes())
    assert split_images(str(odd)) == [str(odd)]
    run_answer(MedVqaConfig(), "Which?", str(odd), json_output=True)
    assert len(seen(scripted)) == 1
    with pytest.raises(UsageError, match="names no file"):
        split_images(" , ")


def test_a_window_changes_what_the_model_sees(scripted, scan, film):
    shown = {}
    for window in (None, "lung", "soft_tissue", "40,80", "full"):
        run_answer(MedVqaConfig(), "What?", str(scan), window=window, json_output=True)
        shown[window] = seen(scripted)[0][:, 0, 0].astype(int)
    assert shown["40,80"].max() == 255
    # Black to white from 0 to 80 Hounsfield units: all but two of 64 rows lie outside.
    assert ((shown["40,80"] > 0) & (shown["40,80"] < 255)).sum() == 2
    assert shown["lung"][0] < shown["lung"][30] == 255
    assert not np.array_equal(shown["soft_tissue"], shown["full"])
    assert np.abs(shown["full"] - np.linspace(0, 255, 64)).max() <= 1
    run_answer(MedVqaConfig(), "What?", str(film), window="127.5,255", json_output=True)
    assert np.array_equal(seen(scripted)[0], np.asarray(Image.open(film).convert("RGB")))


def test_windows_are_read_as_people_write_them():
    assert parse_window(None) is None
    assert parse_window("40,80") == parse_window(" 40 , 80 ") == (40.0, 80.0)
    assert parse_window("-600,1500") == parse_window("−600,1500") == (-600.0, 1500.0)
    for text in ("soft_tissue", "Soft-Tissue", "soft tissue"):
        assert parse_window(text) == "soft tissue"
    for name in (*HOUNSFIELD, "auto", "full"):
        assert parse_window(name) == name
    for text in ("", "liver", "40", "40,80,90", "40,wide"):
        with pytest.raises(UsageError, match=r"centre,width .* soft_tissue"):
            parse_window(text)


@pytest.mark.parametrize(
    ("content", "reason"), [(b"", "empty"), (b"no picture", "no picture"), (b"\x89PNG\r\n\x1a\nrest", "picture")]
)
def test_a_bad_picture_is_named(scripted, film, tmp_path, content, reason):
    bad = tmp_path / "bad.png"
    bad.write_bytes(content)
    with pytest.raises(DataError, match=rf"bad\.png.*{reason}"):
        run_answer(MedVqaConfig(), "What?", f"{film},{bad}")
    with pytest.raises(DataError, match=r"nowhere\.png: no such file"):
        run_answer(MedVqaConfig(), "What?", f"{film},nowhere.png")
    assert not scripted.prompts


def test_wrong_usage_is_said_before_the_model_is_opened(scripted, film):
    with pytest.raises(UsageError, match="question is empty"):
        run_answer(MedVqaConfig(), "  ", str(film))
    with pytest.raises(UsageError, match="--reference is empty"):
        run_answer(MedVqaConfig(), "What?", str(film), reference=" ")
    with pytest.raises(UsageError, match=r"film\.png.*Hounsfield"):
        run_answer(MedVqaConfig(), "What?", str(film), window="brain")
    with pytest.raises(UsageError, match=r"film\.png.*width"):
        run_answer(MedVqaConfig(), "What?", str(film), window="40,0")
    assert not scripted.prompts


def test_no_answer_is_a_failure_that_tells_what_was_said(scripted, film, capsys):
    scripted.completion = "<think>a white spot and"
    with pytest.raises(TouchstoneError, match=r"no answer; it said: .*a white spot and"):
        run_answer(MedVqaConfig(), "What?", str(film))
    assert run_answer(MedVqaConfig(), "What?", str(film), json_output=True) == 1
    row = json.loads(capsys.readouterr().out)
    assert (row["answer"], row["form"], row["reasoning"]) == ("", "empty", "a white spot and")


@pytest.mark.parametrize(
    ("completion", "answer", "reasoning"),
    [
        (SAID, "right upper zone", "A round white spot on the right."),
        ("yes", "yes", ""),
        ("<answer>no</answer>", "no", ""),
        ("<think>\nOne.\n\nTwo.</think>  no", "no", "One. Two."),
        ("<reasoning>Seen.</reasoning><final_answer>no</final_answer>", "no", "Seen."),
        ("<think>Seen.<answer>no</answer>", "no", "Seen."),
        ("Seen.</think><answer>no</answer>", "no", "Seen."),
        ("<think>cut off", "", "cut off"),
        ("smaller than < 5 mm", "smaller than < 5 mm", ""),
        ("", "", ""),
    ],
)
def test_answer_and_reasoning_are_taken_apart(completion, answer, reasoning):
    found = Answer.of("What?", completion)
    assert (found.text, found.reasoning) == (answer, reasoning)
    assert reasoning_of(completion) == reasoning


def test_the_prompt_has_the_configured_style(scripted, film):
    config = MedVqaConfig()
    for style in ("pocket", "reasoning"):
        config.prompt.style = style
        ModelAssistant(config).ask("What?", [Image.open(film)])
    bare, told = (prompt.messages for prompt in scripted.prompts)
    assert [message["role"] for message in bare] == ["user"]
    assert [message["role"] for message in told] == ["system", "user"]
    assert bare[-1]["content"] == told[-1]["content"] == "What?"


def test_a_missing_model_is_named(film, tmp_path):
    config = MedVqaConfig(model=LanguageModelConfig(path=str(tmp_path / "nowhere")))
    with pytest.raises(UsageError, match="nowhere"):
        run_answer(config, "What?", str(film))


def test_the_command_line(config, film, tmp_path, capsys):
    settings = tmp_path / "settings.yaml"
    settings.write_text(f"model: {{path: {config.model.path}, device: cpu}}\nevaluate: {{max_new_tokens: 4}}\n")
    command = ["answer", "--config", str(settings), "--image", str(film), "--json", "--window=-10,300", "What?"]
    assert APP.main(command) in (0, 1)
    assert json.loads(capsys.readouterr().out)["window"] == "-10,300"
    assert APP.main(["answer", "--config", str(settings), "--image", "nowhere.png", "What?"]) == 2
    assert "nowhere.png: no such file" in capsys.readouterr().err


@pytest.mark.skipif(not (SHIPPED / "config.json").is_file(), reason=f"the shipped model is not in {SHIPPED}")
def test_the_shipped_model_knows_what_it_looks_at():
    assistant = ModelAssistant(MedVqaConfig(model=LanguageModelConfig(path=str(SHIPPED), device="cpu")))
    right = 0
    for seed, organ in enumerate(["chest", "head", "kidney", "gallbladder", "leg"] * 2):
        study = phantom(organ=organ, seed=seed)
        example = find_inquiry("What organ is shown?", study)
        assert example is not None
        right += is_right(example, assistant.ask(example.question, [draw(study)]).text)
    assert right >= 9
