"""Which of its senses a phrase has: the one that fits what question and reference are about."""

from __future__ import annotations

import re

from apps.medvqa.answers.terms import ROOT, Concept, Phrase, Sense

#: What a question asks for, beside the concepts it names: it decides between the senses of a word.
FINDINGS, PLACES, NUMBERS, STAGES = "?finding", "?place", "?number", "?stage"
_WANTED = {
    FINDINGS: re.compile(
        r"\b(?:diagnos|disease|disorder|condition|patholog|abnormal|finding|cause|wrong|syndrome)", re.I
    ),
    PLACES: re.compile(
        r"\b(?:organs?|structures?|vessels?|arter(?:y|ies)|veins?|chambers?|valves?|bones?|where|located?|part|region|lobes?)\b",
        re.I,
    ),
    STAGES: re.compile(r"\b(?:stag(?:e|es|ing)|tnm|[a-z]+-?rads)\b", re.I),
    NUMBERS: re.compile(r"\b(?:grades?|stages?|types?|class|category|nerves?|segments?|zones?)\b", re.I),
}


def wanted(question: str) -> frozenset[str]:
    """What a question asks for, as marks for a context."""
    return frozenset(mark for mark, pattern in _WANTED.items() if pattern.search(question))


def _fit(concept: Concept, context: frozenset[str]) -> float:
    """How near a concept is to those of the context: itself 1, less for each step to something more general."""
    near = [steps for name, steps in concept.ancestors.items() if name in context and name != ROOT]
    asked = (FINDINGS in context and concept.kind == "finding") or (PLACES in context and concept.kind == "anatomy")
    related = 1.0 / (1 + min(near)) if near else 0.6 * (f"axis {concept.axis}" in context)
    return related + 0.2 * asked


def sense_of(phrase: Phrase, context: frozenset[str]) -> Sense:
    """The sense that fits the context (names of concepts, and marks of `wanted`), else the likeliest."""
    if len(phrase.senses) == 1 or not context:
        return phrase.senses[0]
    return max(phrase.senses, key=lambda sense: sum(_fit(concept, context) for concept, _ in sense.atoms))
