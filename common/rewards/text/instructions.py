"""Instruction adherence: whether a completion has the form that was asked for, whatever it says.

Each instruction is a reward of range {0, 1} with a reason, never NaN: obeyed or not. `adherence` adds several up,
after the instruction term of Beyond Monolithic Rewards (arXiv 2510.05283; its formula was not at hand). Use it as a
gate or with a small weight: an answer of perfect form can be perfectly wrong.
"""

from __future__ import annotations

import re
import unicodedata
from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import torch

from common.errors import RewardError
from common.rewards import functional
from common.rewards.base import Reward, RewardOutput
from common.rewards.compose import WeightedSum

#: A choice's letter alone, or in front of the choice's text: "B", "(b)", "B. lung", "B: lung".
_LETTER = re.compile(r"\s*\(?([A-Za-z])(?:\)|[.:)]|\s*$)")
#: An opening or closing tag.
_TAG = re.compile(r"</?[A-Za-z][\w-]{0,40}>")
#: Words that only one language uses, and often: enough to tell a sentence, silent about a term.
_FUNCTION_WORDS = {
    "en": "the is are there and with was were this that not does which",
    "de": "der die das und ist ein eine nicht mit sind kein keine wird",
    "fr": "le les une est et dans avec pas des sur il elle cette",
    "es": "el los las una es y en con hay del esta por se",
    "it": "il gli una è e nel con della sono di che non",
    "pt": "o os uma é e em com não do da são há",
}
_WORDS_OF = {language: frozenset(words.split()) for language, words in _FUNCTION_WORDS.items()}
#: The start of the Unicode names of a language's letters, where its script tells it.
_SCRIPTS = {
    "zh": ("CJK",),
    "ja": ("CJK", "HIRAGANA", "KATAKANA"),
    "ko": ("HANGUL",),
    "ru": ("CYRILLIC",),
    "ar": ("ARABIC",),
    "el": ("GREEK",),
    "th": ("THAI",),
}


class Instruction(Reward):
    """One thing that was asked for. Range {0, 1}, higher is better; not obeyed is 0 with a reason; never NaN.

    Args:
        name: the part's name.
        part: takes the text that the instruction is about out of a completion; all of it where not given.
    """

    def __init__(self, name: str, part: Callable[[str], str] | None = None) -> None:
        self.name = name
        self.part = part

    def score(self, **columns: Any) -> RewardOutput:
        """Look at each row; see `Reward.score`."""
        texts = [text if self.part is None else self.part(text) for text in columns["completion"]]
        faults = [self.fault(text, row, columns) for row, text in enumerate(texts)]
        values = torch.tensor([float(not fault) for fault in faults], dtype=torch.float32)
        return RewardOutput(values, info={"reason": faults})

    @abstractmethod
    def fault(self, text: str, row: int, columns: dict[str, Any]) -> str:
        """What is wrong with the text of a row; "" where the instruction is obeyed."""


class StrictTags(Instruction):
    """The completion is the given tags in their order, each once, closed and with text inside, and nothing besides.

    `TemplateFormat` is the lenient form, with a share of the tags and any text around them.

    Args:
        tags: names in their order, such as `("think", "answer")`; none asks for a text without any tag.
        optional: tags of these that may be left out.
        empty: tags of these that may hold nothing.
        name: the part's name.

    Raises:
        RewardError: the same tag twice, or an optional or empty one that is not among the tags.
    """

    def __init__(
        self, tags: Sequence[str], optional: Sequence[str] = (), empty: Sequence[str] = (), name: str = "format"
    ) -> None:
        super().__init__(name)
        if len(set(tags)) < len(tags) or not {*optional, *empty} <= set(tags):
            raise RewardError(f"reward {name!r}: tags {list(tags)} must differ and hold the optional {list(optional)}")
        self.tags = tuple(tags)
        self.optional = frozenset(optional)
        self.empty = frozenset(empty)

    def fault(self, text: str, row: int, columns: dict[str, Any]) -> str:
        """See the class."""
        rest = text.strip()
        if not rest:
            return "the completion is empty"
        for tag in self.tags:
            opening, closing = f"<{tag}>", f"</{tag}>"
            if tag in self.optional and opening not in text and closing not in text:
                continue
            if not rest.startswith(opening):
                return f"{opening} is missing or out of its place"
            inner, closed, rest = rest.removeprefix(opening).partition(closing)
            if not closed:
                return f"{closing} is missing"
            if not inner.strip() and tag not in self.empty:
                return f"nothing stands inside {opening}"
            if found := _TAG.search(inner):
                return f"{found[0]} stands inside {opening}"
            rest = rest.strip()
        if not self.tags:
            found = _TAG.search(rest)
            return f"{found[0]} stands in a text that needs no tags" if found else ""
        return "text stands after the last tag" if rest else ""


class MaxWords(Instruction):
    """The text has at most so many words (characters in scripts without spaces), and at least one.

    Args:
        most: greatest number of words, 1 or more.
        part: see `Instruction`.
        name: the part's name.
    """

    def __init__(self, most: int, part: Callable[[str], str] | None = None, name: str = "max_words") -> None:
        super().__init__(name, part)
        if most < 1:
            raise RewardError(f"reward {name!r}: an answer has 1 word or more, not {most}")
        self.most = most

    def fault(self, text: str, row: int, columns: dict[str, Any]) -> str:
        """See the class."""
        count = len(functional.tokens(text))
        if not count:
            return "no word is given"
        return f"{count} words, at most {self.most} asked for" if count > self.most else ""


class OneAnswer(Instruction):
    """The completion gives one answer: one `<answer>` pair, and neither "or" lists nor "answer:" twice inside it.

    Args:
        tag: name of the answer tag; "" where none is used.
        name: the part's name.
    """

    def __init__(self, tag: str = "answer", name: str = "one_answer") -> None:
        super().__init__(name)
        self.tag = tag

    def fault(self, text: str, row: int, columns: dict[str, Any]) -> str:
        """See the class."""
        answer = text
        if self.tag:
            if (count := text.count(f"<{self.tag}>")) != 1:
                return f"{count} times <{self.tag}>, one is asked for"
            answer = functional.inside(text, self.tag) or ""
        words = functional.tokens(answer)
        if not words:
            return "no answer is given"
        if words.count("answer") > 1:
            return "several answers are announced"
        return "alternatives are given" if {"or", "oder", "ou", "或"} & set(words[1:-1]) else ""


class ChoiceLetter(Instruction):
    """Where choices were given, the answer starts with the letter of one of them: "B", "(b)" or "B. lung".

    Args:
        choices: column of lists of choices; a row with an empty list or None asks for no letter.
        part: takes the answer out of a completion; all of it where not given.
        name: the part's name.
    """

    def __init__(
        self, choices: str = "choices", part: Callable[[str], str] | None = None, name: str = "choice_letter"
    ) -> None:
        super().__init__(name, part)
        self.choices = choices
        self.needs = ("completion", choices)

    def fault(self, text: str, row: int, columns: dict[str, Any]) -> str:
        """See the class."""
        choices = columns[self.choices][row]
        if not choices:
            return ""
        letters = [chr(ord("A") + at) for at in range(len(choices))]
        found = _LETTER.match(text)
        if found is None or found[1].upper() not in letters:
            return f"the answer must start with one of {', '.join(letters)}"
        return ""


class AnswerLanguage(Instruction):
    """The text is not in another language than the row's.

    Only what is plain counts: letters of another script, or function words of another European language where there
    are none of the right one. A term alone ("pneumonia") and a language that is not known here pass. A model for
    language identification would see more.

    Args:
        language: column of language codes ("en", "zh", …); None or "" passes.
        part: takes the answer out of a completion; all of it where not given.
        name: the part's name.
    """

    def __init__(
        self, language: str = "language", part: Callable[[str], str] | None = None, name: str = "language"
    ) -> None:
        super().__init__(name, part)
        self.language = language
        self.needs = ("completion", language)

    def fault(self, text: str, row: int, columns: dict[str, Any]) -> str:
        """See the class."""
        wanted = (columns[self.language][row] or "").lower()[:2]
        if wanted not in _WORDS_OF and wanted not in _SCRIPTS:
            return ""
        letters = [unicodedata.name(char, "") for char in text if char.isalpha()]
        scripts = _SCRIPTS.get(wanted, ("LATIN", "GREEK"))
        own = sum(name.startswith(scripts) for name in letters)
        # Latin terms and abbreviations (CT, T2) belong to every language's medicine.
        foreign = sum(not name.startswith((*scripts, "LATIN", "GREEK")) for name in letters)
        if foreign > own or (wanted in _SCRIPTS and len(letters) > 20 and not own):
            return f"the answer is not written in the script of {wanted!r}"
        if wanted in _SCRIPTS:
            return ""
        words = set(functional.tokens(text))
        counts = {language: len(words & known) for language, known in _WORDS_OF.items()}
        other = max(counts, key=lambda language: counts[language])
        return f"the answer reads as {other!r}, not {wanted!r}" if counts[other] > 1 and not counts[wanted] else ""


def adherence(instructions: Sequence[Instruction], name: str = "instructions") -> WeightedSum:
    """Share of the instructions that are obeyed, each a part of its own. Range [0, 1], higher is better, never NaN.

    Raises:
        RewardError: none are given.
    """
    if not instructions:
        raise RewardError(f"reward {name!r}: no instructions are given")
    return WeightedSum([(one, 1.0 / len(instructions)) for one in instructions], name)
