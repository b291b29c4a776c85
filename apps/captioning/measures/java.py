"""METEOR 1.5 and other Java programs, run so that nothing hangs, nothing is left behind and every failure has words.

A program reads a file and writes files: no pipe can fill up, whatever it says on stderr, and there is nothing to
answer in turns. It is killed after its time, and on any error here; files lie in a temporary folder, never beside the
program.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from common.errors import TouchstoneError
from common.rewards.text.ngrams import Tokens

#: METEOR's parameters for English, task `rank` (Denkowski & Lavie 2014): recall's share, the penalty's exponent and
#: weight, content words' share, and the worth of an exact, a stem, a synonym and a paraphrase match.
ALPHA, BETA, GAMMA, DELTA = 0.85, 0.2, 0.6, 0.75
MATCHES = np.array([1.0, 0.6, 0.8, 0.6])
#: Numbers that METEOR tells of each caption: four lengths, four for each kind of match, chunks, two counts of matches.
STATISTICS = 4 + 4 * 4 + 3


class CannotRun(TouchstoneError):
    """A metric cannot be computed here; the message says why and what would help."""


def run_java(
    arguments: Sequence[str | Path], stdin: str = "", java: str | Path | None = None, seconds: float = 600.0
) -> str:
    """Run a Java program and return what it wrote to stdout.

    Args:
        arguments: of `java`.
        stdin: what the program reads.
        java: the executable; None looks for `java` in the search path.
        seconds: time after which it is killed.

    Raises:
        CannotRun: Java is absent, the program failed or took too long.
    """
    command = [str(java or _find_java()), *map(str, arguments)]
    with tempfile.TemporaryDirectory(prefix="touchstone-java-") as folder:
        paths = [Path(folder) / name for name in ("in", "out", "err")]
        paths[0].write_text(stdin, encoding="utf-8")
        with paths[0].open("rb") as source, paths[1].open("wb") as output, paths[2].open("wb") as errors:
            try:
                code = subprocess.run(
                    command, stdin=source, stdout=output, stderr=errors, timeout=seconds, cwd=folder, check=False
                ).returncode
            except subprocess.TimeoutExpired as error:
                raise CannotRun(f"Java did not finish in {seconds:g} seconds and was stopped") from error
            except OSError as error:
                raise CannotRun(f"{command[0]} cannot be run: {error.strerror or error}") from error
        if code != 0:
            said = paths[2].read_text(encoding="utf-8", errors="replace").strip().splitlines()
            how = f"was ended by signal {-code}" if code < 0 else f"ended with code {code}"
            raise CannotRun(f"Java {how}{': ' if said else ''}{' | '.join(said[-3:])[-500:]}")
        return paths[1].read_text(encoding="utf-8", errors="replace")


def java_version(java: str | Path | None = None) -> int:
    """Java's major version: 8, 11, 17, ….

    Raises:
        CannotRun: there is no Java, or it says nothing that looks like a version.
    """
    command = [str(java or _find_java()), "-version"]
    try:
        said = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=60,
            check=False,
        ).stdout.decode("utf-8", "replace")
    except (OSError, subprocess.TimeoutExpired) as error:
        raise CannotRun(f"{command[0]} cannot be run: {error}") from error
    found = re.search(r'version "(?:1\.)?(\d+)', said)
    if found is None:
        raise CannotRun(f"{command[0]} -version says nothing like a version: {said.strip()[:200]!r}")
    return int(found[1])


def package_folder(name: str) -> Path:
    """Folder of one part of the installed pycocoevalcap, which carries the jars.

    Raises:
        CannotRun: it is not installed.
    """
    if importlib.util.find_spec("pycocoevalcap") is None:
        raise CannotRun(
            "the jars come with the package 'pycocoevalcap', which is not installed; "
            "pip install 'touchstone-rl[captioning]'"
        )
    spec = importlib.util.find_spec(f"pycocoevalcap.{name}")
    places = list(spec.submodule_search_locations or ()) if spec is not None else []
    if not places:
        raise CannotRun(f"the installed pycocoevalcap has no folder {name!r}; install version 1.2 or later")
    return Path(places[0])


def meteor_statistics(
    candidates: Sequence[Tokens],
    references: Sequence[Sequence[Tokens]],
    java: str | Path | None = None,
    jar: str | Path | None = None,
    seconds: float = 600.0,
) -> NDArray[Any]:
    """What METEOR's aligner finds in each caption against the reference that suits it best.

    Args:
        candidates: `(N,)` tokens of one caption a picture.
        references: `(N,)` tokens of one or more references of each.
        java: the executable; None looks in the search path.
        jar: `meteor-1.5.jar`; None takes pycocoevalcap's.
        seconds: time limit for all of them.

    Returns:
        `(N, 23)`, to be summed over a corpus and given to `meteor`.

    Raises:
        CannotRun: no Java, no jar, or METEOR broke off.
    """
    jar = Path(jar) if jar is not None else package_folder("meteor") / "meteor-1.5.jar"
    if not jar.is_file():
        raise CannotRun(f"there is no METEOR at {jar}")
    lines = [
        " ||| ".join(["SCORE", *(_plain(one) for one in right), _plain(text)])
        for text, right in zip(candidates, references, strict=True)
    ]
    arguments: list[str | Path] = [
        "-Xmx2G",
        "-Dfile.encoding=UTF-8",
        "-jar",
        jar.resolve(),
        "-",
        "-",
        "-stdio",
        "-l",
        "en",
        "-norm",
    ]
    answers = run_java(arguments, "".join(f"{line}\n" for line in lines), java, seconds).splitlines()
    rows = [_numbers(line) for line in answers]
    if len(rows) != len(lines) or any(len(row) != STATISTICS for row in rows):
        raise CannotRun(f"METEOR answered {len(rows)} of {len(lines)} captions; its last words: {answers[-1:]}")
    return np.array(rows).reshape(-1, STATISTICS)


def meteor(statistics: ArrayLike) -> NDArray[Any]:
    r"""METEOR from (sums of) `meteor_statistics` (Denkowski & Lavie 2014, section 2).

    With precision P and recall R of words weighed by kind of match and by content or function word:

    .. math:: \left(1 - \gamma \left(\frac{chunks}{matches}\right)^\beta\right) \frac{P R}{\alpha P + (1 - \alpha) R}

    Args:
        statistics: `(..., 23)`.

    Returns:
        `(...,)` in [0, 1], higher is better. A corpus' value comes from its sums; it is not the mean over pictures.
    """
    data = np.asarray(statistics, float)
    lengths, kinds = data[..., :4], data[..., 4:20].reshape(*data.shape[:-1], 4, 4)
    chunks, matched = data[..., 20], data[..., 21:23]
    # Columns of `kinds`: content words of the caption, of the reference, function words of either.
    worth = (kinds * MATCHES[:, None]).sum(-2)
    found = DELTA * worth[..., :2] + (1 - DELTA) * worth[..., 2:]
    whole = DELTA * (lengths[..., :2] - lengths[..., 2:]) + (1 - DELTA) * lengths[..., 2:]
    shares = np.divide(found, whole, out=np.zeros_like(found), where=whole > 0)
    precision, recall = shares[..., 0], shares[..., 1]
    below = ALPHA * precision + (1 - ALPHA) * recall
    mean = np.divide(precision * recall, below, out=np.zeros_like(below), where=below > 0)
    matches = matched.mean(-1)
    broken = np.divide(chunks, matches, out=np.zeros_like(matches), where=matches > 0)
    # One piece that covers both texts is unbroken, though it is a chunk.
    whole_text = (chunks == 1) & (matched == lengths[..., :2]).all(-1)
    result: NDArray[Any] = mean * (1 - GAMMA * np.where(whole_text, 0.0, broken) ** BETA)
    return result


def _find_java() -> str:
    found = shutil.which("java")
    if found is None:
        raise CannotRun("there is no Java in the search path; install a runtime, such as openjdk-17-jre-headless")
    return found


def _plain(tokens: Tokens) -> str:
    """One line without the sign that parts METEOR's fields."""
    return " ".join(" ".join(tokens).replace("|", " ").split())


def _numbers(line: str) -> list[float]:
    try:
        return [float(number) for number in line.split()]
    except ValueError:
        return []
