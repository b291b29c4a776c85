"""Reads the lexicons."""

from __future__ import annotations


def table_of_words(text: str) -> dict[str, list[str]]:
    """Read a lexicon: one concept a line, its forms separated by `|`."""
    words = {}
    for line in text.strip().splitlines():
        key, *forms = (part.strip() for part in line.split("|"))
        words[key] = forms
    return words
