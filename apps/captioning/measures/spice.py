"""SPICE (Anderson et al. 2016), run where the user has put Stanford's parser: nothing is downloaded here."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from apps.captioning.measures.java import CannotRun, java_version, package_folder, run_java

#: Stanford's parser and its models; pycocoevalcap's wheel has neither.
JARS = ("stanford-corenlp-3.6.0.jar", "stanford-corenlp-3.6.0-models.jar")
HOW = (
    f"SPICE needs {JARS[0]} and {JARS[1]} (385 MB): take them from "
    "http://nlp.stanford.edu/software/stanford-corenlp-full-2015-12-09.zip and give their folder"
)
#: Packages that SPICE's serialiser looks into; Java 16 and later keep them closed.
_OPENED = (
    "java.lang",
    "java.lang.reflect",
    "java.math",
    "java.net",
    "java.nio",
    "java.text",
    "java.util",
    "sun.nio.ch",
)


def find_jars(folder: str | Path | None = None) -> list[Path]:
    """SPICE, the libraries of pycocoevalcap's wheel, and Stanford's jars.

    Args:
        folder: of Stanford's jars; None looks in the wheel's `spice/lib`.

    Raises:
        CannotRun: a jar is absent; says which, and how to get it.
    """
    spice = package_folder("spice")
    where = Path(folder) if folder is not None else spice / "lib"
    stanford = [where / name for name in JARS]
    absent = [path.name for path in stanford if not path.is_file()]
    if absent:
        raise CannotRun(f"{where} has no {' and no '.join(absent)}. {HOW}")
    own = [spice / "spice-1.0.jar", *sorted((spice / "lib").glob("*.jar"))]
    return [*(path for path in own if path.name not in JARS), *stanford]


def spice_command(jars: Sequence[Path], source: Path, target: Path, cache: Path, version: int) -> list[str]:
    """Arguments of `java`; later versions are told to open what SPICE's libraries look into."""
    opened = [f"--add-opens=java.base/{name}=ALL-UNNAMED" for name in _OPENED] if version >= 16 else []
    path = os.pathsep.join(str(jar.resolve()) for jar in jars)
    options = ["-cache", str(cache), "-out", str(target), "-subset", "-silent"]
    return [
        "-Xmx8G",
        "-Dfile.encoding=UTF-8",
        *opened,
        "-cp",
        path,
        "edu.anu.spice.SpiceScorer",
        str(source),
        *options,
    ]


def spice(
    captions: Sequence[str],
    references: Sequence[Sequence[str]],
    folder: str | Path | None = None,
    java: str | Path | None = None,
    seconds: float = 3600.0,
) -> list[float]:
    """F-score of the facts (objects, attributes, relations) that a caption shares with its references.

    Range [0, 1], higher is better. NaN where SPICE finds no fact in either.

    Args:
        captions: `(N,)`.
        references: `(N,)` one or more of each.
        folder: of Stanford's jars; see `find_jars`.
        java: the executable; None looks in the search path.
        seconds: time limit for all of them.

    Raises:
        CannotRun: no Java, no jars, or SPICE broke off.
    """
    jars = find_jars(folder)
    rows = [
        {"image_id": row, "test": text, "refs": list(right)}
        for row, (text, right) in enumerate(zip(captions, references, strict=True))
    ]
    # A cache of its own: SPICE's cannot be shared by two runs.
    with tempfile.TemporaryDirectory(prefix="touchstone-spice-") as temporary:
        source, target, cache = (Path(temporary) / name for name in ("in.json", "out.json", "cache"))
        cache.mkdir()
        source.write_text(json.dumps(rows), encoding="utf-8")
        run_java(spice_command(jars, source, target, cache, java_version(java)), java=java, seconds=seconds)
        try:
            found = {row["image_id"]: _number(row["scores"]["All"]["f"]) for row in json.loads(target.read_bytes())}
            return [found[row] for row in range(len(rows))]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CannotRun(f"SPICE left no readable result ({error!r})") from error


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan
