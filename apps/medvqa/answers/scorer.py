"""The medical answer scorer: how right an answer is, why, and what vetoed it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from string import ascii_uppercase

from apps.medvqa.answers.beyond import CERTAINTY, contradictory
from apps.medvqa.answers.closed import (
    asks_yes_or_no,
    head_noun,
    options,
    picked,
    picks_alternative,
    says_several,
    truth_of,
)
from apps.medvqa.answers.compare import CAPS, Comparison, compare, without_given
from apps.medvqa.answers.extraction import extract
from apps.medvqa.answers.injection import without_address
from apps.medvqa.answers.meaning import Atom, Fact, Meaning
from apps.medvqa.answers.numerals import GRADE_WORDS
from apps.medvqa.answers.parse import as_grade, load_parser
from apps.medvqa.answers.quantities import NONE
from apps.medvqa.answers.senses import wanted
from apps.medvqa.answers.text import clean, tokens
from common.errors import RewardError

#: An answer of at least this score counts as right.
CORRECT = 0.8
#: Names in `AnswerScore.parts`, always all of them.
PARTS = ("form", "recall", "precision", "certainty", "language", "consistent")
#: What is left of a right answer in another language than question and reference.
OTHER_LANGUAGE = 0.55
_SIGNS = frozenset(["<", ">", "<=", ">=", "≤", "≥", "%", ":", "/", "-", "+"])
#: Signs that say nothing at either end of a text.
_LOOSE = frozenset([":", "/", "-"])
#: A longer text is no term, in characters.
_TERM = 60
_SENTENCE = re.compile(r"[^.!?;\n。！？]+[.!?;\n。！？]*")


@dataclass(frozen=True)
class AnswerScore:
    """A score and what it is made of.

    Attributes:
        score: in [0, 1].
        answer: the answer as it was extracted.
        reason: why, in a few words.
        veto: the conflict that capped the score (a key of `compare.CAPS`), or "".
        parts: by the names in `PARTS`, each in [0, 1].
    """

    score: float
    answer: str = ""
    reason: str = ""
    veto: str = ""
    parts: Mapping[str, float] = field(default_factory=dict)

    @property
    def correct(self) -> bool:
        """Whether the answer counts as right."""
        return self.score >= CORRECT


class AnswerScorer:
    """Scores answers to medical questions against a reference, by what they mean.

    Polarity, side, place, numbers with their units, grades and the finding itself are compared as such; spelling,
    abbreviations, synonyms, order and phrasing do not matter. Range [0, 1], higher is better; 1 for the reference.

    Args:
        tables: files or folders with further words, in the form of `answers/tables`.
    """

    def __init__(self, tables: Sequence[Path | str] = ()) -> None:
        self.tables = tuple(str(path) for path in tables)
        self._build()

    def _build(self) -> None:
        self.parser = load_parser(self.tables)
        self._meaning = lru_cache(maxsize=16384)(self.parser.parse)

    def __getstate__(self) -> dict[str, object]:
        return {"tables": self.tables}

    def __setstate__(self, state: dict[str, tuple[str, ...]]) -> None:
        self.tables = state["tables"]
        self._build()

    def score(
        self, answer: object, reference: str | Sequence[str], question: str = "", choices: Sequence[str] = ()
    ) -> AnswerScore:
        """Score one answer; of several references the best counts.

        Args:
            answer: a completion: text or trl messages; see `extraction.extract`.
            reference: the right answer, or several.
            question: what was asked.
            choices: options in order, where the question does not list them by letter.

        Raises:
            RewardError: there is no reference.
        """
        references = [reference] if isinstance(reference, str) else list(reference)
        references = [one for one in references if one and one.strip()]
        if not references:
            raise RewardError("an answer cannot be scored against an empty reference")
        found = extract(answer)
        # "Location of the contrast?" is a right answer where the reference reads so.
        if found.text and any(_plain(found.text) == _plain(one) for one in references) and _plain(found.text):
            reason = "the reference's words" if found.weight == 1 else f"the reference's words; {found.form} answer"
            return AnswerScore(found.weight, found.text, reason, "", _parts(form=found.weight))
        text = without_address(found.text)
        text = _without_question(text, question)
        if not _has_content(text):
            reason = "no answer" if not found.text else "nothing but text that addresses the grader, or the question"
            return AnswerScore(0.0, found.text, reason, "", _parts(recall=0.0, form=found.weight))
        scores = [self._one(text, one, question, choices) for one in references]
        best = max(scores, key=lambda one: one.score)
        parts = {**best.parts, "form": found.weight}
        reason = best.reason if found.weight == 1 else f"{best.reason}; {found.form} answer".lstrip("; ")
        return replace(best, score=best.score * found.weight, answer=found.text, reason=reason, parts=parts)

    def _one(self, text: str, reference: str, question: str, choices: Sequence[str]) -> AnswerScore:
        listed = dict(zip(ascii_uppercase, choices, strict=False)) if choices else options(question)
        if listed:
            chosen = self._choice(text, reference, listed)
            if chosen is not None:
                return chosen
        asked = self._meaning(question, frozenset()) if not listed else Meaning()
        context = asked.concepts | wanted(question)
        right = self._meaning(self._completed(reference, question), context)
        said = self._meaning(self._completed(text, question), context | right.concepts)
        if said.refused and not right.refused and not said.said and not said.facts:
            return _worthless(text, "the answer says that it does not know")
        if right.refused and not right.facts:
            score = 1.0 if said.refused else 0.0
            return AnswerScore(score, text, "the reference says that it cannot be told", "", _parts(recall=score))
        if says_several(right, said, asked):
            return _worthless(text, "takes several of the alternatives", "contradiction")
        factor = _language(right, asked, said, question)
        if right.said or (asks_yes_or_no(question) and not picks_alternative(right, asked)):
            closed = self._closed(text, right, said, asked)
            if closed is not None:
                return _scaled(closed, factor)
        return _scaled(self._open(text, reference, right, said, asked, question), factor)

    def _completed(self, text: str, question: str) -> str:
        """A text with the noun that is asked for, where the two are one term: the "lateral" to "Which view?"."""
        noun = head_noun(question)
        if not noun or len(text) > _TERM:
            return text
        found = self.parser.tokens(f"{text.rstrip(' .')} {noun}")
        texts = tuple(token.text for token in found)
        if len(found) < 2 or texts[-1] in texts[:-1]:
            return text
        for at in range(len(found) - 1):
            phrase = self.parser.terms.match(found, texts, at)
            if phrase is not None and at + len(phrase.words) == len(found):
                return f"{text.rstrip(' .')} {noun}"
        return text

    def _choice(self, text: str, reference: str, listed: dict[str, str]) -> AnswerScore | None:
        """An answer to a question with lettered options."""
        right = self._named(reference, listed)
        if len(right) != 1:
            return None
        said = self._named(text, listed)
        if said == right:
            return AnswerScore(1.0, text, "the right option", "", _parts())
        if not said:
            return None
        if len(said) > 1:
            return _worthless(text, "several options", "contradiction")
        return _worthless(text, "another option", "finding")

    def _named(self, text: str, listed: dict[str, str]) -> set[str]:
        letters = picked(text, listed)
        exact = {letter for letter, option in listed.items() if _plain(option) == _plain(text)}
        if exact:
            return exact
        bare = re.sub(r"^\W*(?:option|choice|answer)?\s*\(?[A-Z]\s*[).:,-]?\s*", "", text) if letters else text
        if letters and not _has_content(bare):
            return letters
        said = self._meaning(bare, frozenset())
        scored = {
            letter: self._open(bare, option, self._meaning(option, frozenset()), said, Meaning()).score
            for letter, option in listed.items()
            if option
        }
        best = max(scored.values(), default=0.0)
        named = {letter for letter, value in scored.items() if value >= max(0.5, best - 0.05)}
        return letters | named

    def _closed(self, text: str, right: Meaning, said: Meaning, asked: Meaning) -> AnswerScore | None:
        """A yes/no question; None where the reference is no yes or no to it."""
        truth, _ = truth_of(right, asked)
        if truth is None:
            return None
        value, contradiction = truth_of(said, asked)
        if contradiction or contradictory(said):
            return _worthless(text, "the answer contradicts itself", "contradiction")
        if value is None:
            if said.facts and not right.said:
                return None
            return _worthless(text, "neither yes nor no")
        if value != truth:
            reason = f"{'yes' if value else 'no'} where {'yes' if truth else 'no'} is right"
            return _worthless(text, reason, "polarity")
        certainty = _closed_certainty(right, said, asked)
        rest = without_given(right, asked)
        if not rest.facts:
            return AnswerScore(certainty, text, "yes and no agree", "", _parts(certainty=certainty))
        detail = compare(rest, said, asked)
        share = 0.6 + 0.4 * detail.score / max(detail.certainty, 1e-9)
        score = share * certainty
        conflicts = detail.conflicts - {"finding"}
        if conflicts and said.facts:
            score = min(score, 0.25)
        return AnswerScore(
            score, text, _reason(detail, score), _veto(conflicts) if said.facts else "",
            _parts(recall=share, certainty=certainty, consistent=float(not conflicts)),
        )  # fmt: skip

    def _open(
        self, text: str, reference: str, right: Meaning, said: Meaning, asked: Meaning, question: str = ""
    ) -> AnswerScore:
        graded = bool(GRADE_WORDS & {token.text for token in tokens(question)})
        grade = as_grade(reference, question)
        if not right.facts and grade is None:
            return self._bare(text, reference, right, said)
        if grade is not None and not right.quantities and (graded or not _known(right)):
            right = replace(right, facts=(Fact((), (grade,)),))
        its = as_grade(text, question)
        # "3B" is read as a 3 elsewhere.
        if its is not None and (not said.quantities or its.suffix) and (graded or not _known(said)):
            said = replace(said, facts=(Fact((), (its,)),))
        if len(reference.strip(" .")) == 1 and reference.strip(" .").isalpha():
            letter = self._letter(text, reference)
            if letter is not None:
                return letter
        nought = right.quantities == [NONE] or (said.quantities == [NONE] and not said.atoms)
        if nought and _says_none(right) and _says_none(said):
            return AnswerScore(1.0, text, "none", "", _parts())
        if said.empty or not said.facts:
            return _worthless(text, "the answer says nothing of what is asked")
        found = compare(right, said, asked)
        return AnswerScore(
            found.score, text, _reason(found, found.score), _veto(found.conflicts),
            _parts(found.recall, found.precision, found.certainty, 1.0, float(not found.conflicts)),
        )  # fmt: skip

    def _letter(self, text: str, reference: str) -> AnswerScore | None:
        """A lone letter against a longer name that ends in one: "C" and "hepatitis C"; None where there is none."""
        letters = {token.raw for token in self.parser.tokens(text) if len(token.raw) == 1 and token.is_word}
        if not letters:
            return None
        same = letters == {reference.strip(" .").lower()}
        return AnswerScore(
            0.95 * same, text, "its letter" if same else "another letter", "", _parts(recall=0.95 * same)
        )

    def _bare(self, text: str, reference: str, right: Meaning, said: Meaning) -> AnswerScore:
        """A reference without any content that is known: a bare yes, a letter, a sign, a word like "none"."""
        if right.said or right.denied or right.affirmed:
            its = said.said or ({False} if _says_none(said) else {True} if said.affirmed else set())
            mine = right.said or ({False} if right.denied else {True})
            same = set(its) == set(mine)
            return AnswerScore(
                float(same),
                text,
                "yes and no agree" if same else "yes and no differ",
                "" if same else "polarity",
                _parts(recall=float(same)),
            )
        mine_words = {token.text for token in tokens(clean(reference))}
        its_words = {token.text for token in tokens(clean(text))}
        shared = len(mine_words & its_words)
        score = 2 * shared / (len(mine_words) + len(its_words)) if shared else 0.0
        return AnswerScore(score, text, "words in common", "", _parts(recall=score))


def _says_none(meaning: Meaning) -> bool:
    """Whether a text says that there is none: "none", "0", "neither kidney", "no fractures"."""
    if meaning.denied or meaning.said == {False}:
        return True
    if meaning.quantities:
        return not meaning.atoms and all(one == NONE for one in meaning.quantities)
    return bool(meaning.atoms) and all(not atom.said or atom.word == "absent" for atom in _heads(meaning))


def _heads(meaning: Meaning) -> list[Atom]:
    """The atoms that can be denied; where nothing else is said, all of them."""
    heads = [atom for atom in meaning.atoms if atom.kind not in ("anatomy", "side", "region")]
    return heads or meaning.atoms


def _known(meaning: Meaning) -> bool:
    return any(atom.concept for atom in meaning.atoms)


def _parts(
    recall: float = 1.0, precision: float = 1.0, certainty: float = 1.0, language: float = 1.0,
    consistent: float = 1.0, form: float = 1.0,
) -> dict[str, float]:  # fmt: skip
    return dict(zip(PARTS, (form, recall, precision, certainty, language, consistent), strict=True))


def _worthless(text: str, reason: str, veto: str = "") -> AnswerScore:
    return AnswerScore(0.0, text, reason, veto, _parts(recall=0.0, consistent=float(not veto)))


def _scaled(score: AnswerScore, language: float) -> AnswerScore:
    if language == 1.0:
        return score
    reason = f"{score.reason}; in another language".lstrip("; ")
    return replace(score, score=score.score * language, reason=reason, parts={**score.parts, "language": language})


_ENGLISH = re.compile(r"\b(?:is|are|what|which|where|how|the|does|do|was|this|of)\b", re.IGNORECASE)


def _language(right: Meaning, asked: Meaning, said: Meaning, question: str) -> float:
    """Factor for an answer in another language than the question's and the reference's."""
    known = right.languages | asked.languages
    if said.languages - known:
        return OTHER_LANGUAGE
    # English where another language is spoken; a German "Tumor" is no English one.
    english = bool(known) and not said.languages and bool(said.facts or said.said) and not _ENGLISH.search(question)
    return OTHER_LANGUAGE if english else 1.0


def _closed_certainty(right: Meaning, said: Meaning, asked: Meaning) -> float:
    words = {atom.word for atom in asked.atoms}
    about = [atom.certainty for atom in said.atoms if atom.word in words]
    its = min([said.certainty, *about])
    if said.said and said.certainty == 3 and not about:
        its = 3
    mine = min([right.certainty, *(atom.certainty for atom in right.atoms)])
    return 1.0 if its >= mine else CERTAINTY[its] / CERTAINTY[mine]


def _veto(conflicts: set[str]) -> str:
    return min(conflicts, key=lambda name: (CAPS[name], name)) if conflicts else ""


def _reason(found: Comparison, score: float) -> str:
    if found.reasons:
        return "; ".join(dict.fromkeys(found.reasons))[:200]
    if score >= CORRECT:
        return "agrees"
    if found.recall < 1:
        return "part of the reference is missing" if found.recall else "nothing of the reference"
    return "less certain than the reference" if found.certainty < 1 else "says more than the reference"


@lru_cache(maxsize=8192)
def _plain(text: str) -> str:
    words = [token.text for token in tokens(clean(text)) if token.text[-1].isalnum() or token.text in _SIGNS]
    # By words, not by characters: the minus of -80 HU is part of its number.
    while words and words[0] in _LOOSE:
        del words[0]
    while words and words[-1] in _LOOSE:
        del words[-1]
    return " ".join(words)


def _without_question(text: str, question: str) -> str:
    """The text without the question, where it repeats it, and without questions of its own."""
    if "?" not in text and "？" not in text:
        return "" if question and len(text) > 12 and _plain(text) == _plain(question) else text
    asked = question.strip().rstrip("?？ ").lower()
    lower = text.lower()
    if len(asked) > 6 and lower.startswith(asked):
        text = text[len(asked) :].lstrip("?？ :.-\n")
        if "?" not in text:
            return text
    kept = [sentence for sentence in _SENTENCE.findall(text) if not sentence.rstrip().endswith(("?", "？"))]
    # "Pneumonia?" is a hedged answer, not a question.
    if not kept and len(text.split()) <= 3:
        return f"possible {text.rstrip('?？ ')}"
    return " ".join(kept)


def _has_content(text: str) -> bool:
    plain = clean(text).strip()  # a lone sign is a word by now
    if not any(char.isalnum() for char in plain):
        return False
    return plain.lower().strip(" .") not in ("n/a", "na", "nil", "null", "unknown", "answer", "tbd")
