"""Finding the SQL in what a model said."""

from __future__ import annotations

import re

from apps.text2sql.execution.sql_words import QUERY_STARTS, WRITES

_FENCE_LANGUAGES = ("sql", "sqlite", "sqlite3", "postgresql", "postgres", "mysql", "duckdb")


def extract_sql(completion: str) -> str | None:
    """The SQL a completion answers with, or None where it holds none (`no_sql`). Never raises.

    What stands in `<think>` is no answer. Of the rest, the last `<answer>` counts if there is one; in it, the last
    fence marked as SQL, else the last fence without a language, else the whole text if it starts like SQL. An unclosed
    fence or tag runs to the end.
    """
    if not isinstance(completion, str):
        return None
    lower = completion.lower()
    if "</think>" in lower:
        completion = completion[lower.rindex("</think>") + len("</think>") :]
    elif "<think>" in lower:
        completion = completion[: lower.index("<think>")]
    lower = completion.lower()
    if "<answer>" in lower:
        start = lower.rindex("<answer>") + len("<answer>")
        end = lower.find("</answer>", start)
        completion = completion[start : end if end >= 0 else None]
    marked: str | None = None
    plain: str | None = None
    # With fences at every second cut, the odd pieces are the fenced ones.
    for piece in completion.split("```")[1::2]:
        language, newline, body = piece.partition("\n")
        word, _, rest = language.strip().partition(" ")
        if word.lower() in _FENCE_LANGUAGES:
            marked = f"{rest}\n{body}" if rest else body
        elif not word:
            plain = body if newline else None
        elif _starts_like_sql(piece):
            plain = piece
    found = marked if marked is not None else plain
    if found is None and _starts_like_sql(completion):
        found = completion
    return found.strip() if found is not None and found.strip() else None


def _starts_like_sql(text: str) -> bool:
    text = text.lstrip(" \t\r\n(;")
    while text.startswith(("--", "/*")):
        _, _, text = text.partition("\n" if text.startswith("--") else "*/")
        text = text.lstrip(" \t\r\n(;")
    match = re.match(r"[A-Za-z]+", text)
    word = match.group().lower() if match else ""
    return word in QUERY_STARTS or word in WRITES or word in ("attach", "pragma", "vacuum", "explain", "detach")
