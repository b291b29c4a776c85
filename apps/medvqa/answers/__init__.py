"""The medical answer scorer: torch-free, a fraction of a millisecond an answer.

`text` makes tokens, `terms` knows the words, `parse` reads what a text says, `compare` and `closed` hold two meanings
against each other, `scorer` puts it together.
"""

from apps.medvqa.answers.extraction import Extracted, extract
from apps.medvqa.answers.scorer import CORRECT, PARTS, AnswerScore, AnswerScorer

__all__ = ["CORRECT", "PARTS", "AnswerScore", "AnswerScorer", "Extracted", "extract"]
