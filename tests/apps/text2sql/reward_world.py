"""A database of six singers and the queries that the reward tests score."""

from __future__ import annotations

import sqlite3
from pathlib import Path

QUESTION = "Show the names of singers older than 30 from France."
GOLD = "SELECT name FROM singer WHERE age > 30 AND country = 'France'"

RIGHT = [
    GOLD,
    'select T1.Name\nfrom SINGER as T1 where T1.country="France" and 30 < T1.age -- because',
    "SELECT name FROM (SELECT * FROM singer WHERE country = 'France') AS f WHERE f.age > 30",
    "SELECT name FROM singer WHERE id IN (SELECT id FROM singer WHERE age > 30) AND country LIKE 'France'",
]
WRONG = [
    "SELECT name FROM singer WHERE age >= 30 AND country = 'France'",
    "SELECT name FROM singer WHERE age > 30 OR country = 'France'",
    "SELECT name FROM singer WHERE age > 30 AND country = 'Spain'",
    "SELECT name, age FROM singer WHERE age > 30 AND country = 'France'",
    "SELECT * FROM singer",
    "SELECT 1",
    "SELECT count(*) FROM concert",
]
FAILING = [
    "SELECT nosuch FROM singer",
    "SELECT name FROM nosuch",
    "SELECT name FROM singer WHERE",
    "I do not know",
    "",
]
REFUSED = [
    "DELETE FROM singer",
    f"{GOLD}; DROP TABLE singer",
    "INSERT INTO singer VALUES (9, 'x', 1, 'y') RETURNING name",
    "PRAGMA user_version",
]


def build(folder: Path) -> Path:
    path = folder / "music.sqlite"
    connection = sqlite3.connect(path)
    connection.executescript(
        """
        CREATE TABLE singer(id INTEGER PRIMARY KEY, name TEXT, age INTEGER, country TEXT);
        INSERT INTO singer VALUES (1,'Ann',45,'France'),(2,'Bob',30,'France'),(3,'Cai',52,'Spain'),
                                  (4,'Dee',33,'France'),(5,'Eve',19,'France'),(6,'Fay',61,'Japan');
        CREATE TABLE concert(id INTEGER PRIMARY KEY, singer_id INTEGER REFERENCES singer(id), year INTEGER, city TEXT);
        INSERT INTO concert VALUES (1,1,2014,'Paris'),(2,1,2015,'Lyon'),(3,3,2014,'Paris'),(4,6,2020,'Tokyo');
        """
    )
    connection.close()
    return path


def rows(
    path: Path, completions: list[str], gold: str = GOLD, question: str = QUESTION, language: str = "en"
) -> dict[str, list[str]]:
    size = len(completions)
    return {
        "completion": completions,
        "question": [question] * size,
        "language": [language] * size,
        "database": [str(path)] * size,
        "gold": [gold] * size,
    }
