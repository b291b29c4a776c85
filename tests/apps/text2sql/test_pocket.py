"""The pocket world: databases, questions, splits. Whatever a wrong gold or a leak would spoil is checked here."""

from __future__ import annotations

import os
import random
import re
import sqlite3
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import pytest

from apps.text2sql.data import LANGUAGES, Example
from apps.text2sql.pocket import (
    DATABASES,
    DESCRIPTIONS,
    HELD_OUT_DATABASES,
    TRAINING_DATABASES,
    build_databases,
    load_pocket,
)
from apps.text2sql.pocket.concepts import PROPERTIES, THINGS
from apps.text2sql.pocket.grammar import FAMILIES
from apps.text2sql.pocket.hardness import hardness
from apps.text2sql.pocket.languages import say
from apps.text2sql.pocket.languages.words import de, en, es, fr, ja, vi, zh
from apps.text2sql.pocket.meaning import Condition, Population, Query
from apps.text2sql.pocket.recombine import RECOMBINED, find_database
from apps.text2sql.pocket.splits import HELD_OUT_PAIRS
from common.errors import UsageError

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("pocket")


@pytest.fixture(scope="module")
def train(folder: Path) -> list[Example]:
    """What the two stages of training see."""
    supervised = load_pocket("demonstrations", limit=3000 * len(LANGUAGES), folder=folder)
    return supervised + load_pocket("train", limit=1000 * len(LANGUAGES), folder=folder)


@pytest.fixture(scope="module")
def heldout(folder: Path) -> list[Example]:
    return load_pocket("heldout", folder=folder)


@pytest.fixture(scope="module")
def examples(train: list[Example], heldout: list[Example], folder: Path) -> list[Example]:
    return train + load_pocket("dev", folder=folder) + heldout


class Runner:
    """Runs golds read-only, with a connection kept for each database."""

    def __init__(self) -> None:
        self.connections: dict[Path, sqlite3.Connection] = {}

    def __call__(self, path: Path, sql: str) -> list[tuple]:
        if path not in self.connections:
            self.connections[path] = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        return self.connections[path].execute(sql).fetchall()


@pytest.fixture(scope="module")
def run() -> Runner:
    return Runner()


def _questions(examples: list[Example]) -> dict[str, list[Example]]:
    grouped = defaultdict(list)
    for example in examples:
        grouped[example.parallel].append(example)
    return grouped


# --- databases ---------------------------------------------------------------------------------------


def test_databases_are_the_same_bytes_and_only_built_once(tmp_path: Path) -> None:
    first, second = build_databases(tmp_path / "a"), build_databases(tmp_path / "b")
    assert {n: p.read_bytes() for n, p in first.items()} == {n: p.read_bytes() for n, p in second.items()}
    assert sum(p.stat().st_size for p in first.values()) < 600_000
    before = {n: p.stat().st_mtime_ns for n, p in first.items()}
    first["music"].write_bytes(b"torn")  # a damaged file is rebuilt, the others are left alone
    build_databases(tmp_path / "a")
    changed = [n for n, p in first.items() if p.stat().st_mtime_ns != before[n]]
    assert changed == ["music"]
    assert first["music"].read_bytes() == second["music"].read_bytes()


def test_databases_hold_what_makes_queries_differ(folder: Path) -> None:
    having = Counter()
    for name, path in build_databases(folder).items():
        connection = sqlite3.connect(path)
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        assert 2 <= len(tables) <= 3
        found, columns = set(), 0
        for table in tables:
            info = connection.execute(f"PRAGMA table_info({table})").fetchall()
            columns += sum(row[1] != "id" for row in info)
            rows = connection.execute(f"SELECT * FROM {table}").fetchall()
            assert 8 <= len(rows) <= 30
            if connection.execute(f"PRAGMA foreign_key_list({table})").fetchall():
                found.add("foreign key")
            for _, column, kind, *_ in info[1:]:
                values = [v for (v,) in connection.execute(f"SELECT {column} FROM {table}")]
                known = [v for v in values if v is not None]
                if len(known) < len(values):
                    found.add("null")
                if kind == "DATE":
                    found.add("date")
                if kind == "TEXT" and len(set(known)) < len(known):
                    found.add("duplicate")
                if kind in ("INTEGER", "REAL") and not column.endswith("_id") and known.count(max(known)) > 1:
                    found.add("tie")
        assert columns <= 13, name
        having.update(found)
    assert {"foreign key", "null", "date", "duplicate", "tie"} <= having.keys()
    assert min(having.values()) >= 12


def test_some_parents_have_no_children_and_some_have_several(folder: Path, run: Runner) -> None:
    for name, path in build_databases(folder).items():
        for table in DATABASES[name].tables:
            for parent in table.parents:
                counts = run(
                    path,
                    f"SELECT COUNT(c.id) FROM {parent} p LEFT JOIN {table.name} c ON c.{parent}_id = p.id"
                    " GROUP BY p.id",
                )
                assert (0,) in counts, (name, table.name)
                assert max(counts) > (1,)


def test_every_table_and_column_is_described(folder: Path, run: Runner) -> None:
    for name, path in build_databases(folder).items():
        for table, described in DESCRIPTIONS[name].items():
            columns = {row[1] for row in run(path, f"PRAGMA table_info({table})")}
            assert columns == set(described) - {""}
            assert all(described.values())


def test_heldout_databases_are_made_of_known_words() -> None:
    def words(names: tuple[str, ...]) -> set[str]:
        return {w for n in names for t in find_database(n).tables for w in (t.name, *t.columns)}

    assert len(TRAINING_DATABASES) >= 14
    assert len(HELD_OUT_DATABASES) == 3
    assert words(HELD_OUT_DATABASES) <= words(TRAINING_DATABASES) <= words(RECOMBINED)
    used = words(tuple(DATABASES))
    assert used == THINGS.keys() | PROPERTIES.keys()
    for language in (en, de, fr, es, ja, zh, vi):
        assert set(language.COLUMNS) == set(PROPERTIES)
        if language is not en:
            assert set(language.THINGS) == set(THINGS)


def test_recombined_databases_are_linked_and_never_a_held_out_one() -> None:
    held = [{t.name for t in DATABASES[name].tables} for name in HELD_OUT_DATABASES]
    for name in RECOMBINED:
        database = find_database(name)
        assert find_database(name) is database
        assert {t.name for t in database.tables} not in held
        for place, table in enumerate(database.tables):
            assert bool(table.parents) == (place > 0)
            assert set(table.parents) <= {t.name for t in database.tables[:place]}
            assert len(set(table.columns)) == len(table.columns) >= 2
    with pytest.raises(KeyError):
        find_database("mix999")


# --- golds -------------------------------------------------------------------------------------------


def test_every_gold_runs_and_few_are_empty(examples: list[Example], run: Runner) -> None:
    golds = {(e.path, e.sql) for e in examples}
    empty = sum(not run(path, sql) for path, sql in golds)
    assert len(golds) > 3000
    assert empty < 0.1 * len(golds)


def test_no_answer_hangs_on_the_order_of_ties(examples: list[Example], run: Runner) -> None:
    """Shuffled rows (here: a reversed table scan) must not change an answer that has LIMIT."""
    for path, sql in {(e.path, e.sql) for e in examples if " LIMIT " in e.sql}:
        order = re.search(r" ORDER BY (.+?)( DESC)? LIMIT (\d+)$", sql)
        assert order is not None
        limit = int(order.group(3))
        keyed = re.sub(r"^SELECT .+? FROM ", f"SELECT {order.group(1)} FROM ", sql[: order.start(3)]) + str(limit + 1)
        keys = run(path, keyed)
        assert len(set(keys)) == len(keys) > limit, sql


_MUTATIONS: tuple[tuple[str, str], ...] = (
    (" > ", " >= "),
    (" >= ", " > "),
    (" < ", " <= "),
    (" <= ", " < "),
    (" = '", " != '"),
    ("AVG(", "MAX("),
    ("MAX(", "MIN("),
    ("MIN(", "MAX("),
    ("SUM(", "AVG("),
    ("DISTINCT ", ""),
    (" DESC", ""),
    (" AND ", " OR "),
    (" OR ", " AND "),
    ("NOT IN", "IN"),
    (" IN ", " NOT IN "),
    ("IS NULL", "IS NOT NULL"),
    ("IS NOT NULL", "IS NULL"),
    ("EXCEPT", "INTERSECT"),
    ("INTERSECT", "UNION"),
    ("UNION", "INTERSECT"),
    ("LEFT JOIN", "JOIN"),
    ("%'", "'"),
)


def test_a_wrong_query_is_seldom_right_by_luck(examples: list[Example], run: Runner) -> None:
    killed, made = Counter(), Counter()
    for path, sql in sorted({(e.path, e.sql) for e in examples}):
        gold = run(path, sql)
        for old, new in _MUTATIONS:
            if old not in sql or (old == " AND " and "BETWEEN" in sql) or (old == " IN " and "NOT IN" in sql):
                continue
            mutant = run(path, sql.replace(old, new, 1))
            same = gold == mutant if "ORDER BY" in sql else Counter(gold) == Counter(mutant)
            made[old] += 1
            killed[old] += not same
        where = re.sub(r" WHERE [^()]*?(?= GROUP| ORDER| INTERSECT| EXCEPT| UNION|$)", "", sql, count=1)
        if where != sql:
            made["WHERE"] += 1
            killed["WHERE"] += Counter(gold) != Counter(run(path, where))
    shares = {name: killed[name] / made[name] for name in made}
    assert sum(killed.values()) / sum(made.values()) >= 0.8, shares
    assert min(shares.values()) >= 0.6, shares


def test_different_queries_have_different_answers(train: list[Example], run: Runner) -> None:
    """Where results are paid for, a database's golds do not collapse onto a few answers: two of them seldom agree."""
    by_database = defaultdict(set)
    for example in train:
        if example.id.startswith("pocket-train"):
            by_database[example.path].add(example.sql)
    for path, golds in by_database.items():
        answers = Counter(tuple(sorted(map(repr, run(path, sql)))) for sql in golds)
        agreeing = sum(n * (n - 1) for n in answers.values()) / (len(golds) * (len(golds) - 1))
        assert agreeing < 0.05, path


@pytest.mark.parametrize(
    ("sql", "level"),
    [
        ("SELECT name FROM singer", "easy"),
        ("SELECT COUNT(*) FROM singer WHERE age > 30", "easy"),
        ("SELECT name, age FROM singer WHERE age BETWEEN 20 AND 30", "medium"),
        ("SELECT name FROM singer WHERE age > 3 AND city = 'Rome'", "medium"),
        ("SELECT name FROM singer ORDER BY age DESC LIMIT 1", "medium"),
        ("SELECT name FROM singer WHERE age > (SELECT AVG(age) FROM singer)", "hard"),
        ("SELECT name FROM singer WHERE id NOT IN (SELECT singer_id FROM song WHERE year > 3)", "hard"),
        (
            "SELECT T1.name FROM a AS T1 JOIN b AS T2 ON T2.a_id = T1.id GROUP BY T1.id ORDER BY COUNT(*) LIMIT 1",
            "extra",
        ),
    ],
)
def test_hardness_follows_spider(sql: str, level: str) -> None:
    assert hardness(sql) == level


# --- splits ------------------------------------------------------------------------------------------


def test_training_shares_no_question_with_the_other_splits(
    folder: Path, train: list[Example], heldout: list[Example]
) -> None:
    other_seed = load_pocket("train", ("en",), limit=1500, seed=7, folder=folder)
    trained = {(e.database, e.sql) for e in train + other_seed}
    dev = {(e.database, e.sql) for e in load_pocket("dev", ("en",), folder=folder)}
    assert not trained & dev
    assert not trained & {(e.database, e.sql) for e in heldout}
    names = {e.id.split("-")[1]: set() for e in heldout}
    for e in heldout:
        names[e.id.split("-")[1]].add(e.database)
    assert names["heldout_databases"] == set(HELD_OUT_DATABASES)
    assert names["heldout_compositions"] == set(TRAINING_DATABASES)
    assert {e.database for e in train if "demonstrations" in e.id} == set(RECOMBINED)
    assert {e.database for e in train if "train" in e.id} == set(TRAINING_DATABASES)


def test_heldout_compositions_are_new_pairs_of_known_features(folder: Path, train: list[Example]) -> None:
    def found(example: Example) -> set[str]:
        return {*example.tags, f"family:{example.tags[0]}"}

    seen = Counter(feature for e in train for feature in found(e))
    held = [found(e) for e in load_pocket("heldout_compositions", ("en",), folder=folder)]
    for first, second in HELD_OUT_PAIRS:
        assert seen[first] >= 20
        assert seen[second] >= 20
        assert not any({first, second} <= found(e) for e in train)
        assert any({first, second} <= features for features in held), (first, second)


def test_heldout_is_balanced_and_parallel(heldout: list[Example]) -> None:
    assert Counter(e.language for e in heldout) == dict.fromkeys(LANGUAGES, len(heldout) // len(LANGUAGES))
    parts = Counter(e.database in HELD_OUT_DATABASES for e in heldout)
    assert abs(parts[True] - parts[False]) <= len(LANGUAGES)


def test_translations_share_the_sql(examples: list[Example]) -> None:
    for group in _questions(examples).values():
        assert [e.language for e in group] == list(LANGUAGES)
        assert len({(e.sql, e.database, e.hardness, e.tags) for e in group}) == 1
    assert len({e.id for e in examples}) == len(examples)


def test_every_language_has_every_family_in_several_phrasings(train: list[Example], heldout: list[Example]) -> None:
    assert len(FAMILIES) >= 28
    families = Counter((e.language, e.tags[0]) for e in train)
    assert all(families[language, family] >= 5 for language in LANGUAGES for family in FAMILIES)
    assert {e.tags[0] for e in heldout if e.database in HELD_OUT_DATABASES} == set(FAMILIES)
    starts = defaultdict(set)
    for e in train:
        starts[e.language, e.tags[0]].add(e.question[:6] + e.question[-4:])
    assert all(len(s) >= 2 for s in starts.values()), [k for k, s in starts.items() if len(s) < 2]


def test_limit_and_languages(folder: Path) -> None:
    whole = load_pocket("dev", limit=70, folder=folder)
    assert len(whole) == 70
    assert load_pocket("dev", limit=35, folder=folder) == whole[:35]
    german = load_pocket("dev", ("de",), limit=10, folder=folder)
    assert german == [e for e in whole if e.language == "de"]
    with pytest.raises(UsageError, match="splits are"):
        load_pocket("test", folder=folder)
    with pytest.raises(UsageError, match="'it'"):
        load_pocket("dev", ("it",), folder=folder)


def test_same_examples_in_another_process(folder: Path) -> None:
    """No order may depend on how this process hashes strings."""
    code = (
        "import sys, hashlib; from pathlib import Path; from apps.text2sql.pocket import load_pocket\n"
        "rows = [repr(e) for s in ('train', 'heldout') for e in load_pocket(s, limit=700, folder=Path(sys.argv[1]))]\n"
        "sys.stdout.write(hashlib.sha256('\\n'.join(rows).encode()).hexdigest())"
    )
    digests = set()
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT)}
        result = subprocess.run(
            [sys.executable, "-c", code, str(folder)], env=environment, capture_output=True, text=True, check=True
        )
        digests.add(result.stdout)
    assert len(digests) == 1
    assert load_pocket("train", limit=70, seed=1, folder=folder) != load_pocket("train", limit=70, folder=folder)


# --- sentences ---------------------------------------------------------------------------------------

_ENDS = {"en": "?.", "de": "?.", "fr": "?.", "es": "?.", "vi": "?.", "ja": "。", "zh": "？。"}


def test_sentences_are_clean(examples: list[Example]) -> None:
    for e in examples:
        q = e.question
        assert q == q.strip()
        assert "  " not in q
        assert not re.search(r"[{}_]|None|\bnan\b", q), q
        assert q[-1] in _ENDS[e.language], q
        assert not re.search(r",,|, [.?]|,[.?]|\.\.", q), q
        if e.language not in ("ja", "zh"):
            assert q.lstrip("¿")[0].isupper(), q
        else:
            assert not re.search(r"[?.,](?!\d)", q), q


def test_values_stand_in_every_translation(examples: list[Example]) -> None:
    for e in examples:
        for value in re.findall(r"'([^']*)'", e.sql):
            assert value.rstrip("%") in e.question, (e.sql, e.question)
        for number in re.findall(r"(?:[<>=] |BETWEEN |AND |LIMIT )(\d[\d.]*)", e.sql):
            if not e.sql.endswith(f"LIMIT {number}") or number != "1":
                assert number in e.question, (e.sql, e.question)


_WRONG = {
    "en": [r"\b(\w+) \1\b(?<!that that)", r"\ba [aeio]", r"whose whose", r"companys|dishs|citys"],
    "de": [
        r"\b(der|die|das|den|dem|des) \1\b",
        r"\bder (?:Kunde|Patient|Bauer)\b(?! mit)",
        r"\bdes (?:Band|Halle|Bank|Marke|Firma|Farbe)\b",
        r"\beine (?:Alter|Preis|Gewicht)",
        r"\beinem (?:Fläche|Länge|Bewertung)",
        r"(?:den|unter|bei) (?:Lieder|Bücher|Züge|Tiere)\b",
        r"\bmit der (?:höchste|niedrigste|größte) ",
    ],
    "fr": [
        r"\bde les?\b",
        r"\bà les?\b",
        r"\b(?:le|la|de|que|ne) [aeiouéèêâîôû]",
        r"\b(?:le|la|de) h[ôe]",
        r"\bl'[bcdfgjklmnpqrstvz]",
        r"\bd'[bcdfgjklmnpqrstvz]",
        r"\bla (?:âge|prix|nom|pays)\b",
        r"\S\?",
    ],
    "es": [
        r"\bde el\b",
        r"\ba el\b",
        r"\bel (?:edad|ciudad|fecha|canción)\b",
        r"\bla (?:nombre|precio|país|libro)\b",
        r"\bcuyo (?:edad|ciudad|fecha)\b",
        r"\bcuya (?:nombre|precio|país)\b",
        r"^[^¿]*\?",
    ],
    "ja": [r"(?<!も)のの|がが|をを|はは|にに", r"、。", r"何(?:人|頭)あり", r"何(?:冊|曲|枚|台)い"],
    "zh": [r"的的|是是|中中", r"，。", r"多少位(?:书|歌曲|商店)", r"本歌手"],
    "vi": [r"\b(\w+) \1\b(?<!không không)", r"\bcác các\b", r"của của|có có"],
}


@pytest.mark.parametrize("language", LANGUAGES)
def test_grammar_rules_hold(language: str, examples: list[Example]) -> None:
    for e in examples:
        if e.language == language:
            for pattern in _WRONG[language]:
                assert not re.search(pattern, e.question), (pattern, e.question)


def _ways(query: Query, database: str, language: str) -> set[str]:
    return {say(query, DATABASES[database], language, random.Random(seed)) for seed in range(200)}


_OLD_SINGERS = Population("singer", (Condition("age", ">", (30,)),))
_AUTHORS = Population("author")
_FORMS = [
    ("en", "music", Query("count", "count", _OLD_SINGERS), "How many singers older than 30 are there?"),
    ("de", "music", Query("count", "count", _OLD_SINGERS), "Wie viele Sänger, deren Alter über 30 liegt, gibt es?"),
    ("fr", "music", Query("count", "count", _OLD_SINGERS), "Compte les chanteurs dont l'âge est supérieur à 30."),
    ("es", "music", Query("count", "count", _OLD_SINGERS), "¿Cuántos cantantes hay cuya edad es mayor que 30?"),
    ("ja", "music", Query("count", "count", _OLD_SINGERS), "年齢が30より高い歌手は何人いますか。"),
    ("zh", "music", Query("count", "count", _OLD_SINGERS), "有多少位年龄大于30的歌手？"),
    ("vi", "music", Query("count", "count", _OLD_SINGERS), "Có bao nhiêu ca sĩ trên 30 tuổi?"),
    ("fr", "library", Query("count", "count", _AUTHORS), "Combien d'auteurs y a-t-il ?"),
    ("es", "library", Query("count", "count", Population("book")), "¿Cuántos libros hay?"),
    ("ja", "library", Query("count", "count", Population("book")), "本は何冊ありますか。"),
    ("zh", "library", Query("count", "count", Population("book")), "有多少本书？"),
    ("vi", "library", Query("count", "count", Population("book")), "Có bao nhiêu cuốn sách?"),
    (
        "de",
        "hospital",
        Query("join_list", "join_list", Population("visit"), ("date",), (("patient", "name"),)),
        "Zeige zu jedem Besuch das Datum und den Namen des Patienten.",
    ),
    (
        "fr",
        "library",
        Query("join_list", "join_list", Population("book"), ("title",), (("author", "name"),)),
        "Pour chaque livre, affiche le titre et le nom de l'auteur.",
    ),
    (
        "es",
        "hospital",
        Query("join_list", "join_list", Population("visit"), ("date",), (("doctor", "name"),)),
        "Para cada visita, muestra la fecha y el nombre del médico.",
    ),
    (
        "de",
        "music",
        Query("count_distinct", "count_distinct", Population("song"), column="year"),
        "Wie viele verschiedene Jahre gibt es bei den Liedern?",
    ),
    (
        "de",
        "shop",
        Query("top", "top", Population("shop"), ("name",), column="area"),
        "Zeige den Namen des Ladens mit der größten Fläche.",
    ),
    (
        "fr",
        "shop",
        Query("top", "top", Population("shop"), ("name",), column="area"),
        "Quel est le nom du magasin ayant la superficie la plus grande ?",
    ),
    (
        "es",
        "shop",
        Query("top", "top", Population("shop"), ("name",), column="area", descending=False),
        "¿Qué tienda tiene la superficie más pequeña? Indica el nombre.",
    ),
    (
        "ja",
        "school",
        Query("nested_not_in", "list", Population("course", child="student", negated=True), ("title",)),
        "生徒が1人もいない講座のタイトルは何ですか。",
    ),
    (
        "en",
        "music",
        Query(
            "filter_or",
            "list",
            Population("singer", (Condition("country", "=", ("Italy",)), Condition("country", "=", ("Peru",))), True),
            ("name",),
        ),
        "What are the names of the singers whose country is Italy or Peru?",
    ),
]


@pytest.mark.parametrize(("language", "database", "query", "sentence"), _FORMS)
def test_forms_that_a_speaker_expects(language: str, database: str, query: Query, sentence: str) -> None:
    """Hard forms of each language: case, gender, elision, contraction, counters, measure words, punctuation."""
    assert sentence in _ways(query, database, language)


def test_questions_and_queries_are_short(examples: list[Example]) -> None:
    """The pocket model's context is short: about 40 to 70 tokens of prompt, 8 to 35 of SQL."""
    sql = sorted(len(re.findall(r"\w+|[^\w\s]", e.sql)) for e in examples)
    assert sql[len(sql) // 2] <= 25
    assert sql[int(0.99 * len(sql))] <= 50
    words = sorted(len(e.question.split()) for e in examples if e.language in ("en", "de", "fr", "es"))
    assert words[len(words) // 2] <= 16
    assert words[-1] <= 45
