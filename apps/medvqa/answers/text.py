"""Tokens of an answer: one spelling, one number, no decoration. No torch, no state but caches of pure functions."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from apps.medvqa.answers.tables import TABLES, listed, read_table
from apps.medvqa.answers.tidying import latin, spell_fractions, spell_powers, tidy

#: Longest text that is looked at, in characters: an answer is no book, and time must stay bounded.
LONGEST = 4000

#: Zero-width characters, direction marks, the soft hyphen: invisible, and in nobody's dictionary.
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff\ufe00-\ufe0f]")
_MARKUP = re.compile(r"</?[A-Za-z][A-Za-z0-9]*\s*/?>|[*`#|\\]+|(?<!\w)_+|_+(?!\w)")
_DASHES = str.maketrans(dict.fromkeys("‐‑‒–—―−﹣－", "-") | {"’": "'", "‘": "'", "“": '"', "”": '"', "⁄": "/"})

#: "Can't" reads as "cannot", "couldn't" as "could not".
_CANNOT = re.compile(r"\b(can|could)(?:n't|'t)\b", re.IGNORECASE)
#: French and Italian articles before a vowel: "d'épanchement", "l'aorte".
_ELIDED = re.compile(r"\b(pas d|[dlnsj]|qu|dell|all|un)'(?=[aeiouhyáàâéèêîôûœ])", re.IGNORECASE)
_TOKEN = re.compile(
    r"\d+(?:,\d{3})+(?:\.\d+)?|\d+(?:[.,]\d+)?"  # numbers; a comma may be a decimal one
    r"|(?<![\w)\].%°])(?:-\d+(?:[.,]\d+)?|\.\d+)"  # -40, .55
    r"|[a-zµμ°]+\d+[a-z]?(?![a-z])"  # t2, l4, cd20, t2a
    r"|[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+"  # scripts without spaces come as one run
    r"|[^\W\d_]+(?:'[^\W\d_]+)?"  # words of any other script
    r"|<=|>=|\+/-|[^\w\s]",
    re.IGNORECASE,
)
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
#: Sides as they are marked on films.
_SIDES = {"R": "right", "L": "left"}
_BEHIND_NUMBERS = frozenset({"%", "°", "mm", "cm", "ml", "mg", "kg", "percent"})
#: They say nothing of their own.
ARTICLES = frozenset({"a", "an", "the"})


@dataclass(frozen=True)
class Token:
    """A word, number or sign.

    Attributes:
        text: its normal form: lower case, American, singular.
        raw: as it was written, lower case.
        capital: it was written in capitals, as abbreviations are.
    """

    text: str
    raw: str
    capital: bool = False

    @property
    def is_word(self) -> bool:
        """Whether it is a word rather than a sign or number."""
        return self.text[0].isalpha()

    @property
    def is_number(self) -> bool:
        """Whether it is a number in digits."""
        return self.text[0].isdecimal() or (len(self.text) > 1 and self.text[0] == "-")


def clean(text: str) -> str:
    """One line of plain text: compatibility forms, mark-up, invisible characters and odd dashes made plain."""
    text = _INVISIBLE.sub("", text[:LONGEST])
    if not text.isascii():
        text = latin(unicodedata.normalize("NFKC", spell_fractions(spell_powers(text))).translate(_DASHES))
    if "'" in text:
        text = _CANNOT.sub(lambda match: f"{match[1]} not" if len(match[1]) > 3 else f"{match[1]}not", text)
        text = _ELIDED.sub(lambda match: "pas d " if len(match[1]) == 5 else " ", text)
    if "&" in text:
        text = html.unescape(text)
    return tidy(_MARKUP.sub(" ", text))


def tokens(text: str) -> list[Token]:
    """The tokens of a `clean` text, in order; articles are left out."""
    found: list[Token] = []
    pieces = _TOKEN.findall(text)
    for at, raw in enumerate(pieces):
        lower = raw.lower()
        if raw in _SIDES and not (found and found[-1].is_number):
            lower = _SIDES[raw]
        # "Type A", "hepatitis A, chronic": a letter and no article.
        letter = raw == "A" and not (at + 1 < len(pieces) and pieces[at + 1][0].isalnum())
        if lower in ARTICLES and not letter:
            continue
        capital = raw.isupper() and raw.isascii() and len(raw) > 1
        found.append(Token(normal(lower) if lower[0].isalpha() else _number(lower), lower, capital))
    found = _without_initials(found) if "." in text else found
    if "-" not in text:
        return found
    # A dash joins numbers; between words it is a space.
    last = len(found) - 1
    return [
        token
        for at, token in enumerate(found)
        if token.text != "-" or (0 < at < last and _ends_number(found[at - 1]) and _has_digit(found[at + 1]))
    ]


def _without_initials(found: list[Token]) -> list[Token]:
    """The tokens without the periods of initials: "S. aureus", "E. coli"."""
    last = len(found) - 1
    return [
        token
        for at, token in enumerate(found)
        if token.text != "."
        or not (0 < at < last and len(found[at - 1].raw) == 1 and found[at - 1].is_word and found[at + 1].is_word)
    ]


def _ends_number(token: Token) -> bool:
    """A number, a level like L4, or the sign or unit behind a number."""
    return _has_digit(token) or token.raw in _BEHIND_NUMBERS


def _has_digit(token: Token) -> bool:
    return token.text[-1].isdecimal() or token.text[0].isdecimal()


def _number(text: str) -> str:
    if len(text) == 1:
        return text
    if text[0] == ".":
        return f"0{text}"
    if "," not in text:
        return text
    # 1,000 is a thousand; 3,5 is three and a half.
    return text.replace(",", "") if re.fullmatch(r"\d{1,3}(,\d{3})+(\.\d+)?", text) else text.replace(",", ".")


def is_unspaced(text: str) -> bool:
    """Whether the text has characters of a script written without spaces."""
    return bool(_UNSPACED.search(text))


@lru_cache(maxsize=65536)
def normal(word: str) -> str:
    """A word in lower case as American English writes it, in the singular."""
    if not word.isascii():
        word = word.replace("æ", "ae").replace("œ", "oe")
        if not word.isascii():
            return word
    word = word.removesuffix("'s")
    return singular(american(singular(word)))


@lru_cache(maxsize=1)
def _spelling() -> tuple[dict[str, str], tuple[tuple[str, str], ...]]:
    whole: dict[str, str] = {}
    stems: list[tuple[str, str]] = []
    for row in read_table(TABLES / "spelling.tsv", ("british", "american")):
        if row["british"].endswith("*"):
            stems.append((row["british"].rstrip("*"), row["american"].rstrip("*")))
        else:
            whole[row["british"]] = row["american"]
    return whole, tuple(sorted(stems, key=lambda pair: -len(pair[0])))


@lru_cache(maxsize=1)
def _plurals() -> Mapping[str, str]:
    return {row["plural"]: row["singular"] for row in read_table(TABLES / "plurals.tsv", ("plural", "singular"))}


def american(word: str) -> str:
    """The American spelling of a word, common misspellings put right; unknown words as they are."""
    whole, stems = _spelling()
    if word in whole:
        return whole[word]
    for british, its_american in stems:
        if word.startswith(british):
            return its_american + word[len(british) :]
    # Inside a word too: cholangiohaematoma, hypoxaemia.
    if "haem" in word or "aem" in word:
        word = word.replace("haem", "hem").replace("aemi", "emi")
    return word.replace("oedem", "edem") if "oedem" in word else word


def singular(word: str) -> str:
    """The singular of an English, Latin or Greek plural; other words as they are."""
    irregular = _plurals().get(word)
    if irregular is not None:
        return irregular
    if len(word) < 4 or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies"):
        return word[:-3] + "y" if len(word) > 4 else word
    if word.endswith(("sses", "xes", "ches", "shes", "zes")):
        return word[:-2]
    return word[:-1]


#: Letters from which on one slip, and two, still leave a word recognisable.
SHORTEST_SLIP, TWO_SLIPS = 6, 10
#: Longer words are none of medicine's, and what is left of them without two letters would fill the memory.
LONGEST_SLIP = 50


def shortened(word: str) -> list[str]:
    """The word, and what is left of it without one letter (two from ten letters on); the first letter stays.

    Two words that are `near` have one of these in common, so that an index of them finds the near words (after Garbe's
    symmetric deletion). A word of more than `LONGEST_SLIP` letters is alone.
    """
    if len(word) > LONGEST_SLIP:
        return [word]
    once = [word[:at] + word[at + 1 :] for at in range(1, len(word))]
    found = [word, *once]
    if len(word) >= TWO_SLIPS:
        found += [one[:at] + one[at + 1 :] for first, one in enumerate(once, 1) for at in range(first, len(one))]
    return list(dict.fromkeys(found))


def near(word: str, other: str) -> bool:
    """Whether two different words are one slip of the pen apart (two from ten letters on).

    A slip is a letter left out, doubled, replaced, or swapped with its neighbour. Prefixes that turn a word round
    (hypo- and hyper-, intra- and inter-), short words and words of more than `LONGEST_SLIP` letters are never slips.
    """
    shorter, longer = sorted((word, other), key=len)
    if not SHORTEST_SLIP <= len(shorter) <= LONGEST_SLIP or len(longer) - len(shorter) > 2 or word[0] != other[0]:
        return False
    if _turned(word) != _turned(other):
        return False
    return _distance(word, other) <= (2 if len(shorter) >= TWO_SLIPS else 1)


#: Longest first.
_ENDINGS = listed("""
    ization isation ational ically ation ement ality ional ating ition itive iform atous ative ally eous ated
    ence ious ical ates ular inal ance ing ant ify ion ive ent ate ial ous ory ity oid ary is ed al ic ar er
    um es ly us y a e s
""")


@lru_cache(maxsize=16384)
def stem(word: str) -> str:
    """A word without its ending, for words that no table knows: at least four letters stay."""
    return next((word[: -len(end)] for end in _ENDINGS if word.endswith(end) and len(word) - len(end) >= 4), word)


_TURNING = ("hyper", "hypo", "iso", "intra", "inter", "supra", "infra", "ante", "anti", "ab", "ad", "macro", "micro")


def _turned(word: str) -> str:
    return next((prefix for prefix in _TURNING if word.startswith(prefix)), "")


def _distance(word: str, other: str) -> int:
    """Edits with neighbouring letters swapped as one (optimal string alignment)."""
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(word, 1):
        earlier, before, row = before, row, [i]
        for j, its in enumerate(other, 1):
            cost = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != its))
            if i > 1 and j > 1 and letter == other[j - 2] and word[i - 2] == its:
                cost = min(cost, earlier[j - 2] + 1)
            row.append(cost)
    return row[-1]
