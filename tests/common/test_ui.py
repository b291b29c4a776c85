"""Terminal output: readable, never markup, quiet where nobody watches."""

from __future__ import annotations

import io
import json
import math
import socket

import pytest
from rich.console import Console

from common import ui
from common.errors import UsageError
from common.stats import Interval


def test_table_shows_cells_as_they_are(capsys):
    rows = [("[red]danger[/red]", 12, math.nan, None), ("b", 3, 0.123456, "x")]
    ui.table("[bold]Title", ("name [i]", "n", "share", "note"), rows)
    printed = capsys.readouterr()
    assert "[red]danger[/red]" in printed.out
    assert "[bold]Title" in printed.out
    assert "name [i]" in printed.out
    assert "–" in printed.out
    assert "0.1235" in printed.out
    assert printed.err == ""


def test_table_numbers_stand_on_the_right(capsys):
    ui.table("", ("count", "word"), [(1, "a"), (1000, "bb")])
    lines = capsys.readouterr().out.splitlines()
    one = next(line for line in lines if " a" in line and "1" in line and "1000" not in line)
    thousand = next(line for line in lines if "1000" in line)
    assert one.index("1") == thousand.index("1000") + 3


def test_json_is_valid_where_numbers_are_not(capsys):
    ui.print_json({"a": math.nan, "b": (1, math.inf), "c": Interval(math.nan, 0, 1, 0), "d": "日本"})
    printed = capsys.readouterr().out
    assert json.loads(printed) == {
        "a": None,
        "b": [1, None],
        "c": {"mean": None, "low": 0, "high": 1, "n": 0, "level": 0.95},
        "d": "日本",
    }
    assert "日本" in printed


def test_messages_leave_stdout_alone(capsys):
    ui.warn("[samples] disagree")
    ui.say("done")
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "warning: [samples] disagree" in printed.err
    assert "done" in printed.err


def test_progress_is_silent_without_a_terminal(capsys):
    with ui.progress("working", total=3) as bar:
        bar(1)
        bar.advance(2)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("quiet", [False, True])
def test_progress_shows_in_a_terminal_unless_quiet(monkeypatch, quiet):
    screen = io.StringIO()
    monkeypatch.setattr(ui, "console", Console(force_terminal=True, file=io.StringIO()))
    monkeypatch.setattr(ui, "messages", Console(force_terminal=True, file=screen, width=100))
    with ui.progress("reading [rows]", total=40, quiet=quiet) as bar:
        bar(10, note="loss [0.5]")
        bar.advance(7)
    shown = screen.getvalue()
    assert bool(shown) is not quiet
    if not quiet:
        assert "reading [rows]" in shown
        assert "17/40" in shown
        assert "loss [0.5]" in shown


def test_sql_is_plain_when_piped_and_coloured_in_a_terminal(capsys, monkeypatch):
    ui.sql("SELECT '[b]' FROM t")
    assert capsys.readouterr().out == "SELECT '[b]' FROM t\n"
    screen = io.StringIO()
    monkeypatch.setattr(ui, "console", Console(force_terminal=True, file=screen, color_system="standard"))
    ui.sql("SELECT 1")
    assert "\x1b[" in screen.getvalue()


def test_pages_use_no_web_font_and_no_analytics():
    pytest.importorskip("gradio")
    with ui.page("Title", "What it does.") as blocks:
        pass
    assert blocks.title == "Title"
    assert blocks.analytics_enabled is False
    assert "http" not in "".join(str(value) for value in ui.theme()._stylesheets)
    assert not ui.theme()._stylesheets


def test_a_number_that_is_no_port_is_said_readably():
    pytest.importorskip("gradio")
    with ui.page("Title", "What it does.") as blocks, pytest.raises(UsageError, match=r"port 99999999 cannot.*--port"):
        ui.launch(blocks, 99999999, prevent_thread_lock=True, quiet=True)


def test_a_taken_port_is_said_readably():
    pytest.importorskip("gradio")
    with ui.page("Title", "What it does.") as blocks, socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(UsageError, match=rf"port {port} cannot be used.*--port"):
            ui.launch(blocks, port, prevent_thread_lock=True, quiet=True)


def test_table_in_a_pipe_is_as_wide_as_it_needs(capsys):
    columns = [f"a long name {number}" for number in range(20)]
    ui.table("title", columns, [[f"cell number {number}" for number in range(20)]])
    assert len({line.count("cell number") for line in capsys.readouterr().out.splitlines()} - {0}) == 1


def test_table_keeps_words_whole_on_a_narrow_terminal(capsys, monkeypatch):
    monkeypatch.setattr(ui, "console", Console(width=60, force_terminal=True, color_system=None))
    ui.table("", ("reward", *(f"column {number}" for number in range(6))), [["exact_match", *["x"] * 6]])
    assert "exact_match" in capsys.readouterr().out
