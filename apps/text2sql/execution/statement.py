"""One query or a refusal: the gate that every model-written SQL text passes before a database sees it.

The gate works on sqlglot's tokens and tree, never on patterns in the text. The database's own guards
(`apps.text2sql.execution.sqlite`) stand behind it and do not rely on it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from threading import get_ident
from typing import Any, Literal

from sqlglot import exp
from sqlglot.dialects.dialect import Dialect
from sqlglot.errors import SqlglotError

from apps.text2sql.execution.extraction import extract_sql
from apps.text2sql.execution.sql_words import (
    CLOCK_CALLS,
    CLOCK_FUNCTIONS,
    CLOCK_NAMES,
    OTHER_STATEMENTS,
    QUERY_STARTS,
    RANDOM_FUNCTIONS,
    REFUSED_FUNCTIONS,
    WRITES,
)

__all__ = ["Refused", "Statement", "extract_sql", "parse_query", "strip_distinct", "translate"]

MAX_CHARACTERS = 200_000
# SQLite's own parser stack is 100 deep. sqlglot's compiled parser recurses on the C stack and would take the
# process down with it, so nesting is counted before it parses.
MAX_DEPTH = 150
# sqlglot's parser needs time exponential in the number of consecutive joins that have no condition.
MAX_BARE_JOINS = 12
HUGE_WIDTH = 10_000_000
_WRITE_TOKENS = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE", "INTO", "CREATE", "DROP", "ALTER", "FOR", "LOCK"})
_FORMAT_WIDTH = re.compile(r"\d{8,}")


@dataclass(frozen=True, eq=False)
class Statement:
    """One read-only query.

    Attributes:
        sql: the text to run: comments and semicolons around the query removed, nothing else changed.
        tree: sqlglot's tree; `VALUES …` is wrapped as `SELECT * FROM (VALUES …)`.
        dialect: sqlglot's name of the dialect it was read in.
        flags: `no_table` (reads no table: a lucky constant), `nondeterministic` (random numbers or the clock),
            `clock` (the clock only), `distinct`, `huge_format` (a printf width no memory should pay for).
        key: the tokens in one spelling; equal keys mean the same query written with other blanks, comments or case.
        quoted: unqualified names in double quotes, which SQLite may read as text.
    """

    sql: str
    tree: exp.Query
    dialect: str = "sqlite"
    flags: frozenset[str] = frozenset()
    key: str = ""
    quoted: frozenset[str] = frozenset()


class Refused(Exception):
    """A text is not one read-only query.

    Attributes:
        kind: `invalid` (no statement, or it does not parse) or `rejected` (a statement that is not allowed).
        code: short machine-readable cause, e.g. `no_statement`, `write_attempt`, `multi_statement`.
    """

    def __init__(self, kind: Literal["invalid", "rejected"], code: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.code = code

    def __reduce__(self) -> tuple[Any, ...]:
        return Refused, (self.kind, self.code, str(self))


def parse_query(sql: str, dialect: str = "sqlite") -> Statement:
    """Parse `sql` as exactly one query.

    Args:
        sql: what a model or a data set wrote.
        dialect: sqlglot's dialect name.

    Raises:
        Refused: it is anything else.
    """
    result = _parse_cached(sql, dialect)
    if isinstance(result, Statement):
        return result
    raise Refused(*result)


@lru_cache(maxsize=4096)
def _parse_cached(sql: str, dialect: str) -> Statement | tuple[Any, str, str]:
    try:
        return _parse(sql, dialect)
    except Refused as refusal:
        return refusal.kind, refusal.code, str(refusal)


@dataclass
class _Part:
    """The tokens between two semicolons, with their kinds and lower-case texts looked up once."""

    tokens: list[Any] = field(default_factory=list)
    kinds: list[str] = field(default_factory=list)
    words: list[str] = field(default_factory=list)


@dataclass
class _Scan:
    """What one pass over the tokens of a text tells."""

    parts: list[_Part] = field(default_factory=list)
    depth: int = 0
    functions: set[str] = field(default_factory=set)


@lru_cache(maxsize=8)
def find_dialect(name: str) -> Any:
    """The dialect of that name, made once; sqlglot makes a new one wherever it is given a name."""
    return Dialect.get_or_raise(name)


def _parse(sql: str, dialect: str) -> Statement:
    scan, tree = _read(sql, dialect)
    refused = scan.functions & REFUSED_FUNCTIONS
    if refused:
        raise Refused("rejected", "refused_function", f"function not allowed: {', '.join(sorted(refused))}")
    part = scan.parts[0]
    return Statement(
        sql=sql[part.tokens[0].start : part.tokens[-1].end + 1],
        tree=tree,
        dialect=dialect,
        flags=_flags(tree, part, scan),
        key=_key(part, sql, dialect),
        quoted=_quoted(part, sql) if '"' in sql else frozenset(),
    )


def fresh_tree(sql: str, dialect: str = "sqlite") -> exp.Query:
    """`parse_query(sql, dialect).tree` for the caller to change: parsed anew, which is faster than a copy.

    Raises:
        Refused: as `parse_query`, but for functions that are not allowed, which no tree runs.
    """
    return _read(sql, dialect)[1]


@lru_cache(maxsize=64)
def _readers(dialect: str, thread: int) -> tuple[Any, Any]:
    """A thread's own tokenizer and parser: they keep state while they read, and take a fifth of the time to make."""
    made = find_dialect(dialect)
    return made.tokenizer(), made.parser()


def _read(sql: str, dialect: str) -> tuple[_Scan, exp.Query]:
    _check_text(sql)
    tokenizer, parser = _readers(dialect, get_ident())
    scan = _scan(_tokenize(tokenizer, sql))
    _check_start(scan, QUERY_STARTS | {"from"} if dialect == "duckdb" else QUERY_STARTS)
    part = scan.parts[0]
    if scan.depth > MAX_DEPTH or _longest_prefix_chain(part) > MAX_DEPTH:
        raise Refused("invalid", "too_deep", f"nested more than {MAX_DEPTH} levels deep")
    if "JOIN" in part.kinds and _bare_joins(part) > MAX_BARE_JOINS:
        raise Refused("rejected", "too_complex", f"more than {MAX_BARE_JOINS} joins without a condition")
    return scan, _tree(parser, part, sql)


def _tree(parser: Any, part: _Part, sql: str) -> exp.Query:
    try:
        trees = parser.parse(part.tokens, sql)
    except (SqlglotError, RecursionError, ValueError, TypeError, AttributeError, KeyError, IndexError) as error:
        if not {"insert", "update", "delete"}.isdisjoint(part.words):
            raise Refused("rejected", "write_attempt", "a write, not a query") from error
        raise Refused("invalid", "syntax_error", _first_line(error)) from error
    tree = trees[0] if len(trees) == 1 else None
    if isinstance(tree, exp.Values):
        tree = exp.select("*").from_(exp.Subquery(this=tree, alias=exp.TableAlias(this=exp.to_identifier("v"))))
    if isinstance(tree, exp.DDL | exp.DML) and not isinstance(tree, exp.Query):
        raise Refused("rejected", "write_attempt", "a write, not a query")
    if not isinstance(tree, exp.Query):
        raise Refused("rejected", "not_a_query", "not a query")
    # sqlglot takes `SM singer UNION SELECT 1` for one, SM a column.
    for node in tree.find_all(exp.SetOperation):
        if not all(isinstance(node.args.get(side), exp.Query | exp.Values) for side in ("this", "expression")):
            raise Refused("invalid", "syntax_error", f"an operand of {node.key.upper()} is no query")
    if not _WRITE_TOKENS.isdisjoint(part.kinds):
        _check_no_write(tree)
    return tree


def _check_text(sql: str) -> None:
    if "\0" in sql:
        raise Refused("invalid", "nul_character", "the text holds a NUL character")
    if len(sql) > MAX_CHARACTERS:
        raise Refused("rejected", "too_long", f"more than {MAX_CHARACTERS} characters")
    try:
        sql.encode("utf-8")
    except UnicodeEncodeError as error:
        raise Refused("invalid", "encoding", "the text is not valid Unicode") from error


def _tokenize(tokenizer: Any, sql: str) -> list[Any]:
    try:
        return list(tokenizer.tokenize(sql))
    except SqlglotError as error:
        # SQLite closes a block comment at the end of the text; sqlglot wants it closed.
        if "/*" in sql:
            try:
                return list(tokenizer.tokenize(sql + "*/"))
            except SqlglotError:
                pass
        raise Refused("invalid", "syntax_error", _first_line(error)) from error


_OPENING = frozenset({"L_PAREN", "L_BRACKET", "L_BRACE", "CASE"})
_CLOSING = frozenset({"R_PAREN", "R_BRACKET", "R_BRACE", "END"})
_PREFIXES = frozenset({"NOT", "DASH", "PLUS", "TILDE"})


def _scan(tokens: list[Any]) -> _Scan:
    scan = _Scan()
    part = _Part()
    depth = 0
    for token in tokens:
        kind = token.token_type._name_  # `name` is a property, looked up a hundred times a query
        if kind == "SEMICOLON":
            if part.tokens:
                scan.parts.append(part)
            part = _Part()
            continue
        if kind in _OPENING:
            depth += 1
            scan.depth = max(scan.depth, depth)
            if kind == "L_PAREN" and part.words:
                scan.functions.add(part.words[-1])
        elif kind in _CLOSING:
            depth -= 1
        part.tokens.append(token)
        part.kinds.append(kind)
        part.words.append(token.text.lower())
    if part.tokens:
        scan.parts.append(part)
    return scan


def _check_start(scan: _Scan, query_starts: frozenset[str]) -> None:
    if not scan.parts:
        raise Refused("invalid", "no_statement", "no statement")
    starts = [_first_word(part) for part in scan.parts]
    known = query_starts | WRITES | OTHER_STATEMENTS
    if len(starts) > 1:
        if any(start in known for start in starts):
            raise Refused("rejected", "multi_statement", f"{len(starts)} statements; one is allowed")
        raise Refused("invalid", "syntax_error", "not SQL")
    start = starts[0]
    if start in WRITES:
        raise Refused("rejected", "write_attempt", f"{start.upper()} is a write, not a query")
    if start in OTHER_STATEMENTS:
        raise Refused("rejected", "not_a_query", f"{start.upper()} is not a query")
    if start not in query_starts:
        raise Refused("invalid", "syntax_error", f"not SQL: it starts with {start[:40]!r}")


def _first_word(part: _Part) -> str:
    for kind, word in zip(part.kinds, part.words, strict=True):
        if kind != "L_PAREN":
            return word.split()[0] if word.strip() else ""
    return "("


def _longest_prefix_chain(part: _Part) -> int:
    longest = run = 0
    for kind in part.kinds:
        run = run + 1 if kind in _PREFIXES else 0
        longest = max(longest, run)
    return longest


def _bare_joins(part: _Part) -> int:
    joins = sum(
        kind == "JOIN" and previous not in ("CROSS", "NATURAL")
        for previous, kind in zip(["", *part.kinds], part.kinds, strict=False)
    )
    return joins - part.kinds.count("ON") - part.kinds.count("USING")


def _check_no_write(tree: exp.Query) -> None:
    if tree.find(exp.DML, exp.DDL, exp.Into, exp.Lock, exp.Command, exp.Drop, exp.Alter) is not None:
        node = tree.find(exp.Insert, exp.Update, exp.Delete, exp.Merge, exp.Into, exp.Create, exp.Drop, exp.Alter)
        if node is not None:
            raise Refused("rejected", "write_attempt", "the query holds a write")
        if tree.find(exp.Lock) is not None:
            raise Refused("rejected", "lock", "the query locks rows")


def _flags(tree: exp.Query, part: _Part, scan: _Scan) -> frozenset[str]:
    flags = set()
    if not _reads_table(tree, part):
        flags.add("no_table")
    if "DISTINCT" in part.kinds:
        flags.add("distinct")
    if scan.functions & RANDOM_FUNCTIONS:
        flags.add("nondeterministic")
    elif _reads_clock(part, scan):
        flags |= {"nondeterministic", "clock"}
    if scan.functions & {"printf", "format"} and any(
        kind in ("STRING", "NUMBER") and any(int(digits[:18]) > HUGE_WIDTH for digits in _FORMAT_WIDTH.findall(word))
        for kind, word in zip(part.kinds, part.words, strict=True)
    ):
        flags.add("huge_format")
    return frozenset(flags)


def _reads_table(tree: exp.Query, part: _Part) -> bool:
    if "WITH" not in part.kinds:
        # Usually the tokens tell: `FROM name`, but not `IS DISTINCT FROM name`.
        for index, kind in enumerate(part.kinds):
            if kind == "FROM" and part.kinds[index + 1 : index + 2] == ["VAR"] and part.kinds[index - 1] != "DISTINCT":
                return True
        return "FROM" in part.kinds and tree.find(exp.Table) is not None
    names = {cte.alias.lower() for cte in tree.find_all(exp.CTE)}
    return any(table.name.lower() not in names for table in tree.find_all(exp.Table))


def _reads_clock(part: _Part, scan: _Scan) -> bool:
    if scan.functions & CLOCK_CALLS or not CLOCK_NAMES.isdisjoint(part.words):
        return True
    if not scan.functions & CLOCK_FUNCTIONS:
        return False
    for index, (kind, word) in enumerate(zip(part.kinds, part.words, strict=True)):
        if kind == "STRING" and word.strip() == "now":
            return True
        # Without a time they mean now: `date()`, `strftime('%Y')`.
        if word in CLOCK_FUNCTIONS and part.kinds[index + 1 : index + 3] == ["L_PAREN", "R_PAREN"]:
            return True
        if word == "strftime" and part.kinds[index + 1 : index + 4] == ["L_PAREN", "STRING", "R_PAREN"]:
            return True
    return False


def _key(part: _Part, sql: str, dialect: str) -> str:
    # A MySQL server tells the tables Singer and singer apart wherever its file system does.
    as_spelt = ("IDENTIFIER", "VAR") if dialect == "mysql" else ("IDENTIFIER",)
    pieces = []
    for token, kind, word in zip(part.tokens, part.kinds, part.words, strict=True):
        spelled = sql[token.start : token.end + 1]
        if kind == "HEX_STRING":  # in SQLite 0x10 is a number and x'10' is bytes
            pieces.append(spelled.lower())
        elif kind in as_spelt or kind.endswith("STRING") or not word.isascii():
            pieces.append(spelled)
        else:
            pieces.append(word)
    return " ".join(pieces)


def _quoted(part: _Part, sql: str) -> frozenset[str]:
    """Unqualified double-quoted names that are no alias given in the text."""
    names: set[str] = set()
    aliases: set[str] = set()
    kinds = ["", *part.kinds, ""]
    for index, token in enumerate(part.tokens):
        before, kind, after = kinds[index : index + 3]
        if before == "ALIAS":
            aliases.add(token.text.lower())
        elif kind == "IDENTIFIER" and sql[token.start] == '"' and "DOT" not in (before, after):
            names.add(token.text)
    return frozenset(name for name in names if name.lower() not in aliases)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def strip_distinct(statement: Statement) -> str:
    """The query without its DISTINCT keywords, as Spider's test-suite evaluation runs it; comments and text stay."""
    tokens = _tokenize(find_dialect(statement.dialect).tokenizer(), statement.sql)
    sql, cut = "", 0
    for index, token in enumerate(tokens):
        # `IS [NOT] DISTINCT FROM` is a comparison.
        is_comparison = index + 1 < len(tokens) and tokens[index + 1].token_type.name == "FROM"
        if token.token_type.name == "DISTINCT" and not is_comparison:
            sql += statement.sql[cut : token.start]
            cut = token.end + 1
    return sql + statement.sql[cut:]


def translate(statement: Statement, dialect: str) -> Statement:
    """The same query in another dialect, by sqlglot.

    Raises:
        Refused: sqlglot cannot write it, or what it writes is not one query.
    """
    if statement.dialect == dialect:
        return statement

    try:
        return parse_query(statement.tree.sql(dialect=dialect), dialect)
    except (SqlglotError, RecursionError, ValueError) as error:
        raise Refused("invalid", "translation", _first_line(error)) from error
