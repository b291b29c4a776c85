"""`demo` of the suite without a browser: what is missing becomes a tab that says so, and a taken port is said."""

from __future__ import annotations

import socket

import pytest

pytest.importorskip("gradio")

from apps import demo
from apps.__main__ import main
from apps.suite import Status
from common.errors import UsageError


def test_missing_packages_are_a_tab_that_says_what_to_install(monkeypatch):
    monkeypatch.setattr(demo, "status", lambda name: Status(("pint>=0.24",), {}))
    tab = demo.open_tab("medvqa")
    assert tab.blocks is None
    assert "pint>=0.24 is missing; pip install 'touchstone-rl[medvqa]'" in tab.trouble
    page = demo.front_page({"medvqa": (tab.title, tab.trouble)})
    assert "pint&gt;=0.24 is missing" in page
    assert "<iframe" not in page


def test_a_page_that_cannot_be_made_loses_no_other(monkeypatch):
    import apps.driving.demo

    def broken(config):
        raise UsageError("there is no model in assets/driving/policy")

    monkeypatch.setattr(apps.driving.demo, "build_demo", broken)
    assert demo.open_tab("driving").trouble == "there is no model in assets/driving/policy"


def test_titles_are_text():
    page = demo.front_page({"medvqa": ("<script>alert(1)</script>", "")})
    assert "<script>alert" not in page


def test_a_taken_port_and_an_unknown_app_are_wrong_usage(monkeypatch, capsys):
    monkeypatch.setattr(demo, "open_tab", lambda name: demo.Tab(name, trouble="absent"))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        assert main(["demo", "--port", str(taken.getsockname()[1])]) == 2
    assert "--port" in capsys.readouterr().err
    assert main(["demo", "--apps", "text2sq"]) == 2
    assert "did you mean 'text2sql'" in capsys.readouterr().err
