"""Each mutant is one query that runs, reads differently, and comes back the same for the same seed."""

from __future__ import annotations

import sqlite3
from collections import Counter

import pytest

from apps.text2sql.execution.statement import Refused, parse_query
from apps.text2sql.meaning.canonical import canonical, canonical_tree
from apps.text2sql.meaning.mutations import OPERATORS, each_mutant, mutate
from apps.text2sql.meaning.resolve import schema_view
from apps.text2sql.meaning.verbalise import string_values, verbalise, verbalise_tree
from tests.apps.text2sql.test_linking import SCHEMA

GOLDS = [
    "SELECT name FROM singer WHERE age > 30 AND country = 'France' ORDER BY age DESC LIMIT 3",
    "SELECT country, count(*), max(age) FROM singer GROUP BY country HAVING count(*) >= 2",
    "SELECT DISTINCT name FROM singer JOIN concert ON singer.singer_id = concert.singer_id WHERE year BETWEEN 1 AND 9",
    "SELECT name FROM singer WHERE singer_id NOT IN (SELECT singer_id FROM concert) OR name LIKE '%a%'",
    'SELECT name FROM singer EXCEPT SELECT name FROM singer WHERE country = "Spain"',
    "SELECT count(DISTINCT country), avg(age), sum(age), min(age) FROM singer WHERE age IS NOT NULL",
]


def wanted(sql: str, **settings: object) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for mutation in mutate(sql, SCHEMA, **settings):  # type: ignore[arg-type]
        found.setdefault(mutation.operator, set()).add(mutation.sql)
    return found


def test_every_operator_is_used() -> None:
    used = Counter(mutation.operator for gold in GOLDS for mutation in mutate(gold, SCHEMA))
    assert set(used) == set(OPERATORS)


def test_examples() -> None:
    found = wanted("SELECT max(age) FROM singer WHERE country = 'France' ORDER BY age LIMIT 5")
    base = "SELECT MAX(singer.age) FROM singer WHERE singer.country = 'France' ORDER BY singer.age LIMIT 5"
    assert base.replace("=", "<>") in found["comparison"]
    assert base.replace("MAX", "MIN") in found["aggregate"]
    assert base.replace("singer.age LIMIT", "singer.age DESC LIMIT") in found["order"]
    assert {base.replace("5", "6"), base.replace(" LIMIT 5", "")} == found["limit"]
    assert base.replace("SELECT", "SELECT DISTINCT") in found["distinct"]
    assert base.replace(" WHERE singer.country = 'France'", "") in found["condition"]


def test_literals_are_swapped_for_real_values() -> None:
    gold = "SELECT name FROM singer WHERE country = 'France'"
    found = wanted(gold, values={("singer", "country"): ["France", "Japan"]})
    assert found["literal"] == {"SELECT singer.name FROM singer WHERE singer.country = 'Japan'"}


@pytest.mark.parametrize("gold", GOLDS)
def test_mutants_run_and_read_differently(gold: str) -> None:
    connection = sqlite3.connect(":memory:")
    connection.execute("CREATE TABLE singer(singer_id, name, age, country)")
    connection.execute('CREATE TABLE concert(concert_id, singer_id, year, "Stadium Name")')
    own = canonical(gold, SCHEMA)
    values = string_values(gold, SCHEMA)
    mutants = mutate(gold, SCHEMA)
    assert len({mutant.sql for mutant in mutants}) == len(mutants) >= 5
    for mutant in mutants:
        assert mutant.sql != own
        parse_query(mutant.sql)
        connection.execute(mutant.sql).fetchall()
    spoken = {verbalise(mutant.sql, SCHEMA, values=values) for mutant in mutants}
    assert len(spoken) >= len(mutants) - 1, "a change that the encoder cannot see teaches it nothing"
    assert verbalise(gold, SCHEMA, values=values) not in spoken


@pytest.mark.parametrize("gold", GOLDS)
def test_the_working_copy_comes_back_unchanged(gold: str) -> None:
    base = canonical_tree(gold, SCHEMA, "sqlite")
    before = base.sql()
    read = [
        (operator, tree.sql(), verbalise_tree(tree, schema_view(SCHEMA), frozenset()))
        for operator, tree in each_mutant(base, SCHEMA)
    ]
    assert base.sql() == before
    assert before not in [sql for _, sql, _ in read]
    assert {sql for _, sql, _ in read} == {mutation.sql for mutation in mutate(gold, SCHEMA)}


def test_order_and_seed() -> None:
    gold = GOLDS[0]
    assert mutate(gold, SCHEMA, seed=1) == mutate(gold, SCHEMA, seed=1)
    assert mutate(gold, SCHEMA, seed=1) != mutate(gold, SCHEMA, seed=2)
    few = mutate(gold, SCHEMA, limit=6)
    assert len(few) == 6
    assert len({mutation.operator for mutation in few}) == 6, "each operator in turn"


def test_no_query_no_mutants() -> None:
    with pytest.raises(Refused):
        mutate("DELETE FROM singer", SCHEMA)
