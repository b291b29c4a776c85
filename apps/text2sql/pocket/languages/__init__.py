"""The seven languages of the pocket world."""

from __future__ import annotations

import random

from apps.text2sql.pocket.languages.base import Realiser
from apps.text2sql.pocket.languages.de import German
from apps.text2sql.pocket.languages.en import English
from apps.text2sql.pocket.languages.es import Spanish
from apps.text2sql.pocket.languages.fr import French
from apps.text2sql.pocket.languages.ja import Japanese
from apps.text2sql.pocket.languages.vi import Vietnamese
from apps.text2sql.pocket.languages.zh import Chinese
from apps.text2sql.pocket.meaning import Query
from apps.text2sql.pocket.world import Database

REALISERS: dict[str, type[Realiser]] = {
    realiser.code: realiser for realiser in (English, German, French, Spanish, Japanese, Chinese, Vietnamese)
}


def say(query: Query, database: Database, language: str, rng: random.Random) -> str:
    """The question in a language, in a phrasing that `rng` chooses."""
    return REALISERS[language](query, database, rng).sentence()
