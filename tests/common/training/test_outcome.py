"""The end of a run: what is printed and what its report holds."""

from __future__ import annotations

import json
from typing import Any

import pytest

from common.files import write_jsonl
from common.report import Change, Report
from common.stats import bootstrap
from common.training import outcome


def test_as_json(new_run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    run = new_run()
    run.alarm("flat", "grpo", 3, "nothing to learn")
    value = bootstrap([0.0, 1.0])
    outcome.print_json(run, outcome.plain([Change("  seen", value, value)]), p=0.5)
    found = json.loads(capsys.readouterr().out)
    assert [*found] == ["run", "changes", "p", "alarms", "report"]
    assert found["changes"] == {"seen": {"before": value.to_dict(), "after": value.to_dict(), "difference": None}}
    assert [alarm["message"] for alarm in found["alarms"]] == ["nothing to learn"]
    assert found["report"] == str(run.folder / "report.html")


def test_in_the_terminal(new_run: Any, capsys: pytest.CaptureFixture[str]) -> None:
    run = new_run()
    run.alarm("flat", "grpo", 3, "nothing to learn")
    outcome.print_places(run)
    said = "".join("".join(capsys.readouterr()).split())
    assert "grpostep3:nothingtolearn" in said
    assert f"report:{run.folder / 'report.html'}" in said


def test_the_report_ends_with_the_last_samples_and_the_settings(new_run: Any) -> None:
    run = new_run()
    for step in (1, 2):
        write_jsonl(run.samples / f"grpo-{step:06d}.jsonl", [{"said": f"at step {step}, {row}"} for row in range(30)])
    page = outcome.finish(Report("Run"), run, "grpo", "What was said last").read_text(encoding="utf-8")
    assert "What was said last" in page
    assert "at step 2, 11" in page
    assert "at step 2, 12" not in page
    assert "at step 1, 0" not in page
    assert page.index("What was said last") < page.index("Settings")


def test_curves_of_what_was_logged(new_run: Any) -> None:
    run = new_run()
    for step in range(3):
        run.log(step, "sft", loss=1.0, reward=None)
    report = Report("Run")
    outcome.add_curves(report, run, "sft", "By example", {"loss": "the loss", "reward": "the reward"})
    outcome.add_curves(report, run, "grpo", "By reward", {"reward": "the reward"})
    page = report.save(run.folder / "report.html").read_text(encoding="utf-8")
    assert "By example" in page
    assert "By reward" not in page


def test_samples_come_from_everywhere() -> None:
    rows = [{"row": row} for row in range(30)]
    assert [row["row"] for row in outcome.spread_out(rows)] == [*range(0, 24, 2)]
    assert outcome.spread_out(rows[:5]) == rows[:5]
    assert outcome.spread_out([]) == []
