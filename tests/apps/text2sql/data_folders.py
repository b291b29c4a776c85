"""Small public-looking data sets on disk, for tests of readers, prompts, `prepare` and `evaluate`."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

SCRIPT = """
CREATE TABLE country (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE singer (id INTEGER PRIMARY KEY, name TEXT, age INTEGER, country_id INTEGER REFERENCES country(id));
INSERT INTO country VALUES (1, 'France'), (2, 'Japan'), (3, 'Côte d''Ivoire');
INSERT INTO singer VALUES (1, 'Joe Sharp', 30, 1), (2, 'Rose White', 41, 2);
INSERT INTO singer VALUES (3, 'Tribal King', 25, 1), (4, '東京子', 19, 2);
"""


def write_database(path: Path, script: str = SCRIPT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(path)
    connection.executescript(script)
    connection.commit()
    connection.close()
    return path


def write(path: Path, value: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
    return path


def row(question: str, query: str, db: str = "music") -> dict[str, Any]:
    return {"db_id": db, "question": question, "query": query, "sql": {"select": []}}


QUERIES = [
    "SELECT count(*) FROM singer",
    "SELECT name FROM singer WHERE age > 26 ORDER BY age",
    "SELECT T2.name, count(*) FROM singer AS T1 JOIN country AS T2 ON T1.country_id = T2.id GROUP BY T2.name",
    "SELECT name FROM singer WHERE age > 100",
    "SELECT max(age) FROM singer",
]


def spider_folder(folder: Path) -> Path:
    """Spider's layout, with a database whose folder differs in case from its id."""
    write_database(folder / "database" / "Music" / "music.sqlite")
    write(folder / "dev.json", [row(f"Question {number}?", query) for number, query in enumerate(QUERIES)])
    write(folder / "train_spider.json", [row("How many?", QUERIES[0])])
    write(folder / "train_others.json", [row("And now?", QUERIES[4])])
    return folder


def multispider_folder(folder: Path, variant: str = "with_english_value") -> Path:
    """MultiSpider as the hub lays it out: questions apart from Spider's databases."""
    write_database(folder / "dataset/spider/database/music/music.sqlite")
    for language, word in (("en", "How many singers?"), ("de", "Wie viele Sänger?"), ("ja", "歌手は何人ですか。")):
        rows = [row(word, QUERIES[0]), row(f"{word} (2)", QUERIES[1])]
        write(folder / "dataset/multispider" / variant / f"dev_{language}.json", rows)
    return folder


def bird_folder(folder: Path) -> Path:
    """BIRD's layout, with description files in several encodings."""
    base = folder / "dev_databases" / "music"
    write_database(base / "music.sqlite")
    head = "original_column_name,column_name,column_description,data_format,value_description\n"
    (base / "database_description").mkdir()
    text = head + 'age,age,age in years,integer,"≥ 18\nalways"\nname,,name,text,\n'
    (base / "database_description" / "singer.csv").write_bytes(b"\xef\xbb\xbf" + text.encode("utf-8"))
    text = head + "name,name,the country’s name,text,é\n"
    (base / "database_description" / "country.csv").write_bytes(text.encode("cp1252"))
    (base / "database_description" / "broken.csv").write_bytes(b"\x00\xff\xfe\x81 not a table")
    questions = [
        {"question_id": 7, "db_id": "music", "question": "How old is the oldest?", "evidence": "oldest: max(age)",
         "SQL": QUERIES[4], "difficulty": "simple"},
        {"question_id": 9, "db_id": "music", "question": "How many?", "evidence": "", "SQL": QUERIES[0],
         "difficulty": "challenging"},
    ]  # fmt: skip
    write(folder / "dev.json", questions)
    return folder
