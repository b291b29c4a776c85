"""A query in plain words, the text that the encoder compares with the question.

Every word comes from a fixed list, from the schema, or from the values the caller allows; numbers and dates are kept.
What a model can write freely (comments, aliases, quoted names, other string literals) never reaches the encoder.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from functools import lru_cache
from typing import TYPE_CHECKING

from sqlglot import exp

from apps.text2sql.meaning.canonical import analysed, fold
from apps.text2sql.meaning.resolve import SchemaView, schema_view

if TYPE_CHECKING:
    from apps.text2sql.execution.database import Schema

_OPERATORS = {
    "eq": "is", "neq": "is not", "gt": "greater than", "gte": "at least", "lt": "less than", "lte": "at most",
    "and": "and", "or": "or", "like": "contains", "ilike": "contains", "glob": "contains", "in": "in", "is": "is",
    "add": "plus", "sub": "minus", "mul": "times", "div": "divided by", "mod": "modulo", "dpipe": "joined to",
    "nullsafeeq": "is", "nullsafeneq": "is not",
}  # fmt: skip
_FUNCTIONS = {
    "count": "number of", "sum": "total", "avg": "average", "min": "smallest", "max": "largest", "abs": "absolute",
    "round": "rounded", "length": "length", "upper": "upper case", "lower": "lower case", "exists": "exists",
    "not": "not", "neg": "minus", "distinct": "distinct", "cast": "as", "coalesce": "first known", "case": "case",
    "if": "if", "substring": "part of", "trim": "trimmed", "groupconcat": "list of",
}  # fmt: skip
_SET_OPERATIONS = {"union": "or also", "intersect": "and also", "except": "but not"}
_NUMERIC = re.compile(r"[\d.,:/ +-]{1,19}")
_WORDS = re.compile(r"[^\W_]+")
_NUMBERED = re.compile(r"_\d+$")

#: Stands for a string literal whose value the caller did not list.
OTHER_VALUE = "something else"
#: Stands for a name that is not in the schema.
UNNAMED = "unnamed"


def string_values(sql: str, schema: Schema | None = None, dialect: str = "sqlite") -> frozenset[str]:
    """The string literals of a query, folded as `verbalise` compares them.

    Raises:
        Refused: `sql` is no single query that parses.
    """
    return analysed(sql, _view(schema), dialect).strings


def verbalise(
    sql: str, schema: Schema | None = None, dialect: str = "sqlite", values: Collection[str] = frozenset()
) -> str:
    """Put a query into words, such as `show name from singer where age greater than 30`.

    Args:
        sql: one query.
        schema: the database's schema; without one, names made of word characters are taken as they stand.
        dialect: sqlglot's name of the SQL dialect.
        values: string literals that may be spoken (`string_values` of the gold); any other becomes `OTHER_VALUE`, so
            that a question pasted into a literal earns nothing and a wrong value is still seen to be wrong.

    Raises:
        Refused: `sql` is no single query that parses.
    """
    view = _view(schema)
    # Known by the values that it holds itself: the same words serve many golds.
    return _verbalised(sql, view, dialect, analysed(sql, view, dialect).strings.intersection(values))


@lru_cache(maxsize=32768)
def _verbalised(sql: str, view: SchemaView | None, dialect: str, values: frozenset[str]) -> str:
    return verbalise_tree(analysed(sql, view, dialect).tree, view, values)


def verbalise_tree(tree: exp.Expr, view: SchemaView | None, values: frozenset[str]) -> str:
    """`verbalise` for a canonical syntax tree."""
    speaker = _Speaker(view, values)
    speaker.say(tree)
    return " ".join(speaker.words)


def _view(schema: Schema | None) -> SchemaView | None:
    return schema_view(schema) if schema is not None else None


@lru_cache(maxsize=8192)
def _words_of(name: str) -> list[str]:
    return _WORDS.findall(name)


class _Speaker:
    """Walks a syntax tree and collects words; a node it does not know gives the name of its kind and its parts."""

    def __init__(self, view: SchemaView | None, values: frozenset[str]) -> None:
        self.tables = view.columns.keys() if view is not None else None
        self.columns = view.names if view is not None else None
        self.values = values
        self.single_table = False
        self.words: list[str] = []

    def say(self, *parts: exp.Expr | str | None) -> None:
        """Add words as they stand and nodes in words; nothing for None."""
        for part in parts:
            if isinstance(part, str):
                self.words.append(part)
            elif part is not None:
                self._node(part)

    def _node(self, node: exp.Expr) -> None:
        kind = node.key
        method = _METHODS.get(kind)
        if method is not None:
            method(self, node)
        elif kind in _SET_OPERATIONS:
            self.say(node.this, _SET_OPERATIONS[kind], node.args["expression"])
            self._tail(node)
        elif kind in _OPERATORS and "expression" in node.args:
            self._operators(node)
        elif kind != "identifier":
            self.say(_FUNCTIONS.get(kind, kind), *node.iter_expressions())

    def _operators(self, node: exp.Expr) -> None:
        """`a and b and c …` without recursion: a model may write hundreds of conditions."""
        chain: list[tuple[str, exp.Expr]] = []
        while node.key in _OPERATORS and "expression" in node.args:
            chain.append((_operator(node), node.args["expression"]))
            node = node.this
        self.say(node)
        for word, operand in reversed(chain):
            self.say(word, operand)

    def _select(self, node: exp.Expr) -> None:
        arguments = node.args
        self.say(arguments.get("with_") or arguments.get("with"), "show")
        if arguments.get("distinct"):
            self.say("distinct")
        outer, source = self.single_table, arguments.get("from_") or arguments.get("from")
        self.single_table = not arguments.get("joins") and (source is None or source.this.key == "table")
        for number, item in enumerate(node.expressions):
            self.say("with" if number else None, item)
        if source is not None:
            self.say("from", source.this)
        for join in arguments.get("joins") or ():
            self._join(join)
        self._clause(node, "where", "where")
        self._clause(node, "group", "for each")
        self._clause(node, "having", "having")
        self._tail(node)
        self.single_table = outer

    def _clause(self, node: exp.Expr, key: str, word: str) -> None:
        clause = node.args.get(key)
        if clause is not None:
            self.say(word, *clause.iter_expressions())

    def _tail(self, node: exp.Expr) -> None:
        self._clause(node, "order", "sorted by")
        self._clause(node, "limit", "first")
        self._clause(node, "offset", "skipping")

    def _join(self, node: exp.Expr) -> None:
        side = str(node.args.get("side") or "").lower()
        self.say(side if side in ("left", "right", "full") else None, "joined with", node.this)
        if node.args.get("on") is not None:
            self.say("on", node.args["on"])
        for column in node.args.get("using") or ():
            self.say("on")
            self._name(column.name, self.columns)

    def _ordered(self, node: exp.Expr) -> None:
        self.say(node.this, "descending" if node.args.get("desc") else "ascending")

    def _column(self, node: exp.Expr) -> None:
        if node.this.key == "star":
            self.say("everything")
            return
        table = node.args.get("table")
        if table is not None and not self.single_table:
            self._table_name(table.name)
        self._name(node.name, self.columns)

    def _table(self, node: exp.Expr) -> None:
        self._table_name(node.name)

    def _table_name(self, name: str) -> None:
        plain = name if self.tables is None or name.lower() in self.tables else _NUMBERED.sub("", name)
        self._name(plain, self.tables)

    def _name(self, name: str, known: Collection[str] | None) -> None:
        name = name.lower()
        allowed = name in known if known is not None else re.fullmatch(r"\w{1,40}", name) is not None
        self.words.extend(_words_of(name) if allowed else (UNNAMED,))

    def _literal(self, node: exp.Expr) -> None:
        text = fold(node.name)
        if _NUMERIC.fullmatch(text) or not node.args.get("is_string"):
            self.say(text[:19])
        elif text in self.values:
            self.words.extend(_WORDS.findall(text))
        else:
            self.say(OTHER_VALUE)

    def _this(self, node: exp.Expr) -> None:
        self.say(node.this)

    def _bracketed(self, node: exp.Expr) -> None:
        self.say("(", node.this, ")")

    def _in(self, node: exp.Expr) -> None:
        self.say(node.this, "in", *node.expressions, node.args.get("query"))

    def _between(self, node: exp.Expr) -> None:
        self.say(node.this, "between", node.args["low"], "and", node.args["high"])

    def _count(self, node: exp.Expr) -> None:
        self.say("number of", node.this)

    def _star(self, node: exp.Expr) -> None:
        self.say("rows" if node.parent is not None and node.parent.key == "count" else "everything")

    def _null(self, node: exp.Expr) -> None:
        self.say("unknown")

    def _boolean(self, node: exp.Expr) -> None:
        self.say("true" if node.this else "false")

    def _datatype(self, node: exp.Expr) -> None:
        # SQLite takes any words for a type, so its name is never spoken.
        self.say("type")

    def _anonymous(self, node: exp.Expr) -> None:
        self.say("function", *node.expressions)

    def _bytes(self, node: exp.Expr) -> None:
        self.say("bytes")


def _operator(node: exp.Expr) -> str:
    """The word for an operator; LIKE says where the pattern is open."""
    pattern = node.args["expression"]
    if node.key in ("like", "ilike") and pattern.key == "literal":
        if not pattern.name.startswith("%"):
            return "starts with" if pattern.name.endswith("%") else "like"
        return "contains" if pattern.name.endswith("%") else "ends with"
    return _OPERATORS[node.key]


_METHODS: dict[str, Callable[[_Speaker, exp.Expr], None]] = {
    "select": _Speaker._select,
    "ordered": _Speaker._ordered,
    "column": _Speaker._column,
    "table": _Speaker._table,
    "literal": _Speaker._literal,
    "alias": _Speaker._this,
    "subquery": _Speaker._bracketed,
    "paren": _Speaker._bracketed,
    "cte": _Speaker._bracketed,
    "in": _Speaker._in,
    "between": _Speaker._between,
    "count": _Speaker._count,
    "star": _Speaker._star,
    "null": _Speaker._null,
    "boolean": _Speaker._boolean,
    "datatype": _Speaker._datatype,
    "anonymous": _Speaker._anonymous,
    "hexstring": _Speaker._bytes,
}
