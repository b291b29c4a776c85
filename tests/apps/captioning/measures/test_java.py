"""METEOR through Java: a stand-in for every way in which Java can fail, and one run of the real one."""

from __future__ import annotations

import shutil
import stat
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from apps.captioning.measures.java import CannotRun, java_version, meteor, meteor_statistics, package_folder, run_java

#: What METEOR tells of "a dog runs in park" against "a dog runs in the park" and "the dog is running".
ROW = [5, 6, 2, 3, 3, 3, 2, 2, *[0] * 12, 2, 5, 5]
#: Begins a stand-in that answers every line of METEOR's protocol.
ANSWERING = f"""
import sys, time
row = {" ".join(str(float(number)) for number in ROW)!r}
for number, line in enumerate(sys.stdin):
    fields = line.rstrip("\\n").split(" ||| ")
    assert fields[0] == "SCORE" and len(fields) >= 3, fields
"""


def stand_in(folder: Path, body: str) -> Path:
    path = folder / "java"
    path.write_text(f"#!{sys.executable}\n{body}")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.fixture
def jar(tmp_path: Path) -> Path:
    folder = tmp_path / "a folder with blanks"
    folder.mkdir()
    (folder / "meteor-1.5.jar").touch()
    return folder / "meteor-1.5.jar"


def ask(java: Path, jar: Path, size: int = 3, seconds: float = 30.0) -> np.ndarray:
    texts, right = [["a", "dog"]] * size, [[["the", "dog"], ["a", "dog", "|||", "x|||y"]]] * size
    return meteor_statistics(texts, right, java, jar, seconds)


class TestStandIn:
    def test_the_separator_inside_texts_is_a_blank(self, tmp_path: Path, jar: Path) -> None:
        java = stand_in(
            tmp_path, f"{ANSWERING}    assert fields[2:] == ['a dog x y', 'a dog'], fields\n    print(row)\n"
        )
        found = ask(java, jar)
        assert found.shape == (3, 23)
        assert meteor(found[0]) == pytest.approx(0.4645695216158345, abs=1e-12)

    def test_much_noise_on_stderr_does_not_block(self, tmp_path: Path, jar: Path) -> None:
        java = stand_in(tmp_path, f"{ANSWERING}    sys.stderr.write('warning ' * 50000)\n    print(row)\n")
        assert len(ask(java, jar)) == 3

    def test_nothing_to_score_is_nothing_not_an_error(self, tmp_path: Path, jar: Path) -> None:
        assert ask(stand_in(tmp_path, ANSWERING), jar, size=0).shape == (0, 23)

    @pytest.mark.parametrize(
        ("body", "message"),
        [
            (
                "    print(row)\n    if number == 1: sys.exit('Exception: out of memory')\n",
                "ended with code 1: Exception",
            ),
            ("    print(row)\n    if number == 1: break\n", "METEOR answered 2 of 3"),
            ("    print('Error: specify SCORE or EVAL')\n", "last words"),
            ("    import os\n    os.kill(os.getpid(), 9)\n", "signal 9"),
        ],
    )
    def test_one_that_breaks_off_has_a_reason(self, body: str, message: str, tmp_path: Path, jar: Path) -> None:
        with pytest.raises(CannotRun, match=message):
            ask(stand_in(tmp_path, ANSWERING + body), jar)

    def test_one_that_hangs_is_stopped_and_leaves_no_process(self, tmp_path: Path, jar: Path) -> None:
        note = tmp_path / "pid"
        body = f"import os, time\nopen({str(note)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)\n"
        started = time.monotonic()
        with pytest.raises(CannotRun, match="did not finish in 2 seconds"):
            ask(stand_in(tmp_path, body), jar, seconds=2)
        assert time.monotonic() - started < 30
        assert not Path(f"/proc/{note.read_text()}").exists()

    def test_absent_programs_and_jars(self, tmp_path: Path, jar: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with pytest.raises(CannotRun, match="no METEOR at"):
            ask(tmp_path / "java", tmp_path / "other.jar")
        with pytest.raises(CannotRun, match="cannot be run"):
            ask(tmp_path / "java", jar)
        monkeypatch.setattr(shutil, "which", lambda name: None)
        with pytest.raises(CannotRun, match="install a runtime"):
            run_java(["-version"])

    @pytest.mark.parametrize(("said", "version"), [('java version "1.8.0_412"', 8), ('openjdk version "17.0.15"', 17)])
    def test_versions(self, said: str, version: int, tmp_path: Path) -> None:
        assert java_version(stand_in(tmp_path, f"import sys\nsys.stderr.write({said!r})\n")) == version

    def test_a_program_without_a_version(self, tmp_path: Path) -> None:
        with pytest.raises(CannotRun, match="nothing like a version"):
            java_version(stand_in(tmp_path, "print('hello')\n"))


class TestFormula:
    def test_equal_texts_score_1_and_strange_ones_0(self) -> None:
        whole = [5, 5, 3, 3, 2, 2, 3, 3, *[0] * 12, 1, 5, 5]
        nothing = [3, 2, 0, 1, *[0] * 19]
        assert meteor([whole, nothing, [0.0] * 23]) == pytest.approx([1.0, 0.0, 0.0])

    def test_a_corpus_is_scored_by_its_sums(self) -> None:
        rows = np.array([ROW, [10, 8, 4, 4, 0, 0, 1, 1, 1, 1, 0, 0, *[0] * 8, 1, 2, 2], [0, 2, 0, 1, *[0] * 19]])
        # As the jar evaluates these three lines.
        assert meteor(rows) == pytest.approx([0.4645695216158345, 0.07914053571967523, 0.0], abs=1e-12)


def test_the_wheel_brings_the_jar() -> None:
    pytest.importorskip("pycocoevalcap")
    assert (package_folder("meteor") / "meteor-1.5.jar").is_file()
    with pytest.raises(CannotRun, match="no folder 'bertscore'"):
        package_folder("bertscore")
