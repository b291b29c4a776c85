"""Which results a query may legally return where its text leaves the choice to the database.

`ORDER BY` with equal keys leaves the order of those rows open; a `LIMIT` that cuts through them leaves open which of
them are returned; a `LIMIT` inside the query does both to whatever is built on it. The database itself is asked: the
query is run again with each row's rank (`RANK() OVER (ORDER BY …)`), so collations and NULL order are its own.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from apps.text2sql.compare import same
from apps.text2sql.database import Database, Execution
from apps.text2sql.statement import Refused, Statement, parse_query
from apps.text2sql.values import Row

if TYPE_CHECKING:
    from sqlglot import exp

_MAX_VARIANTS = 64


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
    from sqlglot import exp

    while isinstance(tree, exp.Subquery) and isinstance(tree.this, exp.Query) and not is_wrapped_with_clauses(tree):
        tree = tree.this
    return tree


def is_wrapped_with_clauses(tree: exp.Subquery) -> bool:
    """Whether a query in parentheses has clauses of its own behind them."""
    return any(tree.args.get(part) is not None for part in ("order", "limit", "offset", "where", "joins"))


def _keys(order: exp.Order) -> list[exp.Ordered]:
    """The sort terms up to the first random one, which leaves the rest without meaning."""
    from sqlglot import exp

    keys = []
    for term in order.expressions:
        if any(_is_random(node) for node in term.find_all(exp.Func)):
            break
        keys.append(term if isinstance(term, exp.Ordered) else exp.Ordered(this=term))
    return keys


def _is_random(node: exp.Expression) -> bool:
    from sqlglot import exp

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
    from sqlglot import exp

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
    from sqlglot import exp

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
    from sqlglot import exp

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
    from sqlglot import exp

    meanings = {item.alias.lower(): item.this for item in query.selects if isinstance(item, exp.Alias)}

    def write_out(node: exp.Expression) -> exp.Expression:
        if isinstance(node, exp.Column) and not node.table and node.name.lower() in meanings:
            return exp.Paren(this=meanings[node.name.lower()].copy())
        return node

    return key.copy().transform(write_out)


@dataclass(frozen=True)
class Variants:
    """Other ways to settle the choices made inside a query.

    Attributes:
        statements: the query with its inner LIMITs settled otherwise.
        complete: these, with the query itself, are all the ways there are.
    """

    statements: list[Statement]
    complete: bool


def inner_choices(database: Database, statement: Statement) -> Variants:
    """The query with each LIMIT inside it settled in every legal way, up to a bound.

    An inner query that stands on its own is replaced by the rows it may return; one that depends on the rows around it
    is given the two extreme tie-breaks.
    """
    from sqlglot import exp

    sites = [
        node
        for node in statement.tree.find_all(exp.Select, exp.SetOperation)
        if node.args.get("limit") is not None and node is not outermost(statement.tree)
    ]
    if not sites:
        return Variants([], complete=True)
    options = [_options(database, statement, site) for site in sites]
    complete = all(known for _, known in options)
    trees: list[exp.Query] = []
    choices = [[None, *found] for found, _ in options]
    combinations = itertools.islice(itertools.product(*choices), 1, _MAX_VARIANTS + 1)
    for combination in combinations:
        trees.append(_replaced(statement.tree, sites, combination))
    total = 1
    for found in choices:
        total *= len(found)
    statements = []
    for tree in trees:
        try:
            statements.append(parse_query(tree.sql(dialect=statement.dialect), statement.dialect))
        except Refused:
            complete = False
    return Variants(statements, complete and total <= _MAX_VARIANTS + 1)


def _replaced(tree: exp.Query, sites: Sequence[exp.Query], combination: Sequence[exp.Query | None]) -> exp.Query:
    """A copy of `tree` with each site replaced where the combination has something for it."""
    path = {id(site): choice for site, choice in zip(sites, combination, strict=True) if choice is not None}
    copied = tree.copy()
    # A copy is walked in the same order as the original.
    pairs = [(new, path[id(old)]) for old, new in zip(tree.walk(), copied.walk(), strict=True) if id(old) in path]
    for new, choice in pairs:
        new.replace(choice.copy())
    return copied


def _options(database: Database, statement: Statement, site: exp.Query) -> tuple[list[exp.Query], bool]:
    alone = _standing_alone(statement, site)
    execution = database.run(alone) if alone is not None else None
    if alone is not None and execution is not None and execution.ok:
        legal = legal_rows(database, alone, execution)
        if legal is not None:
            return _row_choices(execution, legal, statement.dialect)
    return _tie_breaks(site), False


def _standing_alone(statement: Statement, site: exp.Query) -> Statement | None:
    """An inner query as a query of its own, with the WITH clauses it can see."""
    from sqlglot import exp

    query = site.copy()
    clauses = [node.args["with_"] for node in _around(site) if node.args.get("with_") is not None]
    tables = []
    recursive = False
    for clause in clauses:
        recursive = recursive or bool(clause.args.get("recursive"))
        tables += [cte.copy() for cte in clause.expressions if not any(node is cte for node in _around(site))]
    own = query.args.get("with_")
    if own is not None:
        tables += [cte.copy() for cte in own.expressions]
        recursive = recursive or bool(own.args.get("recursive"))
    if tables:
        query.set("with_", exp.With(expressions=tables, recursive=recursive))
    try:
        return parse_query(query.sql(dialect=statement.dialect), statement.dialect)
    except Refused:
        return None


def _around(node: Any) -> Iterator[Any]:
    parent = node.parent
    while parent is not None:
        yield parent
        parent = parent.parent


def _row_choices(execution: Execution, legal: Legal, dialect: str) -> tuple[list[exp.Query], bool]:
    """Every other set of rows an inner query may return, as a query that returns just these."""
    count = len(execution.rows)
    labels = legal.labels(count) or []
    by_rank: dict[int, list[Row]] = {}
    for row, rank in zip(legal.rows, legal.ranks, strict=True):
        by_rank.setdefault(rank, []).append(row)
    wanted = Counter(labels)
    picks = [itertools.combinations(by_rank[rank], wanted[rank]) for rank in sorted(wanted)]
    found: dict[tuple[Row, ...], None] = {}
    complete = True
    for tries, parts in enumerate(itertools.product(*picks)):
        if len(found) >= _MAX_VARIANTS or tries >= 20 * _MAX_VARIANTS:
            complete = False
            break
        found.setdefault(tuple(sorted(itertools.chain(*parts), key=repr)))
    found.pop(tuple(sorted(execution.rows, key=repr)), None)
    queries = []
    for rows in found:
        query = _constant(rows, execution.columns, dialect)
        if query is None:
            complete = False
        else:
            queries.append(query)
    return queries, complete


def _constant(rows: Sequence[Row], columns: Sequence[str], dialect: str) -> exp.Query | None:
    from sqlglot import exp

    lines = []
    for row in rows:
        cells = []
        for value, name in zip(row, columns, strict=True):
            literal = _literal(value)
            if literal is None:
                return None
            cells.append(f"{literal} AS {exp.to_identifier(name, quoted=True).sql(dialect=dialect)}")
        lines.append("SELECT " + ", ".join(cells))
    try:
        return parse_query(" UNION ALL ".join(lines), dialect).tree if lines else None
    except Refused:
        return None


def _literal(value: Any) -> str | None:
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return {"inf": "9e999", "-inf": "-9e999"}.get(repr(value), repr(value))
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return f"x'{value.hex()}'" if isinstance(value, bytes) else None


def _tie_breaks(site: exp.Query) -> list[exp.Query]:
    """The inner query with ties broken by its own columns, once upward and once downward."""
    from sqlglot import exp

    if any(isinstance(item, exp.Star) or item.name == "*" for item in site.selects):
        return []
    variants = []
    for descending in (False, True):
        query = site.copy()
        order = query.args.get("order") or exp.Order(expressions=[])
        for number in range(1, len(site.selects) + 1):
            order.append("expressions", exp.Ordered(this=exp.Literal.number(number), desc=descending))
        query.set("order", order)
        variants.append(query)
    return variants
