"""Words of a caption as COCO's evaluation counts them: Penn Treebank tokens, lower case, without punctuation."""

from __future__ import annotations

import re
from functools import lru_cache

_WORD = re.compile(r"[^\W_]+(?:['-][^\W_]+)*")


@lru_cache(maxsize=1 << 17)
def tokenize(text: str) -> tuple[str, ...]:
    """Tokens of one caption."""
    return tuple(_WORD.findall(text.lower()))
