"""File names and comments from prompts."""

from __future__ import annotations

import hashlib
import re
import unicodedata

_LONGEST = 48


def slug(prompt: str) -> str:
    """A file name for a prompt: its words in ASCII, and eight digits of its hash, so that no two prompts collide.

    At most 57 characters of a–z, 0–9 and hyphens, whatever the prompt; a prompt without such letters is its hash.
    """
    folded = unicodedata.normalize("NFKD", prompt).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", folded).strip("-")[:_LONGEST].strip("-")
    mark = hashlib.sha256(prompt.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{words}-{mark}" if words else mark


def comment(text: str) -> str:
    """A text as a comment of an ASCII header: one line, and no word that would end the header."""
    plain = " ".join(text.split()).encode("ascii", "replace").decode()
    return plain.replace("end_header", "end header")
