"""Closed questions: what yes and no mean to a question, and which option an answer picks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from string import ascii_uppercase

from apps.medvqa.answers.meaning import Atom, Meaning
from apps.medvqa.answers.relations import agreement_of, relation
from apps.medvqa.answers.terms import ROOT

_AUXILIARY = re.compile(
    r"(?:^|[,.;:]\s*)(?:and\s+|so\s+)?(?:is|are|was|were|am|do|does|did|has|have|had|can|could|should|would|will|may|might|isn't|aren't|doesn't|don't)\b"
    r"(?:/are|/is)?\s",
    re.IGNORECASE,
)
_WH = re.compile(
    r"^\W*(?:in\s.*?,\s*)?(?:what|which|where|who|when|why|how|name|describe|list|identify|give|state|tell)\b",
    re.IGNORECASE,
)
_HEAD = re.compile(
    r"^\W*(?:in\s.*?,\s*)?(?:what|which)(?:(?:'s|\s+is|\s+was)\s+(?:the|this)\s+(?:\w+\s+)?(\w+)\W*$|\s+(?:(?:type|kind|sort)\s+of\s+)?(\w+)\b)",
    re.IGNORECASE,
)
_OR = re.compile(r"\bor\b", re.IGNORECASE)
_FIRST_LETTERS = frozenset(ascii_uppercase) - {"I"}
_OPTION = re.compile(r"(?:^|[\s(\[,;])\(?([A-H])\s?[):.]\s*", re.MULTILINE)
_LETTER = re.compile(r"^\W*(?:option|choice|answer)?\s*\(?([A-Za-z])(?:[\s).:,-]|$)", re.IGNORECASE)
_ONLY_LETTER = re.compile(r"^\W*(?:option|choice|answer)?\s*\(?([A-Za-z])\W*$", re.IGNORECASE)


def asks_yes_or_no(question: str) -> bool:
    """Whether a question can be answered by yes or no: it begins with its verb and offers no alternatives."""
    if _WH.match(question) or not _AUXILIARY.search(question):
        return False
    return (
        not _OR.search(question)
        or bool(re.search(r"\bor (?:not|absent|without)\b", question, re.IGNORECASE))
        or _or_list(question)
    )


def head_noun(question: str) -> str:
    """The noun that a question asks for: "view" of "What is the view?" and "Which view is this?"; "" where none is."""
    match = _HEAD.match(question)
    return (match[1] or match[2]).lower() if match else ""


def _or_list(question: str) -> bool:
    """Whether an "or" asks for either: "Is there a fracture or dislocation?"; "Is it left or right?" asks which."""
    return bool(
        re.match(r"^\W*(?:is|are|was|were)\s+there\b|^\W*(?:do|does|did|has|have|can)\b", question, re.IGNORECASE)
    )


def picks_alternative(reference: Meaning, question: Meaning) -> bool:
    """Whether the reference is one of the question's alternatives: "Does it look dark or bright?"."""
    offered = {atom.word for atom in question.atoms if atom.choice}
    named = {atom.word for atom in reference.atoms}
    return bool(offered & named) and not offered <= named


def says_several(reference: Meaning, answer: Meaning, question: Meaning) -> bool:
    """Whether an answer takes several of the question's alternatives where the reference takes one."""
    mine, its = ({atom.word for atom in one.atoms if atom.said} for one in (reference, answer))
    groups: dict[tuple[str, str], list[str]] = {}
    for atom in question.atoms:
        if atom.choice:
            groups.setdefault((atom.kind, atom.axis), []).append(atom.word)
    # The alternatives stand last: "is the cyst simple or complex" may begin with a word that is not known either.
    pairs = [set(words[-2:]) for words in groups.values() if len(set(words)) > 1]
    return any(pair <= its and len(pair & mine) == 1 for pair in pairs)


def options(question: str) -> dict[str, str]:
    """The lettered options in a question: `{"A": "liver", "B": "lung"}`; empty where there are fewer than two."""
    found = list(_OPTION.finditer(question))
    letters = [match.group(1) for match in found]
    if len(found) < 2 or letters[:2] != ["A", "B"]:
        return {}
    ends = [match.start() for match in found[1:]] + [len(question)]
    return {
        match.group(1): question[match.end() : end].strip(" \n\t,;.?)") for match, end in zip(found, ends, strict=True)
    }


def picked(text: str, choices: dict[str, str]) -> set[str]:
    """Letters of the options that a text names: by letter, by text, or both."""
    letters: set[str] = set()
    rest = text
    only = _ONLY_LETTER.match(text)
    leading = _LETTER.match(text)
    if only and only.group(1).upper() in choices:
        return {only.group(1).upper()}
    if (
        leading
        and leading.group(1).upper() in choices
        # "I see a mass" names no option.
        and (leading.group(1) in _FIRST_LETTERS or re.match(r"^\W*\w\s*[).:]", text))
    ):
        letters.add(leading.group(1).upper())
        rest = text[leading.end() :]
    for match in re.finditer(r"\b([A-HJ-Z])\b(?=\s*(?:and|or|,|/|$))", rest):
        if match.group(1) in choices:
            letters.add(match.group(1))
    return letters


def truth_of(meaning: Meaning, question: Meaning) -> tuple[bool | None, bool]:
    """What a text answers to a yes/no question: True, False or None (nothing), and whether it contradicts itself."""
    entailed = entails(meaning, question)
    if len(meaning.said) == 2:
        return None, True
    if meaning.said:
        said = next(iter(meaning.said))
        if said and meaning.denied and all(atom.said for atom in question.atoms):
            # "Yes, but it is not visible."
            return None, True
        return said, entailed is not None and entailed != said and _firm(meaning, question)
    if meaning.denied and entailed is None:
        # "Has it resolved?", "Resolved.": the question's own word denies.
        return any(not atom.said for atom in question.atoms), False
    if meaning.affirmed and entailed is None:
        return True, False
    return entailed, False


def _firm(meaning: Meaning, question: Meaning) -> bool:
    """Whether what follows a yes or no is about the very thing that was asked."""
    asked = {atom.word for atom in question.atoms if atom.kind in ("finding", "quality", "state", "word", "modality")}
    if any(atom.word == ROOT and not atom.said for atom in question.atoms):
        # "Is the bone intact?": a finding is about that.
        return any(atom.kind == "finding" for atom in meaning.atoms)
    axes = {atom.axis for atom in question.atoms if atom.kind == "quality" and atom.axis}
    # "Is it benign?", "yes, but malignant": another value of what was asked.
    return any(atom.word in asked or (atom.kind == "quality" and atom.axis in axes) for atom in meaning.atoms)


def entails(meaning: Meaning, question: Meaning) -> bool | None:
    """Whether the facts of a text make the question's statement true, false, or leave it open."""
    votes: list[bool] = []
    asked = [atom for atom in question.atoms if atom.concept is not None]
    heads = [atom for atom in asked if atom.kind in ("finding", "quality", "state", "modality", "plane", "other")]
    for atom in asked:
        for one in meaning.atoms:
            if one.concept is None:
                continue
            vote = _vote(atom, one, heads)
            if vote is not None:
                votes.append(vote)
    for atom in question.atoms:
        if atom.concept is None:
            votes += [one.said == atom.said for one in meaning.atoms if one.concept is None and one.word == atom.word]
            turned = tuple(f"{prefix}{atom.word}" for prefix in _NOT)
            votes += [one.said != atom.said for one in meaning.atoms if one.word.startswith(turned)]
    if _absent(meaning) != _absent(question) and any(atom.concept for atom in meaning.atoms):
        # "Agenesis of the corpus callosum" where its presence is asked.
        votes.append(False)
    if not votes:
        return None
    return all(votes)


#: Prefixes that deny a word: "irregular" where "regular" is asked.
_NOT = ("ir", "in", "im", "il", "un", "non", "a", "dis")


def _absent(meaning: Meaning) -> bool:
    return any(atom.word == "absent" and atom.said for atom in meaning.atoms)


def _vote(asked: Atom, one: Atom, heads: Sequence[Atom]) -> bool | None:
    mine, its = asked.concept, one.concept
    if mine is None or its is None:
        return None
    value = agreement_of(asked, one)
    if value < 0:
        return False
    head = asked in heads
    if value > 0:
        if head and asked.said and one.said and value <= 0.15:
            return None
        if head:
            return True
        return True if not heads and mine.kind in ("anatomy", "side", "region") else None
    if mine.kind != its.kind or asked.said != one.said or not one.said:
        return None
    if mine.axis and mine.axis == its.axis and mine.kind in ("side", "region", "quality", "plane", "other"):
        return None if {mine.name, its.name} & {"bilateral", "unilateral"} else False
    if mine.kind in ("modality", "plane"):
        return False
    if mine.kind == "anatomy" and not heads and relation(mine, its) == 0:
        return False
    return None
