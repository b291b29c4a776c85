"""Reads answers that were made elsewhere: the dumps of the common evaluation tools."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from apps.medvqa.data import Example
from apps.medvqa.reading.records import Fields, Reading
from apps.medvqa.reading.tables import read_table
from common import ui
from common.errors import DataError
from common.files import read_json, text_lines
from common.rewards.functional import normalise

#: Fields (see `records.Fields`) that may hold a question's id, and those that may hold what a model said.
ID_FIELDS = ("id", "qid", "questionid", "sampleid", "exampleid", "imageid")
#: `answer` comes last: beside one of the others it is the reference, as in MedEvalKit's results.
ANSWER_FIELDS = (
    *("prediction", "pred", "predictedanswer", "predanswer", "predicted", "modelanswer", "modelresponse"),
    *("response", "completion", "output", "generatedtext", "generated", "text", "filteredresps", "resps"),
    *("conversations", "messages", "answer"),
)
_QUESTION_FIELDS = ("question", "prompt")
_TABLES = (".json", ".jsonl", ".csv", ".tsv")
_NAMED = 5


@dataclass(frozen=True)
class Predictions:
    """Answers by question, and what did not go together.

    Attributes:
        answers: what was said to each example, in the examples' order, as it stands in the file (a whole completion,
            perhaps); empty where nothing was.
        missing: ids of examples without an answer.
        unknown: ids in the file that no example has.
        repeated: ids that come more than once in the file, with the same answer.
    """

    answers: list[str]
    missing: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    repeated: tuple[str, ...] = ()


@dataclass
class _Found:
    """One answer of a file."""

    where: str
    text: str
    id: str | None = None
    question: str = ""


def read_predictions(path: Path | str, examples: Sequence[Example], strict: bool = True) -> Predictions:
    """One answer for each example.

    Args:
        path: JSONL, JSON, CSV or TSV with rows that have an id (`id`, `qid`, `question_id`) and an answer
            (`prediction`, `pred`, `response`, `completion`, `output`, `text`, or `answer` where there is none of
            these): LLaVA-Med's answers, VQAv2's results, lmms-eval's samples and most others; of a conversation
            (`conversations`, `messages`) the last turn counts. A JSON object may map ids to answers, a JSON list may
            hold bare texts. Rows without ids, such as MedEvalKit's `results.json`, are taken in the examples' order,
            and so are rows whose ids are all unknown but whose questions are the examples'. Any other file is text: a
            line an answer in the examples' order, or `id|answer` (VQA-Med's submissions). A question in a row must be
            the example's.
        examples: the questions that were asked.
        strict: missing and unknown ids are errors; else they are counted in a warning, and a missing answer is empty,
            which every metric counts as wrong.

    Raises:
        DataError: the file cannot be read, has two answers to one question, or belongs to other questions; names the
            row and the next step.
    """
    path = Path(path)
    found = _table(path) if path.suffix.lower() in _TABLES else _text(path, examples)
    if not found:
        raise DataError("holds no answers", path=path)
    known = {example.id for example in examples}
    with_id = [one for one in found if one.id is not None]
    if with_id and len(with_id) < len(found):
        bare = next(one for one in found if one.id is None)
        raise DataError(f"{bare.where} has no id, other rows have one; give all of them one, or none", path=path)
    if not with_id or (not known & {one.id for one in found} and _same_questions(found, examples)):
        return _in_order(path, found, examples)
    return _by_id(path, found, examples, strict)


def _in_order(path: Path, found: Sequence[_Found], examples: Sequence[Example]) -> Predictions:
    if len(found) != len(examples):
        raise DataError(
            f"{len(found)} answers without known ids for {len(examples)} questions; give one for each in their order, "
            f"or ids such as {examples[0].id!r}",
            path=path,
        )
    for one, example in zip(found, examples, strict=True):
        _check_question(path, one, example)
    return Predictions([one.text for one in found])


def _by_id(path: Path, found: Sequence[_Found], examples: Sequence[Example], strict: bool) -> Predictions:
    by_id = {example.id: example for example in examples}
    said: dict[str, _Found] = {}
    unknown: dict[str, None] = {}
    repeated: dict[str, None] = {}
    for one in found:
        assert one.id is not None
        if one.id not in by_id:
            unknown[one.id] = None
            continue
        _check_question(path, one, by_id[one.id])
        first = said.setdefault(one.id, one)
        if first is not one:
            repeated[one.id] = None
            if first.text != one.text:
                reason = f"a second answer to {one.id!r}, other than that in {first.where}; keep one"
                raise DataError(f"{one.where}: {reason}", path=path)
    missing = [example.id for example in examples if example.id not in said]
    looks = f"; the questions' ids look like {examples[0].id!r}"
    problems = [
        f"{len(missing)} of {len(examples)} questions have no answer: {_some(missing)}" if missing else "",
        f"{len(unknown)} ids belong to no question: {_some(list(unknown))}{looks}" if unknown else "",
    ]
    if any(problems) and (strict or not said):
        raise DataError("; ".join(filter(None, problems)), path=path)
    problems.append(f"{len(repeated)} ids come more than once: {_some(list(repeated))}" if repeated else "")
    for problem in filter(None, problems):
        ui.warn(f"{path}: {problem}")
    answers = [said[example.id].text if example.id in said else "" for example in examples]
    return Predictions(answers, tuple(missing), tuple(unknown), tuple(repeated))


def _table(path: Path) -> list[_Found]:
    content = read_json(path) if path.suffix.lower() == ".json" else None
    if (
        isinstance(content, dict)
        and content
        and not any(isinstance(value, (list, dict)) for value in content.values())
    ):
        return [_Found(f"id {key!r}", _said(value, path, f"id {key!r}"), str(key)) for key, value in content.items()]
    if isinstance(content, list) and content and all(isinstance(value, str) for value in content):
        return [_Found(f"row {number}", value.strip()) for number, value in enumerate(content)]
    reading = Reading(path.parent)
    found = []
    for place, raw in read_table(path, reading):
        row, where = Fields(raw), place.removeprefix(f"{path.name}: ")
        name = next((name for name in ANSWER_FIELDS if name in row), None)
        if name is None:
            fields = ", ".join(map(str, raw)) or "none"
            raise DataError(f"{where} has no answer; its fields are: {fields}; name one `prediction`", path=path)
        id = next((str(row[key]).strip() for key in ID_FIELDS if row.get(key) not in (None, "")), None)
        question = row.text(*_QUESTION_FIELDS)
        found.append(_Found(where, _said(row[name], path, where), id, question))
    if reading.problems:
        first = reading.problems[0]
        raise DataError(f"{first.where}: {first.reason} ({len(reading.problems)} such rows)", path=path)
    return found


def _text(path: Path, examples: Sequence[Example]) -> list[_Found]:
    lines = [(f"line {number}", line.strip()) for number, line in text_lines(path)]
    if lines and lines[0][1].startswith(("{", "[{")):
        raise DataError("this looks like JSON; name the file .jsonl (an object a line) or .json", path=path)
    while lines and len(lines) > len(examples) and not lines[-1][1]:
        lines.pop()
    known = {example.id for example in examples}
    marked = [(where, *line.partition("|")) for where, line in lines if line]
    if marked and all(bar for _, _, bar, _ in marked) and any(id.strip() in known for _, id, _, _ in marked):
        return [_Found(where, text.strip(), id.strip()) for where, id, _, text in marked]
    return [_Found(where, line) for where, line in lines]


def _said(value: Any, path: Path, where: str) -> str:
    while isinstance(value, list) and len(value) == 1 and not isinstance(value[0], dict):
        value = value[0]
    if isinstance(value, list) and value and isinstance(value[-1], dict):
        # A conversation, in LLaVA's or OpenAI's form: the answer is what was said last.
        turn = value[-1]
        speaker = turn.get("from", turn.get("role"))
        if speaker not in ("gpt", "assistant", "model"):
            raise DataError(f"{where}: the last turn is by {speaker!r}, not by the model", path=path)
        value = turn.get("value", turn.get("content"))
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, (str, int, float)):
        raise DataError(f"{where}: an answer is one text, found {value!r:.60}", path=path)
    return str(value).strip()


def _check_question(path: Path, one: _Found, example: Example) -> None:
    if not _same_question(one, example):
        raise DataError(
            f"{one.where} answers {one.question!r:.80}, but question {example.id!r} is {example.question!r:.80}; "
            "the file belongs to another split or order",
            path=path,
        )


def _same_question(one: _Found, example: Example) -> bool:
    """Whether a row's question, where it has one, is the example's or a prompt that holds it."""
    return not one.question or normalise(example.question) in normalise(one.question)


def _same_questions(found: Sequence[_Found], examples: Sequence[Example]) -> bool:
    pairs = zip(found, examples, strict=False)
    return len(found) == len(examples) and all(one.question and _same_question(one, own) for one, own in pairs)


def _some(ids: Sequence[str]) -> str:
    return ", ".join(ids[:_NAMED]) + (" ..." if len(ids) > _NAMED else "")
