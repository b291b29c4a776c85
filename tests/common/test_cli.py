import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from common.cli import JSON, TRAIN, App, Flag, Verb
from common.errors import DataError, TouchstoneError

ROOT = Path(__file__).resolve().parents[2]


@dataclass
class Settings:
    """Settings of the test.

    Args:
        seed: seed of everything.
    """

    seed: int = 0


def run_echo(config: Settings, word: str, times: int) -> int:
    if word == "bad input":
        raise DataError("no such row", path="rows.jsonl", line=3)
    if word == "failed run":
        raise TouchstoneError("the run failed")
    if word == "interrupt":
        raise KeyboardInterrupt
    Path(word).write_text(f"{config.seed} {times}")
    return 0


@pytest.fixture
def app(tmp_path):
    default = tmp_path / "pocket.yaml"
    default.write_text("seed: 5\n")
    flags = (Flag("word", "what to say"), Flag("--times", "how often", {"type": int, "default": 1}))
    verb = Verb("echo", "says a word", f"{__name__}:run_echo", flags, ("python -m app echo hello",))
    return App("app", "Says words.", Settings, default, (verb,))


def test_flags_settings_and_the_default_file_reach_the_verb(app, tmp_path):
    target = tmp_path / "said"
    assert app.main(["echo", str(target), "--times", "3"]) == 0
    assert target.read_text() == "5 3"
    assert app.main(["echo", "--seed", "7", str(target)]) == 0
    assert target.read_text() == "7 1"


def run_plain(word: str, json_output: bool) -> int:
    return len(word) if json_output else 0


def test_a_command_line_without_settings_has_no_config_file(capsys):
    flags = (Flag("word", "what to say"), JSON)
    app = App("tool", "A tool.", None, None, (Verb("echo", "says a word", f"{__name__}:run_plain", flags),))
    assert app.main(["echo", "five!", "--json"]) == 5
    assert app.main(["echo", "five!", "--config", "x.yaml"]) == 2
    assert "unknown option --config" in capsys.readouterr().err
    assert app.main(["echo", "--help"]) == 0
    assert app.main(["--help"]) == 0
    assert "--config" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["ecko"], 2, "unknown verb 'ecko'; did you mean 'echo'?"),
        (["echo", "x", "--tims", "3"], 2, "unknown option --tims; did you mean '--times'?"),
        (["echo", "bad input"], 2, "rows.jsonl:3: no such row"),
        (["echo", "failed run"], 1, "the run failed"),
        (["echo", "interrupt"], 130, "interrupted"),
        (["echo", "/dev/null/x"], 1, "/dev/null/x: Not a directory"),
        (["echo"], 2, "word"),
        (["echo", "x", "--config", "absent.yaml"], 2, "absent.yaml"),
    ],
)
def test_expected_errors_are_one_line_and_an_exit_code(app, capsys, arguments, code, message):
    assert app.main(arguments) == code
    printed = capsys.readouterr().err
    assert message in printed
    assert "Traceback" not in printed


def test_a_package_that_is_absent_is_named_with_the_extra_that_brings_it(app, capsys, monkeypatch):
    def absent(name):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    def run(config, word, times):
        absent(word)

    monkeypatch.setattr(sys.modules[__name__], "run_echo", run)
    assert app.main(["echo", "cv2.aruco"]) == 2
    assert "'opencv-python-headless'; install it with: pip install 'touchstone-rl[app]'" in capsys.readouterr().err
    with pytest.raises(ModuleNotFoundError, match=r"apps\.nothing"):
        app.main(["echo", "apps.nothing"])


def test_help_teaches(app, capsys):
    assert app.main([]) == 2
    assert app.main(["--help"]) == 0
    assert "echo  says a word" in capsys.readouterr().out
    assert app.main(["echo", "--help"]) == 0
    page = capsys.readouterr().out
    for expected in ("seed of everything", "how often", "python -m app echo hello"):
        assert expected in page


def test_a_reader_that_closes_the_pipe_is_no_error():
    command = [sys.executable, "-m", "apps.text2sql", "train", "--help"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def test_the_applications_help_imports_nothing_heavy():
    import subprocess
    import sys

    code = (
        "import sys; from apps.text2sql.__main__ import APP; APP.main(['train', '--help']); APP.main(['--help']);"
        "heavy = {'torch', 'transformers', 'trl', 'gradio', 'duckdb', 'sqlglot', 'matplotlib', 'datasets'};"
        "sys.exit(', '.join(sorted(heavy & set(sys.modules))) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr


def test_settings_beside_the_run_to_go_on_with_are_refused_not_passed_over(tmp_path, capsys, monkeypatch):
    seen = []
    monkeypatch.setattr(sys.modules[__name__], "run_echo", lambda config, resume, **_: seen.append(resume))
    default = tmp_path / "pocket.yaml"
    default.write_text("seed: 5\n")
    app = App("app", "Says words.", Settings, default, (Verb("train", "trains", f"{__name__}:run_echo", TRAIN),))
    assert app.main(["train", "--resume", "runs/x", "--seed", "7"]) == 2
    assert "leave out --seed=7" in capsys.readouterr().err
    for arguments in (["--resume", "runs/x", "--json"], ["--seed", "7"]):
        assert app.main(["train", *arguments]) == 0
    assert seen == ["runs/x", None]


def test_a_verb_can_ask_what_was_typed(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(sys.modules[__name__], "run_echo", lambda config, word, given: seen.append(given))
    default = tmp_path / "pocket.yaml"
    default.write_text("seed: 5\n")
    verb = Verb("echo", "says a word", f"{__name__}:run_echo", (Flag("word", "what to say"),), explicit=True)
    app = App("app", "Says words.", Settings, default, (verb,))
    # Neither the default file nor the verb's own options are settings that somebody typed.
    for arguments in (["hello"], ["hello", "--seed", "5"], [f"--config={default}", "hello", "--seed=7"]):
        assert app.main(["echo", *arguments]) == 0
    assert seen == [[], ["--seed=5"], [f"--config={default}", "--seed=7"]]
