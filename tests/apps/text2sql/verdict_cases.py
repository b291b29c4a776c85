"""Pairs of queries and the verdict each convention must give; used by test_verdict.py.

`SECTION_8` follows the numbered behaviour table of the text-to-SQL reference, `OWN` holds further cases of ours.
"""

# ruff: noqa: E501 (a table: one case a line)
from __future__ import annotations

from dataclasses import dataclass

SCRIPT = """
CREATE TABLE person(id INTEGER PRIMARY KEY, name TEXT, team INT, pay REAL, born TEXT, note TEXT);
INSERT INTO person VALUES
 (1,'Ada',1,300.0,'1990-01-01','a'), (2,'Ben',1,500.0,'1985-05-05',NULL), (3,'Cleo',2,500.0,'1992-02-02','0'),
 (4,'Dan',2,NULL,'1970-07-07',''), (5,'Ben',3,120.5,'2001-03-03','x'), (6,'Eve',3,300.0,'1999-09-09','b');
CREATE TABLE team(id INTEGER PRIMARY KEY, title TEXT, head INT);
INSERT INTO team VALUES (1,'Red',1),(2,'Blue',3),(3,'Blue',NULL),(4,'Grey',NULL);
CREATE TABLE "straße"("größe cm" INT, "value" REAL);
INSERT INTO "straße" VALUES (1,1.5),(2,2.5);
CREATE TABLE void(x INT, y TEXT);
CREATE TABLE word(w TEXT COLLATE NOCASE, n INT);
INSERT INTO word VALUES ('Bob',1),('bob',2),('ann',3),('Zoe',4);
CREATE TABLE raw(t TEXT);
INSERT INTO raw VALUES (CAST(x'ff41' AS TEXT)), ('plain');
CREATE TABLE big(x INT);
INSERT INTO big WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c WHERE x<2000) SELECT x FROM c;
CREATE VIEW rich AS SELECT * FROM person WHERE pay > 200;
"""

PRESETS = ("strict", "bird", "spider_testsuite", "spider2", "defog")
RIGHT, EMPTY, WRONG, TIE = "correct", "correct_empty", "wrong", "ambiguous"


@dataclass(frozen=True)
class Case:
    """`expected` holds one verdict for all presets, or one for each in the order of PRESETS ("-": not asked)."""

    name: str
    gold: str
    pred: str
    expected: str

    def by_preset(self) -> dict[str, str]:
        words = self.expected.split()
        if len(words) == 1:
            return dict.fromkeys(PRESETS, words[0])
        named = {"y": RIGHT, "n": WRONG, "e": EMPTY, "a": TIE}
        return {preset: named[word] for preset, word in zip(PRESETS, words, strict=True) if word != "-"}


FOREVER = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c) SELECT count(*) FROM c"

# Number and letters as in the table; `y n e a` are correct, wrong, correct_empty, ambiguous per preset.
SECTION_8 = [
    Case("1 order reversed", "SELECT name FROM person WHERE id < 4 ORDER BY id", "SELECT name FROM person WHERE id < 4 ORDER BY id DESC", "n y n n y"),
    Case("2 pred ordered", "SELECT name FROM person", "SELECT name FROM person ORDER BY born", "correct"),
    Case("3 order in subquery", "SELECT id FROM (SELECT id FROM person ORDER BY born)", "SELECT id FROM person ORDER BY id DESC", "y y n - y"),
    Case("4 tie, other row", "SELECT name FROM person ORDER BY pay DESC LIMIT 1", "SELECT name FROM person ORDER BY pay DESC, id DESC LIMIT 1", "a n n n n"),
    Case("4 tie, own row", "SELECT name FROM person ORDER BY pay DESC LIMIT 1", "SELECT 'Ben'", "correct"),
    Case("4 tie, impossible row", "SELECT name FROM person ORDER BY pay DESC LIMIT 1", "SELECT 'Ada'", "wrong"),
    Case("5 rows permuted within a tie", "SELECT id FROM person WHERE pay >= 300 ORDER BY pay", "SELECT id FROM person WHERE pay >= 300 ORDER BY pay, id DESC", "y y n n y"),
    Case("6 distinct drops a duplicate", "SELECT name FROM person", "SELECT DISTINCT name FROM person", "n y y n y"),
    Case("7 join fan-out", "SELECT title FROM team WHERE id < 3", "SELECT t.title FROM team t JOIN person p ON p.team = t.id WHERE t.id < 3", "n y n n y"),
    Case("8 count distinct", "SELECT COUNT(DISTINCT name) FROM person", "SELECT COUNT(name) FROM person", "n n y n n"),
    Case("9 columns swapped", "SELECT id, name FROM person", "SELECT name, id FROM person", "y n y y y"),
    Case("10 extra columns", "SELECT id, name FROM person", "SELECT * FROM person", "n n n y y"),
    Case("11 missing column", "SELECT id, name FROM person", "SELECT name FROM person", "wrong"),
    Case("12 associations swapped", "SELECT id, name FROM person WHERE id < 3", "SELECT 1, 'Ben' UNION ALL SELECT 2, 'Ada'", "n n n y n"),
    Case("13 float noise", "SELECT 0.3", "SELECT 0.1 + 0.2", "y n n y y"),
    Case("14 float 0.009 apart", "SELECT 0.300", "SELECT 0.309", "n n n y n"),
    Case("15 rounded", "SELECT 2.0 / 3", "SELECT ROUND(2.0 / 3, 2)", "n n n y n"),
    Case("16 int and float", "SELECT 1", "SELECT 1.0", "correct"),
    Case("16 boolean", "SELECT TRUE", "SELECT 1", "correct"),
    Case("17 number and text", "SELECT 1", "SELECT '1'", "wrong"),
    Case("18 big int, float", "SELECT 9007199254740993", "SELECT 9007199254740992.0", "y n n y y"),
    Case("18 big ints", "SELECT 9007199254740993", "SELECT 9007199254740992", "n n n y n"),
    Case("19 NULL and 0", "SELECT NULL", "SELECT 0", "n n n y n"),
    Case("20 NULL and empty text", "SELECT NULL", "SELECT ''", "wrong"),
    Case("20 NULL is NULL", "SELECT id, pay FROM person", "SELECT p.id, p.pay FROM person p", "correct"),
    Case("21 NULLs first and last", "SELECT pay FROM person WHERE id IN (1, 4) ORDER BY pay NULLS FIRST", "SELECT pay FROM person WHERE id IN (1, 4) ORDER BY pay NULLS LAST", "n y n n y"),
    Case("22 both empty", "SELECT id FROM person WHERE id > 90", "SELECT id FROM person WHERE id > 91", "correct_empty"),
    Case("23 both empty, other width", "SELECT id FROM person WHERE id > 90", "SELECT id, name FROM person WHERE id > 91", "n e e e -"),
    Case("24 empty text", "SELECT x FROM void", "", "invalid"),
    Case("24 semicolon", "SELECT x FROM void", " ; ", "invalid"),
    Case("24 comment", "SELECT x FROM void", "-- SELECT x FROM void", "invalid"),
    Case("25 gold fails", "SELECT nope FROM person", "SELECT id FROM person", "gold_error"),
    Case("26 pred fails", "SELECT id FROM person", "SELECT nope FROM person", "pred_error"),
    Case("26 both fail", "SELECT nope FROM person", "SELECT nope FROM person", "gold_error"),
    Case("27 delete", "SELECT id FROM person", "DELETE FROM person", "rejected"),
    Case("28 drop", "SELECT id FROM person", "DROP TABLE person", "rejected"),
    Case("29 insert returning", "SELECT 9", "INSERT INTO void(x) VALUES (9) RETURNING x", "rejected"),
    Case("30 delete behind with", "SELECT x FROM void", "WITH c AS (SELECT 1) DELETE FROM person", "rejected"),
    Case("30 select behind with", "SELECT id FROM person", "WITH c AS (SELECT id FROM person) SELECT id FROM c", "correct"),
    Case("31 attach", "SELECT x FROM void", "ATTACH 'f.db' AS f", "rejected"),
    Case("32 vacuum into", "SELECT x FROM void", "VACUUM INTO 'f.db'", "rejected"),
    Case("33 pragma", "SELECT x FROM void", "PRAGMA user_version = 7", "rejected"),
    Case("33 commit", "SELECT x FROM void", "COMMIT", "rejected"),
    Case("33 begin", "SELECT x FROM void", "BEGIN", "rejected"),
    Case("34 two selects", "SELECT 1", "SELECT 2; SELECT 1", "rejected"),
    Case("34 gold and drop", "SELECT id FROM person", "SELECT id FROM person; DROP TABLE person", "rejected"),
    Case("35 semicolon and comment", "SELECT id FROM person", "SELECT id FROM person; -- done", "correct"),
    Case("35 comment first", "SELECT id FROM person", "-- ids\nSELECT id FROM person", "correct"),
    Case("35 two semicolons", "SELECT id FROM person", "SELECT id FROM person;;", "correct"),
    Case("36 for ever", "SELECT 1", FOREVER, "timeout"),
    Case("37 cross join", "SELECT 1", "SELECT count(*) FROM big a, big b, big c, big d", "timeout"),
    Case("37 rows", "SELECT x FROM big", "SELECT a.x FROM big a, big b", "limit"),
    Case("37 memory", "SELECT 1", "SELECT randomblob(400000000)", "limit"),
    Case("37 gold over the cap", "SELECT a.x FROM big a, big b", "SELECT 1", "gold_error"),
    Case("38 non-ASCII names", 'SELECT "größe cm" FROM "straße"', 'SELECT s."größe cm" FROM "straße" AS s', "correct"),
    Case("38 decomposed name", 'SELECT "größe cm" FROM "straße"', 'SELECT s."gro\u0308ße cm" FROM "straße" AS s', "pred_error"),
    Case("38 upper case Ö", 'SELECT "größe cm" FROM "straße"', 'SELECT s."GRÖßE CM" FROM "straße" AS s', "pred_error"),
    Case("39 column called value", "SELECT value FROM \"straße\"", "SELECT \"value\" FROM \"straße\"", "correct"),
    Case("40 double-quoted literal", "SELECT id FROM person WHERE name = 'Ben'", 'SELECT id FROM person WHERE name = "Ben"', "correct"),
    Case("41 one column for two", "SELECT id, id FROM person", "SELECT id FROM person", "n n n y -"),
    Case("42 nine equal columns", "SELECT 1,1,1,1,1,1,1,1,1 FROM person", "SELECT 1,1,1,1,1,1,1,1,1 FROM person LIMIT 6", "correct"),
    Case("43 lucky constant", "SELECT COUNT(*) FROM person", "SELECT 6", "correct"),
    Case("44 random gold", "SELECT random()", "SELECT random()", "a - - - -"),
    Case("44 limit without order", "SELECT name FROM person LIMIT 1", "SELECT name FROM person WHERE id = 6", "a n n n n"),
    Case("45 blob", "SELECT x'ff00'", "SELECT X'FF00'", "correct"),
    Case("45 blob differs", "SELECT x'ff00'", "SELECT x'ff01'", "wrong"),
    Case("45 invalid UTF-8", "SELECT t FROM raw", "SELECT r.t FROM raw r", "correct"),
    Case("45 infinity", "SELECT 9e999", "SELECT 9e998 * 10", "correct"),
    Case("45 minus infinity", "SELECT 9e999", "SELECT -9e999", "wrong"),
    Case("45 minus zero", "SELECT 0.0", "SELECT -0.0", "correct"),
    Case("46 explain", "SELECT 1", "EXPLAIN SELECT 1", "rejected"),
    Case("46 explain query plan", "SELECT 1", "EXPLAIN QUERY PLAN SELECT 1", "rejected"),
    Case("50 value in another language", "SELECT id FROM person WHERE note = 'rot'", "SELECT id FROM person WHERE note = 'red'", "correct_empty"),
    Case("plain: case of a value", "SELECT 'Ben'", "SELECT 'ben'", "wrong"),
    Case("plain: trailing blank", "SELECT 'Ben'", "SELECT 'Ben '", "wrong"),
    Case("plain: date format", "SELECT born FROM person WHERE id = 1", "SELECT '01/01/1990'", "wrong"),
    Case("plain: rounding without effect", "SELECT AVG(pay) FROM person WHERE team = 1", "SELECT ROUND(AVG(pay), 2) FROM person WHERE team = 1", "correct"),
]  # fmt: skip


def _same(verdict: str, *pairs: tuple[str, str, str]) -> list[Case]:
    return [Case(name, gold, pred, verdict) for name, gold, pred in pairs]


def _strict(verdict: str, *pairs: tuple[str, str, str]) -> list[Case]:
    letter = {RIGHT: "y", WRONG: "n", EMPTY: "e", TIE: "a"}[verdict]
    return [Case(name, gold, pred, f"{letter} - - - -") for name, gold, pred in pairs]


_ONE = "SELECT id FROM person"
OWN = [
    *_strict(
        TIE,
        ("tie behind an offset", "SELECT name FROM person ORDER BY pay DESC LIMIT 1 OFFSET 1", "SELECT 'Ben'"),
        ("tie through OFFSET, comma form", "SELECT id FROM person ORDER BY pay DESC LIMIT 2, 1", "SELECT 6"),
        ("tie at the lower end only", "SELECT id FROM person ORDER BY pay DESC LIMIT 3", "SELECT 3 UNION ALL SELECT 2 UNION ALL SELECT 6"),
        ("tie with DISTINCT", "SELECT DISTINCT team, pay FROM person ORDER BY pay DESC LIMIT 1", "SELECT 2, 500"),
        ("tie in grouped counts", "SELECT team FROM person GROUP BY team ORDER BY COUNT(*) LIMIT 1", "SELECT 3"),
        ("tie in grouped counts, alias", "SELECT team, COUNT(*) AS n FROM person GROUP BY team ORDER BY n DESC LIMIT 1", "SELECT 2, 2"),
        ("tie on an expression", "SELECT id FROM person ORDER BY length(name) LIMIT 1", "SELECT 6"),
        ("tie on an alias in an expression", "SELECT id, pay * 2 AS twice FROM person ORDER BY twice + 1 DESC LIMIT 1", "SELECT 3, 1000"),
        ("tie on an ordinal", "SELECT title FROM team ORDER BY head LIMIT 1", "SELECT 'Grey'"),
        ("tie on two keys", "SELECT id FROM person ORDER BY pay DESC, length(name) % 1 LIMIT 1", "SELECT 3"),
        ("tie in NOCASE column", "SELECT n FROM word ORDER BY w LIMIT 1 OFFSET 1", "SELECT 2"),
        ("tie by COLLATE", "SELECT n FROM word ORDER BY w || '' COLLATE NOCASE LIMIT 2", "SELECT 3 UNION ALL SELECT 2"),
        ("tie after a union", "SELECT team, 1 FROM person UNION SELECT id, 1 FROM team ORDER BY 2 LIMIT 1", "SELECT 4, 1"),
        ("tie after intersect", "SELECT head, 0 AS k FROM team INTERSECT SELECT id, 0 FROM person ORDER BY k LIMIT 1", "SELECT 3, 0"),
        ("tie with star", "SELECT * FROM team ORDER BY title LIMIT 1", "SELECT 3, 'Blue', NULL"),
        ("tie in a CTE's outer query", "WITH c AS (SELECT id, pay FROM person) SELECT id FROM c ORDER BY pay DESC LIMIT 1", "SELECT 3"),
        ("tie of NULLs", "SELECT id FROM team ORDER BY head NULLS FIRST LIMIT 1", "SELECT 4"),
        ("tie in a view", "SELECT name FROM rich ORDER BY pay LIMIT 1", "SELECT 'Eve'"),
        ("tie by constant key", "SELECT id FROM person ORDER BY 'pay' LIMIT 1", "SELECT 5"),
        ("limit without order, two rows", "SELECT id FROM person LIMIT 2", "SELECT 5 UNION ALL SELECT 1"),
        ("offset without order", "SELECT id FROM person LIMIT 1 OFFSET 3", "SELECT 1"),
        ("random order and limit", "SELECT id FROM person ORDER BY RANDOM() LIMIT 1", "SELECT 2"),
        ("random after a key", "SELECT id FROM person ORDER BY pay DESC, RANDOM() LIMIT 1", "SELECT 3"),
        ("tie in a scalar subquery", "SELECT name FROM person WHERE id = (SELECT id FROM person ORDER BY pay DESC LIMIT 1)", "SELECT 'Cleo'"),
        ("tie in an IN subquery", "SELECT title FROM team WHERE id IN (SELECT team FROM person ORDER BY pay DESC LIMIT 1)", "SELECT 'Blue'"),
        ("tie in a derived table", "SELECT count(*), max(id) FROM (SELECT id FROM person ORDER BY pay DESC LIMIT 1)", "SELECT 1, 3"),
        ("tie in a CTE", "WITH top AS (SELECT id FROM person ORDER BY pay DESC LIMIT 1) SELECT name FROM person JOIN top USING (id)", "SELECT 'Cleo'"),
        ("tie of two among three", "SELECT sum(id) FROM (SELECT id FROM person WHERE pay >= 300 ORDER BY pay LIMIT 1)", "SELECT 6"),
        ("correlated tie", "SELECT title, (SELECT name FROM person p WHERE p.team = t.id ORDER BY length(p.note) LIMIT 1) FROM team t WHERE t.id = 3", "SELECT 'Blue', 'Eve'"),
        ("order inside group_concat", "SELECT group_concat(name) FROM person", "SELECT group_concat(name) FROM (SELECT name FROM person ORDER BY id DESC)"),
        ("clock in the gold", "SELECT CURRENT_DATE", "SELECT '2001-01-01'"),
        ("now in the gold", "SELECT count(*) FROM person WHERE born < date('now')", "SELECT 5"),
    ),
    *_strict(
        RIGHT,
        ("tie not cut", "SELECT id FROM person ORDER BY pay DESC LIMIT 2", "SELECT 3 UNION ALL SELECT 2"),
        ("tie not cut by offset", "SELECT id FROM person ORDER BY pay DESC LIMIT 2 OFFSET 2", "SELECT 6 UNION ALL SELECT 1"),
        ("limit above the rows", "SELECT id FROM person ORDER BY team LIMIT 100", "SELECT id FROM person ORDER BY team, id DESC"),
        ("negative limit", "SELECT id FROM team ORDER BY title LIMIT -1", "SELECT id FROM team ORDER BY title, id DESC"),
        ("columns permuted under order", "SELECT id, name FROM person ORDER BY team", "SELECT name, id FROM person ORDER BY team, id DESC"),
        ("order by ordinal", "SELECT team, id FROM person ORDER BY 1", "SELECT team, id FROM person ORDER BY team, id DESC"),
        ("order by alias that hides a column", "SELECT id, -id AS team FROM person ORDER BY team", "SELECT id, -id FROM person ORDER BY id DESC"),
        ("union ordered by alias", "SELECT id AS k, 'p' FROM person UNION ALL SELECT id, 't' FROM team ORDER BY k", "SELECT id AS k, 't' FROM team UNION ALL SELECT id, 'p' FROM person ORDER BY k"),
        ("NOCASE column permits either", "SELECT n FROM word ORDER BY w", "SELECT n FROM word ORDER BY w, n DESC"),
        ("order by aggregate", "SELECT team FROM person GROUP BY team ORDER BY COUNT(*)", "SELECT id FROM team WHERE id < 4 ORDER BY id DESC"),
        ("order by window", "SELECT id FROM person ORDER BY RANK() OVER (ORDER BY pay)", "SELECT id FROM person ORDER BY pay, id DESC"),
        ("random number that does not matter", "SELECT 1", "SELECT random() IS NOT NULL"),
        ("random order, no limit", "SELECT id FROM person ORDER BY RANDOM()", "SELECT id FROM person"),
        ("pred in random order", _ONE, "SELECT id FROM person ORDER BY RANDOM()"),
        ("clock, the same day", "SELECT CURRENT_DATE", "SELECT date('now')"),
        ("distinct ordered by its column", "SELECT DISTINCT p.name FROM person p ORDER BY name", "SELECT DISTINCT name FROM person ORDER BY 1"),
        ("inner tie without effect", "SELECT count(*) FROM (SELECT id FROM person ORDER BY pay DESC LIMIT 1)", "SELECT 1"),
        ("float sums in another order", "SELECT SUM(pay * 0.1) FROM person", "SELECT SUM(pay) * 0.1 FROM person"),
        ("absolute tolerance near zero", "SELECT 0", "SELECT 1e-10"),
        ("float noise across rows", "SELECT 0.3 AS v, 'a' UNION ALL SELECT 0.1 + 0.2, 'b'", "SELECT 0.1 + 0.2, 'a' UNION ALL SELECT 0.3, 'b'"),
        ("twelve columns rotated", "SELECT 1,2,3,4,5,6,7,8,9,10,11,12", "SELECT 12,1,2,3,4,5,6,7,8,9,10,11"),
        ("equal columns permuted", "SELECT id, id, team FROM person", "SELECT team, id, id FROM person"),
        ("VALUES", "SELECT 1 UNION ALL SELECT 2", "VALUES (2), (1)"),
        ("schema pragma as a table", "SELECT 'id' UNION ALL SELECT 'title' UNION ALL SELECT 'head'", "SELECT name FROM pragma_table_info('team')"),
        ("sqlite_master", "SELECT 7", "SELECT count(*) FROM sqlite_master WHERE type = 'table'"),
        ("json table", "SELECT 1 UNION ALL SELECT 2", "SELECT value FROM json_each('[1,2]')"),
        ("natural join", "SELECT 0", "SELECT count(*) FROM person NATURAL JOIN void"),
        ("window function", "SELECT id FROM person", "SELECT id FROM (SELECT id, ROW_NUMBER() OVER (ORDER BY born) AS r FROM person)"),
        ("filter clause", "SELECT count(*) FROM person WHERE pay > 200", "SELECT count(*) FILTER (WHERE pay > 200) FROM person"),
        ("replace as a function", "SELECT 'b'", "SELECT replace('a', 'a', 'b')"),
        ("words inside text", "SELECT 'DROP TABLE x; DELETE'", "SELECT 'DROP TABLE x' || '; DELETE'"),
        ("semicolon inside text", "SELECT ';'", "SELECT char(59)"),
        ("comment inside", _ONE, "SELECT /* one */ id -- two\nFROM person"),
        ("unclosed comment at the end", _ONE, "SELECT id FROM person /* that is all"),
        ("brackets and backticks", _ONE, "SELECT [id] FROM `person`"),
        ("column called distinct values", "SELECT count(DISTINCT team) FROM person WHERE team IS NOT DISTINCT FROM 1", "SELECT 1"),
    ),
    *_strict(
        WRONG,
        ("impossible row behind an offset", "SELECT name FROM person ORDER BY pay DESC LIMIT 1 OFFSET 1", "SELECT 'Ada'"),
        ("row of a complete group twice", "SELECT id FROM person ORDER BY pay DESC LIMIT 2", "SELECT 2 UNION ALL SELECT 2"),
        ("legal rows, groups out of order", "SELECT id FROM person ORDER BY pay DESC LIMIT 3", "SELECT * FROM (SELECT 1 AS i UNION ALL SELECT 2 UNION ALL SELECT 3) ORDER BY i"),
        ("too few rows of a tie", "SELECT id FROM person ORDER BY pay DESC LIMIT 3", "SELECT 2 UNION ALL SELECT 3"),
        ("impossible without order", "SELECT name FROM person LIMIT 1", "SELECT 'Zoe'"),
        ("impossible under random", "SELECT name FROM person ORDER BY RANDOM() LIMIT 1", "SELECT 'Zoe'"),
        ("impossible scalar subquery", "SELECT name FROM person WHERE id = (SELECT id FROM person ORDER BY pay DESC LIMIT 1)", "SELECT 'Ada'"),
        ("inner limit without a tie", "SELECT name FROM person WHERE id = (SELECT id FROM person ORDER BY id LIMIT 1)", "SELECT 'Ben'"),
        ("random width", "SELECT random()", "SELECT 1, 2"),
        ("pred random", "SELECT 1", "SELECT random()"),
        ("clock width", "SELECT CURRENT_DATE", "SELECT CURRENT_DATE, 1"),
        ("order by two keys, second reversed", "SELECT team, id FROM person ORDER BY team, id", "SELECT team, id FROM person ORDER BY team, id DESC"),
        ("binary order is not NOCASE", "SELECT w || '', n FROM word ORDER BY n", "SELECT w || '', n FROM word ORDER BY w"),
        ("NULLs last by key", "SELECT id FROM person ORDER BY pay, id", "SELECT id FROM person ORDER BY pay NULLS LAST, id"),
        ("union order", "SELECT id FROM team UNION SELECT 9 ORDER BY 1", "SELECT id FROM team UNION SELECT 9 ORDER BY 1 DESC"),
        ("text and blob", "SELECT 'a'", "SELECT x'61'"),
        ("invalid UTF-8 is not its replacement", "SELECT t FROM raw WHERE t <> 'plain'", "SELECT '\ufffdA'"),
        ("empty and one NULL row", "SELECT x FROM void", "SELECT max(x) FROM void"),
        ("one NULL row and empty", "SELECT max(x) FROM void", "SELECT x FROM void"),
        ("int and text of it in a column", "SELECT id FROM person", "SELECT CAST(id AS TEXT) FROM person"),
        ("inf and large", "SELECT 9e999", "SELECT 1e308"),
        ("two columns mixed across rows", "SELECT id, team FROM person", "SELECT CASE WHEN id < 3 THEN team ELSE id END, CASE WHEN id < 3 THEN id ELSE team END FROM person"),
        ("relative tolerance exceeded", "SELECT 1000000.0", "SELECT 1000002.0"),
        ("int off by one", "SELECT 10000000", "SELECT 10000001"),
    ),
    *_strict(EMPTY, ("limit 0", "SELECT id FROM person LIMIT 0", "SELECT 1 WHERE 0"), ("offset beyond", "SELECT id FROM person LIMIT 5 OFFSET 99", "SELECT x FROM void")),
    *_same(
        "rejected",
        ("insert behind with", "SELECT x FROM void", "WITH c AS (SELECT 1 AS a) INSERT INTO void(x) SELECT a FROM c"),
        ("update behind with", "SELECT x FROM void", "WITH c AS (SELECT 1) UPDATE person SET pay = 0"),
        ("replace into", "SELECT x FROM void", "REPLACE INTO void(x) VALUES (1)"),
        ("insert or ignore", "SELECT x FROM void", "INSERT OR IGNORE INTO void(x) VALUES (1)"),
        ("upsert", "SELECT x FROM void", "INSERT INTO team VALUES (1, 'a', 1) ON CONFLICT(id) DO UPDATE SET title = 'x'"),
        ("alter", "SELECT x FROM void", "ALTER TABLE person RENAME TO people"),
        ("create table as", "SELECT x FROM void", "CREATE TABLE t AS SELECT 1"),
        ("create view", "SELECT x FROM void", "CREATE VIEW v AS SELECT 1"),
        ("create index", "SELECT x FROM void", "CREATE INDEX i ON person(name)"),
        ("create trigger", "SELECT x FROM void", "CREATE TRIGGER t AFTER INSERT ON void BEGIN SELECT 1; END"),
        ("create virtual table", "SELECT x FROM void", "CREATE VIRTUAL TABLE f USING fts5(a)"),
        ("drop view", "SELECT x FROM void", "DROP VIEW IF EXISTS rich"),
        ("reindex", "SELECT x FROM void", "REINDEX"),
        ("analyze", "SELECT x FROM void", "ANALYZE"),
        ("vacuum", "SELECT x FROM void", "VACUUM"),
        ("savepoint", "SELECT x FROM void", "SAVEPOINT s"),
        ("release", "SELECT x FROM void", "RELEASE s"),
        ("rollback", "SELECT x FROM void", "ROLLBACK"),
        ("end", "SELECT x FROM void", "END TRANSACTION"),
        ("detach", "SELECT x FROM void", "DETACH DATABASE main"),
        ("pragma that reads", "SELECT x FROM void", "PRAGMA table_info(person)"),
        ("pragma as a function", "SELECT x FROM void", "PRAGMA table_info('person')"),
        ("pragma table outside the list", "SELECT 0", "SELECT * FROM pragma_user_version"),
        ("pragma table that writes", "SELECT 0", "SELECT * FROM pragma_journal_mode"),
        ("nested explain", "SELECT 1", "EXPLAIN EXPLAIN SELECT 1"),
        ("load_extension", "SELECT 1", "SELECT load_extension('x')"),
        ("quoted load_extension", "SELECT 1", "SELECT \"load_extension\"('x')"),
        ("writefile", "SELECT 1", "SELECT writefile('f', 'x')"),
        ("edit", "SELECT 1", "SELECT edit(name) FROM person"),
        ("fts3_tokenizer", "SELECT 1", "SELECT fts3_tokenizer('simple')"),
        ("upper-case readfile", "SELECT 1", "SELECT READFILE('f')"),
        ("readfile in WHERE", _ONE, "SELECT id FROM person WHERE readfile('f') IS NULL"),
        ("empty statements between", "SELECT 1", "SELECT 1;;SELECT 1"),
        ("statement after a comment", "SELECT 1", "SELECT 1 -- ;\n; DROP TABLE person"),
        ("SQLite comments do not nest", "SELECT 1", "SELECT 1 /* /* */ ; DROP TABLE person -- */"),
        ("write in brackets of a comment", "SELECT 1", "/* */ DELETE /* */ FROM person"),
        ("select into", "SELECT 1", "SELECT 1 INTO void"),
        ("thirty joins without condition", "SELECT 1", "SELECT 1 FROM person" + " JOIN person" * 30),
    ),
    *_same(
        "invalid",
        ("misspelt", _ONE, "SELET id FROM person"),
        ("unfinished", _ONE, "SELECT id FROM person WHERE"),
        ("bare select", _ONE, "SELECT"),
        ("prose", _ONE, "I am sorry, there is no such table."),
        ("unbalanced", _ONE, "SELECT (id FROM person"),
        ("open text", _ONE, "SELECT 'id FROM person"),
        ("NUL", _ONE, "SELECT id FROM person\0"),
        ("half a character", _ONE, "SELECT '\ud800'"),
        ("no-break space", _ONE, "SELECT\u00a0id FROM person"),
        ("full-width keyword", _ONE, "ＳＥＬＥＣＴ id FROM person"),
        ("zero-width space", _ONE, "SEL\u200bECT id FROM person"),
        ("deep parentheses", "SELECT 1", "SELECT " + "(" * 5000 + "1" + ")" * 5000),
        ("deep subqueries", "SELECT 1", "SELECT * FROM " + "(SELECT * FROM " * 5000 + "person" + ")" * 5000),
        ("deep CASE", "SELECT 1", "SELECT " + "CASE WHEN 1 THEN " * 3000 + "1" + " END" * 3000),
        ("chain of NOT", "SELECT 1", "SELECT " + "NOT " * 5000 + "1"),
        ("parser stack", "SELECT 1", "SELECT " + "(" * 120 + "1" + ")" * 120),
        ("dot command", _ONE, ".tables"),
        ("fence", _ONE, "```sql\nSELECT id FROM person\n```"),
    ),
    *_same(
        "pred_error",
        ("no such table", _ONE, "SELECT id FROM people"),
        ("no such function", _ONE, "SELECT median_of(id) FROM person"),
        ("ambiguous column", _ONE, "SELECT id FROM person JOIN team"),
        ("aggregate in WHERE", _ONE, "SELECT id FROM person WHERE count(*) > 1"),
        ("parameter", _ONE, "SELECT id FROM person WHERE id = ?"),
        ("union of other widths", _ONE, "SELECT id FROM person UNION SELECT id, name FROM person"),
        ("typographic quotes", _ONE, "SELECT id FROM person WHERE name = ‘Ben’"),
        ("expression too large", "SELECT 1", "SELECT " + "+".join(["1"] * 3000)),
        ("too many selects", "SELECT 1", " UNION ALL ".join(["SELECT 1"] * 3000)),
        ("mysql function", _ONE, "SELECT YEAR(born) FROM person"),
    ),
    *_same(
        "gold_error",
        ("gold empty text", "", _ONE),
        ("gold writes", "DELETE FROM person", _ONE),
        ("gold and pred the same write", "DELETE FROM person", "DELETE FROM person"),
        ("gold for ever", FOREVER, "SELECT 1"),
        ("gold two statements", "SELECT 1; SELECT 1", "SELECT 1"),
        ("gold fails, pred writes", "SELECT nope FROM person", "DROP TABLE person"),
    ),
    *_same(
        "limit",
        ("zeroblob", "SELECT 1", "SELECT zeroblob(900000000)"),
        ("hex of zeroblob", "SELECT 1", "SELECT length(hex(zeroblob(400000000)))"),
        ("printf width", "SELECT 1", "SELECT length(printf('%300000000d', 1))"),
        ("printf star width", "SELECT 1", "SELECT length(printf('%*d', 300000000, 1))"),
        ("format precision", "SELECT 1", "SELECT length(format('%.*c', 300000000, 'x'))"),
        ("replace bomb", "SELECT 1", "SELECT length(replace(hex(zeroblob(1000000)), '0', hex(zeroblob(1000))))"),
        ("group_concat bomb", "SELECT 1", "SELECT length(group_concat(hex(zeroblob(100000)))) FROM big"),
        ("doubling text", "SELECT 1", "WITH RECURSIVE c(x) AS (SELECT 'a' UNION ALL SELECT x || x FROM c) SELECT x FROM c"),
        ("many wide rows", "SELECT 1", "SELECT hex(zeroblob(1000000)) FROM big"),
    ),
    *_same(
        "timeout",
        ("for ever in WHERE", _ONE, f"SELECT id FROM person WHERE id < ({FOREVER})"),
        ("sort of a cross join", "SELECT 1", "SELECT a.x FROM big a, big b, big c ORDER BY a.x * b.x % 7, c.x LIMIT 1"),
    ),
    Case("bird ignores order and duplicates", "SELECT team FROM person ORDER BY id", "SELECT DISTINCT team FROM person ORDER BY 1 DESC", "n y n n y"),
    Case("order by in a text", "SELECT id FROM person WHERE name <> 'order by'", "SELECT id FROM person ORDER BY id DESC", "y y n n y"),
    Case("spider2 extra column, order fixed", "SELECT id FROM person ORDER BY id", "SELECT name, id FROM person ORDER BY id", "n n n y y"),
    Case("spider2 one column for two", "SELECT 1, 1", "SELECT 1", "n n n y -"),
    Case("spider2 NULL as 0 in a column", "SELECT pay FROM person", "SELECT COALESCE(pay, 0) FROM person", "n n n y n"),
    Case("defog subset after reordering", "SELECT id, name FROM person ORDER BY id", "SELECT born, name, id FROM person ORDER BY id DESC", "n n n n y"),
    Case("defog duplicates in exact mode only", "SELECT team, name FROM person WHERE team = 1 UNION ALL SELECT 1, 'Ada'", "SELECT team, name FROM person WHERE team = 1", "n y n n y"),
    Case("defog relative 1e-5", "SELECT 100000.0", "SELECT 100000.5", "n n n n y"),
    Case("test-suite permutation with duplicates", "SELECT team, id FROM person ORDER BY id", "SELECT id, team FROM person ORDER BY id", "y n y y y"),
    Case("test-suite strips every DISTINCT", "SELECT DISTINCT team FROM person", "SELECT team FROM person", "n y y n y"),
    Case("test-suite keeps IS DISTINCT FROM", "SELECT id FROM person WHERE pay IS DISTINCT FROM 500", "SELECT id FROM person WHERE pay IS NULL OR pay <> 500", "correct"),
    Case("test-suite tells cells of one text and two types apart", "SELECT 1, '1.5'", "SELECT 1.0, '1.5'", "y y n y y"),
]  # fmt: skip
