"""Strategies that damage what is valid: bytes of files, texts, JSON documents and rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

#: Numbers that break what counts with them, as bytes of both orders.
NUMBERS = [
    number.to_bytes(size, order)
    for size in (1, 2, 4, 8)
    for number in (0, 1, 2 ** (8 * size - 1) - 1, 2 ** (8 * size - 1), 2 ** (8 * size) - 1)
    for order in ("little", "big")
]
#: Texts that broke parsers before.
HOSTILE = [
    "", " ", "\0", "\ufeff", "\u202e", "\u0130", "ß", "ﬁ", "٣", "½", "²", "𝟘", "é", "e\u0301", "日本", "🩻", "\u2028", "\x1b[31m",
    "nan", "inf", "-0", "1e400", "9" * 400, "0x10", "1_000", "../../etc/passwd", "<img src=x onerror=alert(1)>", "%s%n",
    "{0.__class__}", "${x}", "'; --", "`", '"', "\\", "(" * 60, "[" * 60, "a" * 3000, "a " * 1500, "null", "None", "=1+1",
]  # fmt: skip

#: Numbers that are far too large for a size, and values nested as deep as Python's JSON just reads.
SIZES: list[Any] = [
    10**6,
    10**9,
    10**12,
    10**400,
    1e308,
    *(json.loads("[" * deep + "]" * deep) for deep in (300, 900)),
]

edits = st.lists(
    st.tuples(
        st.sampled_from(["set", "number", "insert", "delete", "repeat", "cut", "swap"]),
        st.integers(0, 2**16),
        st.integers(0, 255),
        st.sampled_from(NUMBERS),
    ),
    min_size=0,
    max_size=6,
)


def damaged(data: bytes, changes: Sequence[tuple[str, int, int, bytes]]) -> bytes:
    """Bytes with some of them changed; positions are shares of the length, so that large files are hit all over."""
    for kind, where, value, number in changes:
        at = where * len(data) >> 16
        if kind == "set":
            data = data[:at] + bytes([value]) + data[at + 1 :]
        elif kind == "number":
            data = data[:at] + number + data[at + len(number) :]
        elif kind == "insert":
            data = data[:at] + number * (1 + value % 4) + data[at:]
        elif kind == "delete":
            data = data[:at] + data[at + 1 + value :]
        elif kind == "repeat":
            data = data[:at] + data[at : at + value + 1] * 3 + data[at + value + 1 :]
        elif kind == "swap":
            data = data[:at] + data[at + value :] + data[at : at + value]
        else:
            data = data[:at]
    return data


def files(*valid: bytes) -> st.SearchStrategy[bytes]:
    """Valid files, damaged; and now and then bytes that were never one."""
    # Headers are where the numbers stand, so half of the changes fall into the first 512 bytes.
    early = st.builds(lambda data, changes: damaged(data[:512], changes) + data[512:], st.sampled_from(valid), edits)
    return st.one_of(early, st.builds(damaged, st.sampled_from(valid), edits), st.binary(max_size=300))


def texts(valid: Sequence[str], words: Sequence[str] = (), most: int = 8) -> st.SearchStrategy[str]:
    """Valid texts with pieces taken out, doubled, and words or hostile texts put in; strings of words; any text."""
    pieces = st.sampled_from([*words, *HOSTILE]) | st.text(max_size=12)

    def changed(text: str, changes: list[tuple[int, int, str]]) -> str:
        for where, length, piece in changes:
            at = where * (len(text) + 1) >> 16
            text = text[:at] + piece + text[at + length :]
        return text

    change = st.tuples(st.integers(0, 2**16 - 1), st.integers(0, 12), pieces)
    return st.one_of(
        st.builds(changed, st.sampled_from(list(valid)), st.lists(change, max_size=most)),
        st.lists(pieces, max_size=24).map(" ".join),
        st.text(max_size=200),
    )


scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.integers(),
    st.floats(),
    st.sampled_from(SIZES),
    st.sampled_from(HOSTILE),
    st.text(max_size=20),
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abc") | st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=8,
)
#: Lines that are no JSON, or JSON that no row may be.
BAD_LINES = [
    "", " ", "{", "}", "[]", "null", "NaN", '"text"', '{"a": ', '{"a": 1}{', "[" * 100_000, '{"a":' * 50_000, '{"a": ' + "9" * 5000 + "}",
    '{"a": "\\ud800"}', '{"a": 1e999}', "\ufeff{}", '{"a": 1, "a": 2}', "{'a': 1}", "// {}",
]  # fmt: skip


def rows(valid: Sequence[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Valid rows of which some fields are gone or hold anything."""
    names = sorted({name for row in valid for name in row})

    def changed(row: dict[str, Any], others: dict[str, Any], gone: set[str]) -> dict[str, Any]:
        return {name: value for name, value in {**row, **others}.items() if name not in gone}

    others = st.dictionaries(st.sampled_from(names) | st.text(max_size=4), values, max_size=2)
    return st.builds(changed, st.sampled_from(list(valid)), others, st.sets(st.sampled_from(names), max_size=1))


def jsonl(valid: Sequence[dict[str, Any]]) -> st.SearchStrategy[bytes]:
    """A JSONL file of such rows, with bad lines between them, now and then damaged as a whole."""
    line = st.one_of(rows(valid).map(json.dumps), rows(valid).map(json.dumps), st.sampled_from(BAD_LINES))
    whole = st.lists(line, max_size=4).map(lambda lines: "\n".join(lines).encode())
    return st.one_of(whole, whole, st.builds(damaged, whole, edits))


def documents(valid: Any) -> st.SearchStrategy[bytes]:
    """A JSON document of which one or two places hold anything."""
    places = list(_places(valid))

    def changed(changes: list[tuple[tuple[Any, ...], Any]]) -> bytes:
        made = json.loads(json.dumps(valid))
        for place, value in changes:
            made = _put(made, place, value)
        return json.dumps(made).encode()

    change = st.tuples(st.sampled_from(places), values)
    whole = st.lists(change, max_size=2).map(changed)
    bad = st.sampled_from(BAD_LINES).map(str.encode)
    return st.one_of(whole, whole, whole, st.builds(damaged, whole, edits), bad)


def _places(value: Any, here: tuple[Any, ...] = ()) -> Any:
    yield here
    inner = value.items() if isinstance(value, dict) else enumerate(value[:3]) if isinstance(value, list) else ()
    for name, entry in inner:
        yield from _places(entry, (*here, name))


def _put(made: Any, place: tuple[Any, ...], value: Any) -> Any:
    if not place:
        return value
    name, rest = place[0], place[1:]
    if isinstance(made, dict) or (isinstance(made, list) and isinstance(name, int) and name < len(made)):
        old = made.get(name) if isinstance(made, dict) else made[name]
        made[name] = _put(old, rest, value)
    return made
