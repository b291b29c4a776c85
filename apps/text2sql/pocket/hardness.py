"""How hard a pocket query is, by the counts of Spider's evaluation script."""

from __future__ import annotations

import re

_NESTED = re.compile(r"\(SELECT [^()]*(?:\([^()]*\)[^()]*)*\)")
_SET = re.compile(r" (?:INTERSECT|EXCEPT|UNION) ")
_AGGREGATE = re.compile(r"\b(?:AVG|SUM|MIN|MAX|COUNT)\(")


def hardness(sql: str) -> str:
    """`easy`, `medium`, `hard` or `extra` (Spider's `eval_hardness`); for the style of `sql.to_sql` only."""
    nested = len(_NESTED.findall(sql)) + len(_SET.findall(sql))
    outer = _NESTED.sub("()", _SET.split(sql)[0])
    clauses = sum(word in outer for word in (" WHERE ", " GROUP BY ", " ORDER BY ", " LIMIT "))
    clauses += outer.count(" JOIN ") + outer.count(" OR ") + outer.count(" LIKE ")
    columns = outer.split(" FROM ")[0]
    conditions = outer.count(" AND ") + outer.count(" OR ") - outer.count(" BETWEEN ")
    others = (len(_AGGREGATE.findall(outer)) > 1) + ("," in columns) + (conditions > 0)
    if clauses <= 1 and others == 0 and nested == 0:
        return "easy"
    if nested == 0 and ((others <= 2 and clauses <= 1) or (clauses <= 2 and others < 2)):
        return "medium"
    if nested == 0 and ((others > 2 and clauses <= 2) or (2 < clauses <= 3 and others <= 2)):
        return "hard"
    if clauses <= 1 and others == 0 and nested <= 1:
        return "hard"
    return "extra"
