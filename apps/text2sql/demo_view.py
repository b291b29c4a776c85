"""What the demo shows, as HTML in which every text that a user, a model or a database wrote is escaped."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from apps.text2sql.ask import cell, row_note
from apps.text2sql.assistant import Answer
from common.demo import escape, notice, sentence

if TYPE_CHECKING:
    from apps.text2sql.execution.database import Execution, Schema

CSS = """
.html-container { padding: 0 !important; }
#examples table td { text-align: left; padding-top: 0.3rem; padding-bottom: 0.3rem; }
#examples td:first-child { color: var(--body-text-color-subdued); white-space: nowrap; width: 1%; }
#examples .table-wrap { border: 0; }
#sql .cm-content, #edited .cm-content, #reference .cm-content { font-size: 0.95rem; }
.schema { display: grid; gap: 0.5rem; max-height: 26rem; overflow-y: auto; font-size: 0.88rem; }
.schema section { border: 1px solid var(--border-color-primary); border-radius: 8px; padding: 0.45rem 0.7rem; }
.schema h4 { margin: 0 0 0.2rem; font-size: 0.92rem; font-family: var(--font-mono); }
.schema ul { list-style: none; margin: 0; padding: 0; columns: 2; column-gap: 1rem; }
.schema li { break-inside: avoid; font-family: var(--font-mono); font-size: 0.82rem; overflow-wrap: anywhere;
  margin: 0; }
.schema .kind { color: var(--body-text-color-subdued); font-size: 0.74rem; }
.schema .mark { color: var(--color-accent); font-weight: 600; }
.notice details { margin-top: 0.4rem; } .notice li { margin: 0.15rem 0; }
.notice code { font-family: var(--font-mono); font-size: 0.84rem; overflow-wrap: anywhere; }
.parts { width: 100%; border-collapse: collapse; font-size: 0.92rem; font-variant-numeric: tabular-nums; }
.parts, .parts tr, .parts tbody, .parts th, .parts td { border: 0 !important; background: none !important; }
.parts th, .parts td { padding: 0.35rem 0.6rem !important; text-align: left; }
.parts th { font-weight: 500; white-space: nowrap; width: 1%; }
.parts .value { text-align: right; width: 4rem; }
.parts tr.total > * { border-bottom: 1px solid var(--border-color-primary) !important; font-weight: 650; }
.parts .track { background: var(--border-color-primary); border-radius: 4px; height: 0.85rem; min-width: 6rem; }
.parts .bar { background: var(--color-accent); border-radius: 4px; height: 100%; }
.parts .bar.negative { background: #d1495b; }
"""

# Verdict -> colour of the notice, title, and what it means.
VERDICTS = {
    "correct": ("good", "Correct", "Both queries return the same result."),
    "correct_empty": ("caution", "Both results are empty", "They agree, but prove nothing, so there is no reward."),
    "wrong": ("bad", "Wrong", "The query runs, but returns another result."),
    "invalid": ("bad", "Not a query", "The text is not one SQL query."),
    "rejected": ("bad", "Refused", "Only reading is allowed."),
    "pred_error": ("bad", "Does not run", "The database refuses the query."),
    "gold_error": ("caution", "The reference does not run", "Nothing can be compared, so there is no reward."),
    "timeout": ("bad", "Too slow", "The query was stopped at the time limit."),
    "limit": ("bad", "Too large", "The query was stopped at a limit of rows, bytes or memory."),
    "ambiguous": ("caution", "Undecided", "The reference allows more than one result, so there is no reward."),
}


def schema_html(schema: Schema) -> str:
    """Tables with their columns, types, primary keys and where foreign keys lead."""
    keys = {(key.table.lower(), key.column.lower()): key for key in schema.foreign_keys}
    sections = []
    for table in schema.tables:
        items = []
        for column in table.columns:
            key = keys.get((table.name.lower(), column.name.lower()))
            marks = ' <span class="mark" title="primary key">PK</span>' if column.primary_key else ""
            if key is not None:
                target = f"{key.ref_table}.{key.ref_column}" if key.ref_column else key.ref_table
                marks += f' <span class="mark" title="foreign key">→ {escape(target)}</span>'
            kind = f' <span class="kind">{escape(column.type.lower())}</span>' if column.type else ""
            items.append(f"<li>{escape(column.name)}{kind}{marks}</li>")
        sections.append(f"<section><h4>{escape(table.name)}</h4><ul>{''.join(items)}</ul></section>")
    return f'<div class="schema" tabindex="0">{"".join(sections)}</div>'


def agreement_html(answer: Answer) -> str:
    """Whether the samples agree, and the other queries where they do not."""
    best = answer.best
    if best is None:
        said = f"It said: {answer.completion[:300]}" if answer.completion else ""
        return notice("bad", "The model wrote no query.", said)
    if not best.execution.ok:
        return notice("bad", "The query does not run.", best.execution.reason)
    if answer.agrees:
        text = f"All {answer.samples} samples return this result." if answer.samples > 1 else "One sample was drawn."
        return notice("good" if answer.samples > 1 else "", text)
    others = "".join(
        f"<li>{other.votes} × <code>{escape(other.sql)}</code>{'' if other.execution.ok else ' (does not run)'}</li>"
        for other in answer.candidates[1:]
    )
    more = f"<details><summary>The other queries</summary><ul>{others}</ul></details>" if others else ""
    return notice("caution", "Be careful:", f"{answer.warning}.", more)


def verdict_html(verdict: str, reason: str) -> str:
    """A verdict in words, with its reason."""
    kind, title, meaning = VERDICTS[verdict]
    return notice(kind, f"{title}.", f"{meaning} {sentence(reason)}".strip())


def parts_html(value: float, parts: Mapping[str, float], bounds: tuple[float, float]) -> str:
    """The reward and its parts as labelled bars; a part that was not asked, or could not say, is a dash."""
    rows = [_bar("reward", value, max(abs(bounds[0]), abs(bounds[1])), "total")]
    rows += [_bar(name.replace("_", " "), part, 1.0, "") for name, part in parts.items()]
    head = "<caption class='sr-only'>The reward and its parts</caption>"
    return f'<table class="parts">{head}<tbody>{"".join(rows)}</tbody></table>'


def grid(execution: Execution) -> dict[str, Any]:
    """A result as gradio's table takes it."""
    return {"headers": list(execution.columns), "data": [[cell(value) for value in row] for row in execution.rows]}


def result_label(execution: Execution) -> str:
    """`Result: 3 rows in 2 ms`."""
    milliseconds = execution.seconds * 1000
    return f"Result: {row_note(execution)} in {f'{milliseconds:.0f}' if milliseconds >= 1 else 'less than 1'} ms"


def _bar(name: str, value: float, span: float, kind: str) -> str:
    known = not math.isnan(value)
    share = min(1.0, abs(value) / max(span, abs(value), 1e-9)) if known else 0.0
    sign = " negative" if known and value < 0 else ""
    bar = f'<div class="track"><div class="bar{sign}" style="width:{share:.1%}"></div></div>'
    number = f"{value:.3f}" if known else "–"
    return f'<tr class="{kind}"><th scope="row">{escape(name)}</th><td class="value">{number}</td><td>{bar}</td></tr>'
