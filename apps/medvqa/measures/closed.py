"""Reads answers to closed questions: yes or no by whole words, choices by letter or text, and "cannot tell"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from apps.medvqa.data import LETTERS
from common.rewards.functional import normalise

#: What an answer to a closed question can be; all but `right` count as wrong in the accuracy.
VERDICTS = ("right", "wrong", "cannot tell", "both", "unclear")

_WORD = re.compile(r"(?<![\w-])(?:(yes|yeah|yep)|(no|nope))(?![\w-])", re.IGNORECASE)
_WHOLE = {"true": "yes", "false": "no"}
#: What may stand before the answer proper: `The correct answer is: **`.
_OPENING = re.compile(
    r"^(?:(?:the |my |final |correct |best |right )*(?:answer|option|choice)\s*(?:is|would be)?\s*:?\s*)*[\W_]*",
    re.IGNORECASE,
)
#: Words behind a no that is an answer of its own; before any other word it belongs to that word: `no nodule`.
_ALONE = re.compile(r"\s*(?:$|[^\w\s]|(?:and|or|nor|i|it|there|this|that|the|because|not)\b)", re.IGNORECASE)
_CANNOT_TELL = re.compile(
    r"\b(?:can(?:not|'?t| not) (?:\w+ ){0,2}?(?:tell|say|know|answer|assess|assessed|determine|determined|said)"
    r"|unable to (?:\w+ )?(?:tell|say|answer|assess|determine)|(?:im|not )possible to (?:tell|say|determine)"
    r"|(?:do(?:es)? not|don'?t|doesn'?t) know|not (?:sure|certain)|unsure|uncertain|unclear|unknown|indeterminate)\b"
    r"|无法(?:判断|确定|回答)|不(?:确定|知道|清楚)",
    re.IGNORECASE,
)
_HAN = re.compile(r"[\u4e00-\u9fff]")
#: Chinese answers as SLAKE has them: whole first clauses, and beginnings.
_HAN_YES = frozenset(["是", "是的", "有", "有的", "存在", "包含", "包括", "可以", "对", "对的", "能", "会", "正确"])
_HAN_NO = frozenset(
    ["否", "不", "没", "无", "不是", "没有", "不存在", "不包含", "不包括", "不可以", "不对", "不能", "不会"]
)
_HAN_YES_BEGINS, _HAN_NO_BEGINS = ("是", "有", "存在", "包含", "包括", "可以"), ("不", "没", "无")


@dataclass(frozen=True)
class Closed:
    """How an answer to a closed question was read.

    Attributes:
        verdict: one of `VERDICTS`.
        said: what was read: `yes`, `no`, a choice, `both`, `cannot tell`, or the normalised text.
    """

    verdict: str
    said: str


def judge_closed(answer: str, references: Sequence[str], choices: Sequence[str] = ()) -> Closed:
    """Whether an answer to a closed question is right.

    1. With choices: the choice that the answer names (`read_choice`) must be the reference's.
    2. Where the reference is yes or no: the answer's own yes or no (`read_yes_no`) must be the same.
    3. Else (`FLAIR`, `left`): the words must be the same after normalisation, articles aside.

    An answer that does not say so is `cannot tell` where it says that, `both` where it gives two that contradict each
    other, and else `unclear` (1, 2) or `wrong` (3). `cannot tell` is `right` where the reference says that.

    Args:
        answer: the answer, without reasoning and tags.
        references: right answers; with choices their texts or letters.
        choices: texts of the choices in order.
    """
    plain = normalise(answer)
    said = _read(answer, references, choices)
    if any(same_words(answer, reference) for reference in references):
        return Closed("right", said or plain)
    if said and said != "both":
        right = {_read(reference, references, choices) for reference in references}
        return Closed("right" if said in right else "wrong", said)
    if _CANNOT_TELL.search(answer):
        expected = any(_CANNOT_TELL.search(reference) for reference in references)
        return Closed("right" if expected else "cannot tell", "cannot tell")
    if said:
        return Closed("both", said)
    readable = plain and not choices and not any(map(is_polar, references))
    return Closed("wrong" if readable else "unclear", plain)


def read_yes_no(text: str) -> str:
    """`yes`, `no`, `both` or empty: what an answer says by the whole words yes and no.

    A yes or no at the beginning counts, unless its opposite follows as an answer of its own (`yes and no`, `no, yes`);
    `Yes, there is no fracture` is a yes, because that no belongs to the fracture. Elsewhere all such words must agree.
    `normal`, `nodule`, `abnormal`, `not` and `I do not know` hold neither. `true` and `false` count as whole answers,
    Chinese answers by their first clause or its beginning.
    """
    body = text.strip()[_OPENING.match(text.strip()).end() :]  # type: ignore[union-attr]
    if _HAN.search(body):
        return _read_han(body)
    if normalise(body) in _WHOLE:
        return _WHOLE[normalise(body)]
    found = list(_WORD.finditer(body))
    words = ["yes" if match.group(1) else "no" for match in found]
    alone = {
        word for word, match in zip(words, found, strict=True) if word == "yes" or _ALONE.match(body, match.end())
    }
    said = alone | set(words[:1]) if found and not found[0].start() else alone or set(words)
    return "both" if len(said) > 1 else next(iter(said), "")


def read_choice(text: str, choices: Sequence[str]) -> str:
    """The choice that an answer names by its letter or its text, `both` for several, or empty.

    A letter counts where it is the whole answer, stands first with a mark or the choice's text behind it (`B.`, `(b)`,
    `B lung`), or follows `answer`, `option`, `choice` or `is` at the end of a clause; `A nodule` does not name choice
    A. Letter and text must not contradict each other. Of choices that hold each other (`lung`, `left lung`) the longer
    one is meant. Where every choice begins with yes or no, so may the answer.
    """
    texts = [normalise(choice) for choice in choices]
    plain = normalise(text)
    if plain in texts:
        return choices[texts.index(plain)]
    by_letter = {choices[LETTERS.index(letter)] for letter in _letters(text.strip(), texts)}
    by_text = {choices[at] for at in _mentioned(plain, texts)}
    polar = [read_yes_no(choice) for choice in choices]
    if all(polar) and len(set(polar)) == len(polar) and not by_letter:
        said = read_yes_no(text)
        return choices[polar.index(said)] if said in polar else said
    if by_letter and by_text and not by_letter & by_text:
        return "both"
    found = by_letter or by_text
    return "both" if len(found) > 1 else next(iter(found), "")


def is_polar(text: str) -> bool:
    """Whether a text is yes or no and nothing else."""
    plain = normalise(text)
    return plain in ("yes", "no", *_WHOLE) or plain in _HAN_YES or plain in _HAN_NO


def same_words(answer: str, reference: str) -> bool:
    """Exact match after `without_articles`; an answer without a word matches nothing."""
    return bool(without_articles(answer)) and without_articles(answer) == without_articles(reference)


def without_articles(text: str) -> str:
    """`normalise`, less the articles a, an and the before another word (`hepatitis A` keeps its letter)."""
    return re.sub(r"\b(?:an?|the) (?=\S)", "", normalise(text))


def _read(text: str, references: Sequence[str], choices: Sequence[str]) -> str:
    if choices:
        return read_choice(text, choices)
    return read_yes_no(text) if any(map(is_polar, references)) else ""


def _read_han(text: str) -> str:
    clause = normalise(re.split(r"[，。,.;；!！\s]", text, maxsplit=1)[0])
    if _CANNOT_TELL.search(text):
        return ""
    if clause in _HAN_NO or clause.startswith(_HAN_NO_BEGINS):
        return "no"
    return "yes" if clause in _HAN_YES or clause.startswith(_HAN_YES_BEGINS) else ""


def _letters(text: str, texts: Sequence[str]) -> set[str]:
    """Letters of choices that a text names as such."""
    known = f"[{LETTERS[: len(texts)]}]"
    body = text[_OPENING.match(text).end() :]  # type: ignore[union-attr]
    one = rf"\(?({known})\)?"
    if re.fullmatch(rf"(?:both\s+)?{one}(?:\s*(?:,|/|&|\band\b|\bor\b)\s*{one})+\W*", body, re.IGNORECASE):
        return set(re.findall(rf"\b({known})\b", body.upper()))
    first = re.match(rf"({known})(?:\W*$|\s*[).:])", body, re.IGNORECASE)
    if first:
        return {first.group(1).upper()}
    first = re.match(rf"({known})\s+", body)
    if first and normalise(body[first.end() :]) == texts[LETTERS.index(first.group(1))]:
        return {first.group(1)}
    marked = rf"\b(?:answer|option|choice|is)\s*(?:is|would be)?\s*:?\s*\(?({known})\)?(?=\s*(?:$|[^\w\s]))"
    return set(re.findall(marked, text))


def _mentioned(plain: str, texts: Sequence[str]) -> list[int]:
    """Indices of the choices whose texts stand in a text as whole words, those inside longer ones aside."""
    found = []
    for at in sorted(range(len(texts)), key=lambda at: -len(texts[at])):
        edge = "" if _HAN.search(texts[at]) else r"\b"
        pattern = rf"{edge}{re.escape(texts[at])}{edge}"
        if texts[at] and re.search(pattern, plain):
            found.append(at)
            plain = re.sub(pattern, "\0", plain)
    return found
