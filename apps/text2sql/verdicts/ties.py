"""Which results a query may legally return where its text leaves the choice to the database.

`ORDER BY` with equal keys leaves the order of those rows open; a `LIMIT` that cuts through them leaves open which of
them are returned. The database itself is asked: the query is run again with each row's rank (`RANK() OVER (ORDER BY
…)`), so collations and NULL order are its own. LIMITs inside the query: see `apps.text2sql.verdicts.inner_ties`.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

from sqlglot import exp

from apps.text2sql.execution.database import Database, Execution
from apps.text2sql.execution.statement import Statement
from apps.text2sql.execution.values import Row
from apps.text2sql.verdicts.compare import same


@dataclass(frozen=True)
class Legal:
    """The rows a query chooses from.

    Attributes:
        rows: every row up to the end of the group of equal keys in which the result ends.
        ranks: for each, one more than the number of rows that come strictly before it; equal keys share a rank.
        offset: rows skipped before the result begins.
    """

    rows: list[Row]
    ranks: list[int]
    offset: int

    def labels(self, count: int) -> list[int] | None:
        """The rank that stands at each place of a result of `count` rows; None where there are not so many rows."""
        ranks = sorted(self.ranks)[self.offset : self.offset + count]
        return ranks if len(ranks) == count else None

    def choice(self, count: int) -> bool:
        """Whether a result of `count` rows leaves out some row of a group it takes another from, at either end."""
        have, used = Counter(self.ranks), Counter(self.labels(count) or ())
        return any(used[rank] < have[rank] for rank in used)


def is_ordered(tree: exp.Query) -> bool:
    """Whether the outermost query has an ORDER BY that orders by something other than a random number."""
    order = outermost(tree).args.get("order")
    return order is not None and bool(_keys(order))


def is_cut(tree: exp.Query) -> bool:
    """Whether the outermost query has a LIMIT, FETCH or OFFSET."""
    query = outermost(tree)
    return any(query.args.get(part) is not None for part in ("limit", "offset"))


def outermost(tree: exp.Query) -> exp.Query:
    """The query inside any parentheses around the whole."""
    while isinstance(tree, exp.Subquery) and isinstance(tree.this, exp.Query) and not is_wrapped_with_clauses(tree):
        tree = tree.this
    return tree


def is_wrapped_with_clauses(tree: exp.Subquery) -> bool:
    """Whether a query in parentheses has clauses of its own behind them."""
    return any(tree.args.get(part) is not None for part in ("order", "limit", "offset", "where", "joins"))


def _keys(order: exp.Order) -> list[exp.Ordered]:
    """The sort terms up to the first random one, which leaves the rest without meaning."""
    keys = []
    for term in order.expressions:
        if any(_is_random(node) for node in term.find_all(exp.Func)):
            break
        keys.append(term if isinstance(term, exp.Ordered) else exp.Ordered(this=term))
    return keys


def _is_random(node: exp.Expression) -> bool:
    return isinstance(node, exp.Rand) or (isinstance(node, exp.Anonymous) and str(node.this).lower() == "randomblob")


def legal_rows(database: Database, statement: Statement, gold: Execution) -> Legal | None:
    """Ask the database for the rows `gold` was chosen from, with their ranks.

    Args:
        database: where the query runs.
        statement: the query, in the database's dialect.
        gold: its own result.

    Returns:
        None where the ranks cannot be had soundly: a sort key that is not in the list of a `SELECT DISTINCT`, an
        offset that is no number, a result above the limits, or a database that does not agree with itself.
    """
    query = outermost(statement.tree)
    offset = _offset(query)
    if offset is None:
        return None
    end = offset + len(gold.rows) if is_cut(statement.tree) else None
    for substitute in (False, True):
        sql = _ranked(query, gold, statement.dialect, end, substitute)
        if sql is None:
            return None
        execution = database.run(_own(sql, statement))
        if execution.ok:
            legal = Legal([row[:-1] for row in execution.rows], [row[-1] for row in execution.rows], offset)
            return legal if _agrees(legal, gold) else None
        if execution.status != "error":
            return None
    return None


def _own(sql: str, statement: Statement) -> Statement:
    """A query written here, which needs no gate."""
    return Statement(sql=sql, tree=statement.tree, dialect=statement.dialect)


def _agrees(legal: Legal, gold: Execution) -> bool:
    labels = legal.labels(len(gold.rows))
    return labels is not None and same(legal.rows, gold.rows, legal.ranks, labels, whole=False)


def _offset(query: exp.Query) -> int | None:
    offset = query.args.get("offset")
    if offset is None:
        return 0
    value = offset.expression if isinstance(offset, exp.Offset) else offset
    sign = 1
    if isinstance(value, exp.Neg):
        value, sign = value.this, -1
    if isinstance(value, exp.Literal) and not value.is_string and str(value.this).isdigit():
        return max(0, sign * int(value.this))
    return None


def _ranked(query: exp.Query, gold: Execution, dialect: str, end: int | None, substitute: bool) -> str | None:
    """`query` without order and limit, each row followed by its rank."""
    if query.args.get("locks") or not isinstance(query, exp.Select | exp.SetOperation):
        return None
    order = query.args.get("order")
    body = query.copy()
    for part in ("order", "limit", "offset"):
        body.set(part, None)
    width = len(gold.columns)
    terms: list[str] = []
    added: list[Any] = []
    for key in _keys(order) if order is not None else []:
        position = _position(key.this, query, gold)
        inner = key.this
        collation = None
        if isinstance(inner, exp.Collate) and position is None:
            collation = inner.expression.copy()
            position = _position(inner.this, query, gold)
        if position is None:
            if not isinstance(query, exp.Select) or query.args.get("distinct") is not None:
                return None
            expression = _without_aliases(inner, query) if substitute else inner.copy()
            added.append(exp.alias_(expression, f"touchstone_k{len(added)}"))
            name = f"touchstone_k{len(added) - 1}"
        else:
            name = f"touchstone_c{position}"
        reference: exp.Expression = exp.column(name)
        if collation is not None:
            reference = exp.Collate(this=reference, expression=collation)
        term = key.copy()
        term.set("this", reference)
        terms.append(term.sql(dialect=dialect))
    if added:
        body = body.select(*added, copy=False)
    columns = [f"touchstone_c{i}" for i in range(width)]
    names = ", ".join([*columns, *(f"touchstone_k{i}" for i in range(len(added)))])
    chosen = ", ".join(columns)
    rank = f"RANK() OVER (ORDER BY {', '.join(terms)})" if terms else "1"
    sql = (
        f"WITH touchstone_q({names}) AS ({body.sql(dialect=dialect)}) "
        f"SELECT {chosen}, touchstone_r FROM "
        f"(SELECT {chosen}, {rank} AS touchstone_r FROM touchstone_q) AS touchstone_t"
    )
    return sql if end is None else f"{sql} WHERE touchstone_r <= {end}"


def _position(key: exp.Expression, query: exp.Query, gold: Execution) -> int | None:
    """Which column of the result a sort term means, by the rules of SQLite: number, alias, equal expression."""
    width = len(gold.columns)
    if isinstance(key, exp.Literal) and not key.is_string and str(key.this).isdigit():
        return int(key.this) - 1 if 1 <= int(key.this) <= width else None
    bare = isinstance(key, exp.Column) and not key.table
    names = [name.lower() for name in gold.columns]
    if isinstance(query, exp.SetOperation):
        return names.index(key.name.lower()) if bare and key.name.lower() in names else None
    selected = query.selects
    has_star = len(selected) != width
    if bare:
        for index, item in enumerate(selected):
            if isinstance(item, exp.Alias) and item.alias.lower() == key.name.lower():
                if not has_star:
                    return index
                return names.index(key.name.lower()) if names.count(key.name.lower()) == 1 else None
    if has_star:
        return None
    for index, item in enumerate(selected):
        if item.unalias() == key:
            return index
    # Under DISTINCT a sort term must be one of the columns, so `name` means `t.name`.
    if query.args.get("distinct") is not None and isinstance(key, exp.Column):
        for index, item in enumerate(selected):
            if isinstance(item.unalias(), exp.Column) and item.unalias().name.lower() == key.name.lower():
                return index
    return None


def _without_aliases(key: exp.Expression, query: exp.Select) -> exp.Expression:
    """`key` with the select list's aliases written out: they are visible in ORDER BY but not in the list itself."""
    meanings = {item.alias.lower(): item.this for item in query.selects if isinstance(item, exp.Alias)}

    def write_out(node: exp.Expression) -> exp.Expression:
        if isinstance(node, exp.Column) and not node.table and node.name.lower() in meanings:
            return exp.Paren(this=meanings[node.name.lower()].copy())
        return node

    return key.copy().transform(write_out)
