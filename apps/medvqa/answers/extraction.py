"""What a completion answers: the text inside the answer tags, after `Answer:`, or all of it, without the reasoning."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

#: Share of its score that an answer keeps, by the form it comes in.
FORMS: Mapping[str, float] = {
    "tagged": 1.0,  # <answer>…</answer>
    "plain": 1.0,  # no tags at all
    "announced": 1.0,  # "Answer: …"
    "unclosed": 0.8,  # <answer>… cut off
    "untagged": 0.7,  # text after the reasoning, without answer tags
    "several": 0.7,  # more than one pair of tags, which must then agree
    "empty": 0.0,
}

_REASONING = "think|thinking|thought|reasoning|analysis|scratchpad|rationale"
_REASONING_TAG = re.compile(rf"<(/?)(?:{_REASONING})>", re.IGNORECASE)
_ANSWER_TAG = re.compile(r"<(/?)(?:final_)?answer>", re.IGNORECASE)
_BOXED = re.compile(r"\\boxed\{([^{}]*)\}")
_ANNOUNCED = re.compile(
    r"(?:^|[\s*_.,;:>#(])(?:(?:so|thus|hence|therefore|finally|in conclusion)[,:]?\s+)?"
    r"(?:(?:the|my)\s+)?(?:final\s+|correct\s+|best\s+)?(?:answer|diagnosis|conclusion|impression)"
    r"(?:\s+(?:to\s+(?:the|this)\s+question|here))?[*_]*\s*(?::|=|\bis\b|\bwould\s+be\b)[*_:]*\s*",
    re.IGNORECASE,
)
_CONCLUDED = re.compile(
    r"\b(?:therefore|thus|hence|in conclusion|in summary|to conclude|overall)\b[,:]?", re.IGNORECASE
)
_SENTENCE = re.compile(r"(?<=[.!?;])\s+(?=\S)|\n+")
#: Words that begin thinking aloud, not an answer.
_ALOUD = re.compile(
    r"^\W*(?:let(?:'s| me| us)|first(?:ly)?\b|step 1|looking at|to answer|okay|ok,|we (?:need|can)|i (?:will|need))",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Extracted:
    """The answer in a completion.

    Attributes:
        text: the answer; "" where there is none.
        form: a key of `FORMS`.
    """

    text: str
    form: str

    @property
    def weight(self) -> float:
        """Share of its score that an answer in this form keeps."""
        return FORMS[self.form]


EMPTY = Extracted("", "empty")


def extract(completion: object) -> Extracted:
    r"""Find the answer.

    In this order: the answer tags (of any case; nested ones count once; text outside them does not count), the text
    after closed reasoning, `\boxed{}`, what follows the last `Answer:`, the conclusion of a text that thinks aloud,
    the whole text. A text that was cut off inside its reasoning has no answer.

    Args:
        completion: a text, or trl's list of messages, of which the last one counts; anything else is empty.
    """
    text = _as_text(completion).strip()
    if not text:
        return EMPTY
    if "<" in text:
        found = _tagged(text)
        if found is not None:
            return found
    return _untagged(text, "plain")


def _as_text(completion: object) -> str:
    if isinstance(completion, str):
        return completion
    if isinstance(completion, Sequence) and not isinstance(completion, bytes) and completion:
        return _as_text(completion[-1])
    if isinstance(completion, Mapping):
        content: Any = completion.get("content", completion.get("text", ""))
        return _as_text(content)
    return ""


def _tagged(text: str) -> Extracted | None:
    """The answer of a completion with tags; None where it has none of ours."""
    body, unfinished, reasoned = _without_reasoning(text)
    first = _ANSWER_TAG.search(body)
    if first is None and unfinished:
        # Reasoning without an end: what stands in it is no answer, but an answer tag inside ends it.
        first = _ANSWER_TAG.search(unfinished)
        if first is None:
            return EMPTY
        body = unfinished
    if first is None:
        return _untagged(body.strip(), "untagged") if reasoned else None
    spans, open_at, depth = [], 0, 0
    for tag in _ANSWER_TAG.finditer(body):
        if not tag.group(1):
            open_at, depth = (open_at if depth else tag.end()), depth + 1
        elif depth:
            depth -= 1
            if not depth:
                spans.append(body[open_at : tag.start()])
    if depth:
        spans.append(body[open_at:])
    texts = list(dict.fromkeys(stripped for span in spans if (stripped := _ANSWER_TAG.sub(" ", span).strip())))
    if not texts:
        return EMPTY
    if len(spans) > 1:
        # Two answers are two answers: the scorer sees both.
        return Extracted(" ; ".join(texts), "several")
    return Extracted(texts[0], "unclosed" if depth else "tagged")


def _without_reasoning(text: str) -> tuple[str, str, bool]:
    """The text outside reasoning, the reasoning that has no end, and whether there was any reasoning."""
    kept: list[str] = []
    at, inside, reasoned = 0, False, False
    for tag in _REASONING_TAG.finditer(text):
        if not tag.group(1):
            if not inside:
                kept.append(text[at : tag.start()])
                at, inside = tag.end(), True
            continue
        if not inside:
            # An end without a beginning: the prompt had opened it.
            kept.clear()
        at, inside, reasoned = tag.end(), False, True
    return "\n".join([*kept, "" if inside else text[at:]]), text[at:] if inside else "", reasoned


def _untagged(text: str, form: str) -> Extracted:
    if not text:
        return EMPTY
    boxed = _BOXED.findall(text)
    if boxed:
        return Extracted(boxed[-1].strip(), "announced" if form == "plain" else form)
    announced = list(_ANNOUNCED.finditer(text))
    if announced:
        rest = text[announced[-1].end() :].strip(" \n*_")
        before = text[: announced[-1].start()].strip()
        # "The diagnosis is not clear" announces nothing; neither does a text that goes on afterwards at length.
        if rest and (form == "untagged" or not before or len(rest) < 200):
            return Extracted(rest, "announced" if form == "plain" else form)
    return Extracted(_conclusion(text), form)


def _conclusion(text: str) -> str:
    """The last sentence of a text that thinks aloud, else the text."""
    if not _ALOUD.match(text):
        concluded = list(_CONCLUDED.finditer(text))
        return text[concluded[-1].end() :].strip() if concluded and text[concluded[-1].end() :].strip() else text
    sentences = [sentence.strip() for sentence in _SENTENCE.split(text) if sentence.strip()]
    last = sentences[-1] if sentences else text
    concluded = list(_CONCLUDED.finditer(last))
    return last[concluded[-1].end() :].strip() if concluded else last
