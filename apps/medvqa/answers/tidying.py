"""Notations of numbers that are put into plain words before a text is cut into tokens."""

from __future__ import annotations

import re
import unicodedata

_VULGAR = {"½": 0.5, "¼": 0.25, "¾": 0.75, "⅓": 1 / 3, "⅔": 2 / 3, "⅛": 0.125, "⅕": 0.2}
_FRACTION = re.compile(r"(?:(\d+)\s?)?([½¼¾⅓⅔⅛⅕])")
#: "20+3 weeks", "20w3d", "20 wks 3 d": weeks and days of a pregnancy.
_GESTATION = re.compile(
    r"\b(\d{1,2})\s*\+\s*(\d)\s*(?:weeks?|wks?|w)\b|\b(\d{1,2})\s*w(?:ee)?ks?\s*(\d)\s*d(?:ays?)?\b", re.I
)
_WEEKS_DAYS = re.compile(r"\b(\d{1,2})\s*w\s*(\d)\s*d\b", re.I)
#: "x400" is 400-fold.
_TIMES = re.compile(r"(?<!\d)(?<!\d )\b[x×]\s?(\d{2,5})\b(?!\s?(?:[x×]|[cm]?m\b))", re.I)
_TNM = re.compile(r"\b[cpy]{0,2}(T[0-4x](?:is)?[a-d]?)\s*,?\s*(N[0-3x][a-c]?)\s*,?\s*(M[01x][a-c]?)\b", re.I)
_POWER = re.compile(
    r"\b(?:(square|sq\.?)|(cubic|cu\.?))\s*(millimet(?:er|re)s?|mm|centimet(?:er|re)s?|cm|met(?:er|re)s?|m)\b", re.I
)
_CARET = re.compile(r"\b(mm|cm|m)\s?\^\s?([23])\b", re.I)
_SHORT = {"milli": "mm", "mm": "mm", "centi": "cm", "cm": "cm"}
#: Letters of other alphabets that look like Latin ones, where they stand inside a Latin word.
_LOOKALIKE = str.maketrans("аеорсухіјѕԁһкмтвАЕОРСУХІЈЅКМТВНο", "aeopcyxijsdhkmtbAEOPCYXIJSKMTBHo")
_MIXED = re.compile(r"(?=\w*[A-Za-z])(?=\w*[\u0370-\u04ff])\w+")
_GREEK = {
    "α": "alpha", "β": "beta", "ß": "beta", "γ": "gamma", "δ": "delta", "ε": "epsilon", "κ": "kappa", "λ": "lambda",
    "σ": "sigma", "ω": "omega",
}  # fmt: skip
_GREEK_ALONE = re.compile(r"(?<![^\W\d_])[αβßγδεκλσω](?![^\W\d_])", re.I)
_HAS_DIGIT = re.compile(r"\d")
_ALONE = {"+": "positive", "(+)": "positive", "+ve": "positive", "-": "negative", "(-)": "negative", "-ve": "negative"}


#: 1.5 × 10^6, 1.5 x 10⁶, 1.5e6; 1.5 million.
_POWER_OF_TEN = re.compile(
    r"\b(?:(\d+(?:\.\d+)?)\s?[x×*·]\s?)?10(?:\s?\^\s?\(?([-+]?\d{1,2})\)?|([⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]{1,2}))|\b(\d+(?:\.\d+)?)e([-+]?\d{1,2})\b",
    re.I,
)
_RAISED = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")
_LARGE = re.compile(r"\b(\d+(?:\.\d+)?)\s?(thousand|million|billion)\b", re.I)
_LARGE_VALUES = {"thousand": 1e3, "million": 1e6, "billion": 1e9}
#: "2 in", "2 in. long": inches, where no place follows.
_INCH = re.compile(
    r"\b(\d+(?:\.\d+)?)\s?(?:in\b\.?(?=\s*(?:$|[,;.x×]|(?:long|wide|thick|across|length|diameter)\b))|\")", re.I
)


def spell_powers(text: str) -> str:
    """A power of ten as a plain number, before compatibility forms would make 10⁶ a hundred and six."""
    return _POWER_OF_TEN.sub(_power_of_ten, text)


def _power_of_ten(match: re.Match[str]) -> str:
    factor, exponent = match[1] or match[4] or "1", (match[2] or match[5] or match[3]).translate(_RAISED)
    return _decimal(float(factor) * 10.0 ** int(exponent))


def _decimal(value: float) -> str:
    return f"{value:.12f}".rstrip("0").rstrip(".") if value < 1 else f"{value:.6f}".rstrip("0").rstrip(".")


def spell_fractions(text: str) -> str:
    """A vulgar fraction as a decimal, "1½" as 1.5, before compatibility forms would make it "11/2"."""
    # A number too long for a float is none of medicine's; the sign behind it is then left as it is.
    return _FRACTION.sub(
        lambda match: match[0] if len(match[1] or "") > 300 else f"{int(match[1] or 0) + _VULGAR[match[2]]:g}", text
    )


def tidy(text: str) -> str:
    """Gestational ages, magnifications, TNM stages and lone signs in plain words."""
    alone = _ALONE.get(text.strip().lower())
    if alone is not None:
        return alone
    if not _HAS_DIGIT.search(text):
        return text
    if "w" in text or "W" in text:
        text = _GESTATION.sub(lambda match: f"{match[1] or match[3]} weeks {match[2] or match[4]} days", text)
        text = _WEEKS_DAYS.sub(r"\1 weeks \2 days", text)
    text = spell_powers(text)
    text = _LARGE.sub(lambda match: _decimal(float(match[1]) * _LARGE_VALUES[match[2].lower()]), text)
    text = _INCH.sub(r"\1 inch", text)
    text = _CARET.sub(r"\1\2", _POWER.sub(_power, text))
    text = _TNM.sub(r"\1 \2 \3", text)
    return _TIMES.sub(r"\1 fold", text)


def _power(match: re.Match[str]) -> str:
    name = match[3].lower()
    short = next((short for start, short in _SHORT.items() if name.startswith(start)), "m")
    return f"{short}{2 if match[1] else 3}"


def latin(text: str) -> str:
    """Latin letters for those that only look so, names for lone Greek letters, and no accents."""
    text = _MIXED.sub(lambda match: match[0].translate(_LOOKALIKE), text)
    text = _GREEK_ALONE.sub(lambda match: f" {_GREEK[match[0].lower()]}", text)
    plain = unicodedata.normalize("NFD", text)
    return unicodedata.normalize("NFC", "".join(char for char in plain if not "\u0300" <= char <= "\u036f"))
