"""The gate: one query or a refusal, and the SQL in what a model said."""

from __future__ import annotations

import pickle
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.text2sql.execution.statement import Refused, extract_sql, parse_query, strip_distinct, translate


def refused(sql: str, dialect: str = "sqlite") -> tuple[str, str]:
    with pytest.raises(Refused) as caught:
        parse_query(sql, dialect)
    return caught.value.kind, caught.value.code


@pytest.mark.parametrize(
    ("sql", "run"),
    [
        ("SELECT 1", "SELECT 1"),
        (" ;; SELECT 1 ; -- done\n;", "SELECT 1"),
        ("-- first\nSELECT /* in */ 'ä', \"größe\" -- last", "SELECT /* in */ 'ä', \"größe\""),
        ("SELECT ';' -- ;", "SELECT ';'"),
        ("SELECT 1 /* never closed", "SELECT 1"),
        ("WITH a AS (SELECT 1) SELECT * FROM a;", "WITH a AS (SELECT 1) SELECT * FROM a"),
        ("VALUES (1), (2)", "VALUES (1), (2)"),
    ],
)
def test_only_what_surrounds_the_query_is_removed(sql: str, run: str) -> None:
    assert parse_query(sql).sql == run


def test_equal_keys_mean_the_same_query() -> None:
    def key(sql: str) -> str:
        return parse_query(sql).key

    assert key("SELECT a FROM t") == key("select  A\nfrom T -- x") == key("/* y */ SELECT a FROM t;")
    # The case of text and of quoted names counts, and so does the kind of quote: SQLite may read "a" as text.
    different = ["SELECT 'a'", "SELECT 'A'", 'SELECT "a"', 'SELECT "A"', "SELECT a", "SELECT [a]", "SELECT x'aa'"]
    assert len({key(sql) for sql in different}) == len(different)
    assert key("SELECT Ö FROM t") != key("SELECT ö FROM t")


@pytest.mark.parametrize(
    ("dialect", "one", "other"),
    [
        ("postgres", "SELECT a FROM t WHERE n = E'Bob'", "SELECT a FROM t WHERE n = E'bob'"),
        ("postgres", "SELECT U&'Bob'", "SELECT U&'bob'"),
        ("postgres", "SELECT a FROM t WHERE n = E'x'", "SELECT a FROM t WHERE n = x"),
        ("postgres", "SELECT B'1'", "SELECT 1"),
        ("sqlite", "SELECT 0x10", "SELECT x'10'"),  # 16, and a byte
        ("mysql", "SELECT a FROM Singer", "SELECT a FROM singer"),
    ],
)
def test_different_literals_and_names_have_different_keys(dialect: str, one: str, other: str) -> None:
    assert parse_query(one, dialect).key != parse_query(other, dialect).key


@pytest.mark.parametrize(
    ("sql", "dialect"),
    [
        ("WITH d AS (DELETE FROM t RETURNING *) SELECT * FROM d", "postgres"),
        ("SELECT * INTO u FROM t", "postgres"),
        ("SELECT * FROM t FOR UPDATE", "postgres"),
        ("SELECT pg_sleep(10)", "postgres"),
        ("SELECT pg_read_file('/etc/passwd')", "postgres"),
        ("COPY t TO '/tmp/x'", "postgres"),
        ("DO $$ BEGIN DELETE FROM t; END $$", "postgres"),
        ("SELECT load_file('/etc/passwd')", "mysql"),
        ("SELECT sleep(10)", "mysql"),
        ("SET GLOBAL x = 1", "mysql"),
        ("SHOW TABLES", "mysql"),
        ("SELECT * FROM read_csv('x.csv')", "duckdb"),
        ("INSTALL httpfs", "duckdb"),
        ("COPY t TO 'x'", "duckdb"),
    ],
)
def test_other_dialects_are_gated_too(sql: str, dialect: str) -> None:
    assert refused(sql, dialect)[0] == "rejected"


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM " + "(SELECT * FROM " * 10000 + "t" + ")" * 10000,
        "SELECT " + "- " * 10000 + "1",
        "SELECT 1 FROM t" + " JOIN t" * 200,
        "SELECT 1 FROM t" + " LEFT JOIN t" * 40 + " ON 1",
        "SELECT " + "(" * 90000,
        "SELECT '" + "x" * 300000 + "'",
    ],
    ids=["subqueries", "minus", "joins", "left joins", "parentheses", "long"],
)
def test_no_text_takes_the_parser_down_or_long(sql: str) -> None:
    """Some of these end the process, or take hours, where sqlglot is let at them."""
    start = time.monotonic()
    refused(sql)
    assert time.monotonic() - start < 5


@settings(max_examples=300, deadline=None)
@given(
    st.text(max_size=60)
    | st.lists(
        st.sampled_from(
            [
                "SELECT",
                "FROM",
                "WHERE",
                "(",
                ")",
                ",",
                ";",
                "'",
                '"',
                "--",
                "/*",
                "*/",
                "t",
                "a",
                "1",
                "*",
                "=",
                "JOIN",
                "ON",
                "WITH",
                "AS",
                "DELETE",
                "CASE",
                "END",
            ]
        ),
        max_size=25,
    ).map(" ".join)
)
def test_any_text_is_a_query_or_refused(text: str) -> None:
    try:
        statement = parse_query(text)
    except Refused as caught:
        refusal: Refused | None = caught
    else:
        refusal = None
        assert statement.sql in text
        assert parse_query(statement.sql).key == statement.key
    assert refusal is None or (refusal.kind in ("invalid", "rejected") and refusal.code)


def test_refusals_pickle() -> None:
    refusal = pickle.loads(pickle.dumps(Refused("rejected", "lock", "no")))
    assert (refusal.kind, refusal.code, str(refusal)) == ("rejected", "lock", "no")


def test_distinct_is_stripped_from_tokens_not_text() -> None:
    sql = "SELECT DISTINCT a, count(DISTINCT b), 'DISTINCT' FROM t WHERE a IS NOT DISTINCT FROM 1 -- DISTINCT\nAND 1"
    assert strip_distinct(parse_query(sql)) == (
        "SELECT  a, count( b), 'DISTINCT' FROM t WHERE a IS NOT DISTINCT FROM 1 -- DISTINCT\nAND 1"
    )


def test_translation() -> None:
    assert translate(parse_query("SELECT 7 / 2", "sqlite"), "duckdb").dialect == "duckdb"
    statement = parse_query("SELECT a FROM t WHERE a ILIKE 'x' LIMIT 3", "postgres")
    assert "LIMIT 3" in translate(statement, "sqlite").sql
    assert translate(statement, "postgres") is statement


@pytest.mark.parametrize(
    ("completion", "sql"),
    [
        ("SELECT 1", "SELECT 1"),
        ("  -- ids\nSELECT 1 ", "-- ids\nSELECT 1"),
        ("DELETE FROM t", "DELETE FROM t"),
        ("```sql\nSELECT 1\n```", "SELECT 1"),
        ("```SQL\nSELECT 1\n``` or ```sql\nSELECT 2\n```", "SELECT 2"),
        ("```sql\nSELECT 1\n```\nprints ```\nx\n```", "SELECT 1"),
        ("```\nSELECT 1\n```", "SELECT 1"),
        ("```python\nprint()\n```", None),
        ("```sql\nSELECT 1", "SELECT 1"),
        ("``` SELECT 1 ```", "SELECT 1"),
        ("```sql SELECT 1 ```", "SELECT 1"),
        ("<think>```sql\nSELECT 1\n```</think><answer>```sql\nSELECT 2\n```</answer>", "SELECT 2"),
        ("<think>SELECT 1</think>\nSELECT 2", "SELECT 2"),
        ("I should use ```sql\nSELECT 1\n```</think>SELECT 2", "SELECT 2"),
        ("<think>```sql\nSELECT 1\n```", None),
        ("<answer>SELECT 1</answer> <answer>SELECT 2", "SELECT 2"),
        ("```sql\nSELECT 1\n``` <answer>no idea</answer>", None),
        ("I do not know.", None),
        ("```sql\n```", None),
        ("", None),
    ],
)
def test_extraction_policy(completion: str, sql: str | None) -> None:
    assert extract_sql(completion) == sql


@given(
    st.text()
    | st.lists(st.sampled_from(["```", "sql\n", "<think>", "</think>", "<answer>", "</answer>", "SELECT 1", "İ"])).map(
        "".join
    )
)
def test_extraction_never_raises(text: str) -> None:
    found = extract_sql(text)
    assert found is None or (found and found in text)


def test_extraction_takes_what_is_no_text_for_no_sql() -> None:
    assert extract_sql(None) is None  # type: ignore[arg-type]
