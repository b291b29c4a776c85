"""Sentences without pictures: how they are cleaned, and what is left out and why."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Literal, NamedTuple

Clean = Literal["none", "sentence", "web"]

#: `Sentence.picture` of a sentence that is known to be written without any picture.
NO_PICTURE = "-"

_STOPS = " .!?,;:-–—…。！？、，"
_SEPARATORS = re.compile(r" [:;.\-–—] ")
_HAS_WORD = re.compile(r"\w")
_FEWEST_WORDS = 6
_LONG, _VERY_LONG = 16, 20
_KEPT_LONG, _KEPT_VERY_LONG = 0.3, 0.1


class Sentence(NamedTuple):
    """A sentence of a corpus.

    Attributes:
        text: the sentence.
        picture: id of the picture that it came with; empty where that is not known, `NO_PICTURE` where there is none.
    """

    text: str
    picture: str = ""


@dataclass
class CleaningReport:
    """What became of the sentences.

    Attributes:
        read: sentences read.
        kept: sentences kept.
        dropped: counts by reason: `empty`, `short` (fewer than six words), `long` (16 tokens or more, drawn out) and
            `duplicate`.
        cut: kept sentences of which only the part before a separator was kept.
    """

    read: int = 0
    kept: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    cut: int = 0

    def counts(self) -> dict[str, int]:
        """Figures for the table and the report."""
        reasons = ("empty", "short", "long", "duplicate")
        return {
            "read": self.read,
            **{reason: self.dropped[reason] for reason in reasons},
            "cut": self.cut,
            "kept": self.kept,
        }


def plain(text: str) -> str:
    """One line of text: NFC, control characters and every kind of blank as single blanks, none at the ends.

    Lone surrogates, which JSON can hold and UTF-8 cannot, become U+FFFD.
    """
    return " ".join(unicodedata.normalize("NFC", text).translate(_blanks()).split())


def same_text(text: str) -> str:
    """What two sentences have in common that differ in case, punctuation and blanks only.

    Symbols stay, and so do marks: `5 $` is not `5 €`. A text of punctuation only is itself.
    """
    bare = " ".join(unicodedata.normalize("NFKC", text).casefold().translate(_punctuation()).split())
    return bare or plain(text)


def sentence(text: str) -> str:
    """The text with a capital first letter and one full stop at its end; empty where it has no letter or digit.

    The stop matters: it is the end token of the published generator, which never learns to stop without it.
    """
    text = plain(text).rstrip(_STOPS)
    first = _HAS_WORD.search(text)
    if first is None:
        return ""
    capital = text[first.start()].upper()
    if len(capital) == 1:  # not for ß
        text = text[: first.start()] + capital + text[first.end() :]
    return text + "."


def clean_sentences(
    sentences: Iterable[Sentence],
    clean: Clean = "sentence",
    dedup: bool = True,
    seed: int = 0,
    report: CleaningReport | None = None,
) -> Iterator[Sentence]:
    """Clean a corpus, sentence by sentence, in its order.

    All, `none` too, make one line of each text (see `plain`) and drop empty ones. `sentence` ends each with a full
    stop, see `sentence`. `web` first does what CgT-GAN (arXiv 2308.12045) does with sentences from the web: drop
    punctuation at the start, keep what stands before the first blank-enclosed colon, semicolon, full stop or dash,
    drop what has five words or fewer, and keep 30 % of those of 16 to 19 tokens and 10 % of longer ones. (Its script
    for SS1M also drops six tokens; its script for GCC drops all of 16 tokens and more: it seeds each draw anew.)

    Args:
        sentences: the corpus.
        clean: how much to do.
        dedup: keep the first only of sentences that differ in case and punctuation alone.
        seed: of the draw of long sentences. A sentence's lot depends on it and on the seed, not on its neighbours.
        report: is filled while the sentences are taken.
    """
    report = CleaningReport() if report is None else report
    seen: set[int] = set()
    for own in sentences:
        report.read += 1
        text, reason, cut = _cleaned(own.text, clean, seed)
        if not reason and dedup:
            # Numbers, not texts: a corpus of millions is deduplicated in little memory.
            key = _number(same_text(text))
            reason = "duplicate" if key in seen else ""
            seen.add(key)
        if reason:
            report.dropped[reason] += 1
            continue
        report.kept += 1
        report.cut += cut
        yield Sentence(text, own.picture)


def clean_corpus(
    sentences: Iterable[str], clean: Clean = "sentence", dedup: bool = True, seed: int = 0
) -> tuple[list[str], CleaningReport]:
    """Clean plain texts, see `clean_sentences`; what is kept, and what was left out and why."""
    report = CleaningReport()
    kept = clean_sentences((Sentence(text) for text in sentences), clean, dedup, seed, report)
    return [own.text for own in kept], report


def _cleaned(text: str, clean: Clean, seed: int) -> tuple[str, str, bool]:
    """The cleaned text, why it is dropped, and whether some of it was cut off."""
    text = plain(text)
    cut = False
    if clean == "web":
        part, *rest = _SEPARATORS.split(_without_first_punctuation(text).rstrip(_STOPS))
        tokens = part.split()
        if part and sum(bool(_HAS_WORD.search(token)) for token in tokens) < _FEWEST_WORDS:
            return "", "short", False
        share = _KEPT_VERY_LONG if len(tokens) >= _VERY_LONG else _KEPT_LONG if len(tokens) >= _LONG else 1.0
        if share < 1 and _number(f"{seed}:{part}") >= share * 2**64:
            return "", "long", False
        cut = bool(rest)
        text = part
    if clean != "none":
        text = sentence(text)
    return text, "" if text else "empty", cut


def _without_first_punctuation(text: str) -> str:
    first, _, rest = text.partition(" ")
    return text if _HAS_WORD.search(first) else rest


def _number(text: str) -> int:
    """64 bits of a text, the same on every machine."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest(), "big")


@cache
def _blanks() -> dict[int, str]:
    """Control characters, every blank and line separator, and what is not seen but splits texts, as a blank."""
    table = {0xFEFF: " ", 0x200B: " "}
    for code in range(0x10000):  # there are none beyond
        category = unicodedata.category(chr(code))
        if category in ("Cc", "Zs", "Zl", "Zp"):
            table[code] = " "
        elif category == "Cs":
            table[code] = "\ufffd"
    return table


@cache
def _punctuation() -> dict[int, str]:
    """Punctuation as a blank, so that the tokenised `dog 's` equals `dog's`."""
    codes = range(0x20000)  # there is none beyond
    return {code: " " for code in codes if unicodedata.category(chr(code)).startswith("P")}
