"""`answer`: one question about pictures, answered in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.medvqa.answers import AnswerScorer
from apps.medvqa.assistant import DISCLAIMER, Answer, ModelAssistant
from apps.medvqa.config import MedVqaConfig
from common import ui
from common.errors import TouchstoneError, UsageError

if TYPE_CHECKING:
    from apps.medvqa.answers import AnswerScore
    from common.dicom.windowing import Window


def run_answer(
    config: MedVqaConfig,
    question: str,
    image: str,
    window: str | None = None,
    reference: str | None = None,
    json_output: bool = False,
) -> int:
    """Print the answer, its reasoning and, where a reference is given, its score.

    Args:
        config: the application's settings.
        question: in a language that the model knows.
        image: PNG, JPEG, TIFF or DICOM file; several separated by commas, in the order in which the model sees them.
        window: centre and width of the grey values ("40,80"), or a name; see `parse_window`. It holds for every
            picture.
        reference: a right answer.
        json_output: print JSON instead.

    Raises:
        UsageError: an empty question or reference, a window that does not fit, or no such model.
        DataError: a picture cannot be read; names its file.
        TouchstoneError: the model gave no answer.
    """
    from common.pictures import load_any
    from common.training.run import set_threads

    if not question.strip():
        raise UsageError("the question is empty")
    if reference is not None and not reference.strip():
        raise UsageError("--reference is empty; leave it out, or give a right answer")
    files, through = split_images(image), parse_window(window)
    # Before the model is opened: a wrong file name should not take a minute to be told.
    pictures = [load_any(Path(file).expanduser(), through) for file in files]
    set_threads(config.threads)
    assistant = ModelAssistant(config)
    with ui.progress("looking", quiet=json_output):
        try:
            answer = assistant.ask(question, pictures)
        except UsageError as error:
            # A picture that the model does not take: said of a file by its name.
            raise UsageError(f"{', '.join(files)}: {error}") from error
    score = None
    if reference is not None:
        score = AnswerScorer(config.reward.tables).score(answer.completion, reference, answer.question)
    if json_output:
        ui.print_json({**to_dict(answer, files, window, reference, score), "model": config.model.path})
        return 0 if answer.text else 1
    show(answer, reference, score)
    return 0


def split_images(image: str) -> list[str]:
    """The files behind `--image`; a comma inside the name of a file that exists separates nothing.

    Raises:
        UsageError: no file is named.
    """
    if Path(image).expanduser().is_file():
        return [image]
    files = [part.strip() for part in image.split(",") if part.strip()]
    if not files:
        raise UsageError("--image names no file; give a PNG, JPEG, TIFF or DICOM file")
    return files


def parse_window(text: str | None) -> Window | None:
    """The window behind `--window`.

    Args:
        text: "centre,width" in the picture's own values; "lung", "brain", "bone", "soft_tissue" or "mediastinum", in
            Hounsfield units; "auto" or "full"; None for what the file itself asks for.

    Raises:
        UsageError: it is none of these.
    """
    from common.dicom.windowing import HOUNSFIELD

    if text is None:
        return None
    name = text.strip().lower().replace("_", " ").replace("-", " ").strip()
    if name in ("auto", "full", *HOUNSFIELD):
        return name
    parts = text.replace("−", "-").split(",")
    try:
        centre, width = (float(part) for part in parts)
    except ValueError:
        names = ", ".join(known.replace(" ", "_") for known in HOUNSFIELD)
        raise UsageError(
            f"--window {text}: give centre,width (such as 40,80; --window=-600,1500 where the centre is negative), "
            f"{names}, auto or full"
        ) from None
    return centre, width


def show(answer: Answer, reference: str | None = None, score: AnswerScore | None = None) -> None:
    """Print an answer for people.

    Raises:
        TouchstoneError: there is none.
    """
    from rich.table import Table
    from rich.text import Text

    if not answer.text:
        raise TouchstoneError(f"the model gave no answer; it said: {answer.completion[:300]!r}")
    rows = [("question", answer.question, ""), ("answer", answer.text, "bold"), ("reasoning", answer.reasoning, "dim")]
    if score is not None:
        verdict = "right" if score.correct else "wrong"
        veto = f"; vetoed: {score.veto}" if score.veto else ""
        style = "bold green" if score.correct else "bold red"
        rows += [("reference", reference or "", ""), ("score", f"{score.score:.2f}, {verdict}", style)]
        rows += [("reason", f"{score.reason}{veto}", "")]
    grid = Table.grid(padding=(0, 2))
    for name, text, style in rows:
        if text:
            grid.add_row(Text(name, style="dim"), Text(text, style=style))
    ui.console.print(grid)
    if score is not None:
        ui.table("", ("part", "value"), list(score.parts.items()))
    ui.say(DISCLAIMER)


def to_dict(
    answer: Answer, files: Sequence[str], window: str | None, reference: str | None, score: AnswerScore | None
) -> dict[str, Any]:
    """An answer for programs; `score` is null without a reference."""
    scored = None
    if score is not None:
        scored = {
            "value": score.score,
            "correct": score.correct,
            "veto": score.veto,
            "reason": score.reason,
            "parts": dict(score.parts),
        }
    return {
        "question": answer.question,
        "images": list(files),
        "window": window,
        "answer": answer.text,
        "reasoning": answer.reasoning,
        "form": answer.form,
        "completion": answer.completion,
        "reference": reference,
        "score": scored,
        "disclaimer": DISCLAIMER,
    }
