"""Text that addresses whoever grades the answer: it is no answer, and is taken out by whole sentences."""

from __future__ import annotations

import re

_VERDICT = re.compile(r"\W*(?:yes|correct|right|true|pass|match|10|1|1\.0|100)\W*", re.IGNORECASE)
_SENTENCE = re.compile(r"[^.!?;\n。！？]+[.!?;\n。！？]*")
_GRADER = r"(?:grader|judge|evaluator|examiner|marker|assessor|reviewer|scorer|reward\s+model)"
_MARK = r"(?:score|scores|mark|marks|reward|credit|points?|grade|rating)"
_MOST = r"(?:full|maximum|max|perfect|highest|top|best|complete|10/10|100\s?%|1\.0|5/5|high)"
_GIVE = r"(?:give|award|assign|grant|return|output|set|provide|deserve[sd]?|rate|score|mark|grade|print)"
_KEY = r"(?:ground\s+truth|reference\s+(?:answer|text|standard)|gold\s+(?:answer|label|standard)|answer\s+key)"
_RIGHT = r"(?:correct|right|true|full|perfect|pass|accepted|accurate)"
_RULES = (
    r"(?:reference|instructions?|prompt|rules?|rubric|above|previous|prior|ground\s+truth|guidelines?|everything|criteria"
    r"|system)"
)
_ANSWER = (
    r"(?:predicted|model|candidate|student|given|generated|this|my|the|above|following)\s*(?:'s\s+)?"
    r"(?:answer|response|prediction|output|completion)"
)
_SAME = r"(?:match|matches|matching|agrees?|equals?|identical|equivalent|same\s+as)"
_PATTERNS = (
    rf"\b(?:ignore|disregard|forget|override|bypass)\b.{{0,60}}\b{_RULES}\b",
    rf"\b{_GIVE}\b.{{0,60}}\b{_MOST}\b.{{0,24}}(?:\b{_MARK}\b|$)",
    rf"\b(?:full|maximum|perfect|highest|max)\s+{_MARK}\b",
    rf"\b{_ANSWER}\b.{{0,40}}\b(?:{_SAME}|{_RIGHT})\b",
    rf"\b{_SAME}\b.{{0,24}}\b(?:{_KEY}|reference|gold|expected\s+answer|correct\s+answer)",
    rf"\b(?:as|dear|attention|hello|hey|note\s+to|message\s+to|to)\s+(?:the\s+)?(?:{_GRADER}|grading|scoring)\b",
    rf"\b(?:the|a|any|every)\s+{_GRADER}\b",
    rf"\b(?:{_GRADER}|grading\s+(?:system|script|model))\s*[:,]",
    rf"\byou\s+are\s+(?:now\s+)?(?:a|an|the)\b.{{0,40}}\b(?:{_GRADER}|assistant|model|ai)\b",
    r"\b(?:mark|grade|score|rate|count|accept|treat|consider|judge|deem)\b.{0,20}\b(?:this|it|me|my|answer)\b"
    rf".{{0,30}}\b(?:{_RIGHT}|10|100|1)\b",
    r"\b(?:score|reward|rating|grade|verdict|marks?)\s*(?:=|:|is|->)\s*(?:\d|full|max|perfect|correct|pass|yes|true|a\b)",
    r"\b(?:system|assistant|user)\s*:\s|<\|?(?:im_start|im_end|system|endoftext)",
    rf"\b{_KEY}\b",
    r"\bplease\s+(?:answer|say|print|output|return|reply|respond|accept|count|mark|give|score|rate)\b",
)
#: Verdicts as a grader would write them, anywhere in an answer.
_QUOTED = re.compile(
    r"\{[^{}]*(?:score|verdict|correct|reward|rating|grade)[^{}]*\}|\[\[[^\[\]]*\]\]|<\|[^|<>]*\|>", re.IGNORECASE
)
#: Sentences that claim a mark, quote a prompt or speak to the grader.
ADDRESS = re.compile("|".join(_PATTERNS), re.IGNORECASE)


def without_address(text: str) -> str:
    """The text without the sentences that address the grader, claim a score or quote a prompt."""
    text = _QUOTED.sub(" ", text).strip()
    if not ADDRESS.search(text):
        return text
    kept, address = [], False
    for sentence in _SENTENCE.findall(text):
        # The "YES" behind "give me full score" is what the grader is to say, not an answer.
        address = bool(ADDRESS.search(sentence)) or (address and bool(_VERDICT.fullmatch(sentence)))
        if not address:
            kept.append(sentence)
    return " ".join(kept).strip()
