"""The cards that lie beside pocket models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from common.stats import Interval


def card(title: str, what: str, command: str, seed: int, made: Sequence[str], told: str, table: Sequence[str]) -> str:
    """A model's README: what it is, how it was made, what it can."""
    return "\n".join(
        [
            f"# {title}",
            "",
            what,
            "",
            f"- command: `{command}` (config `configs/text3d/pocket.yaml`), seed {seed}",
            *(f"- {line}" for line in made),
            "",
            told,
            "",
            *table,
            "",
            "Figures on the pocket world are no benchmark results.",
            "",
        ]
    )


def interval_table(corner: str, rows: Mapping[str, Mapping[str, Interval]]) -> list[str]:
    """Lines of a table in %, with 95 % intervals; a dash where there was nothing to measure."""
    columns = dict.fromkeys(name for row in rows.values() for name in row)
    return [
        f"| {corner} | " + " | ".join(columns) + " |",
        "|---|" + "---|" * len(columns),
        *(
            f"| {title} | " + " | ".join(row[name].text(100, 1) if name in row else "–" for name in columns) + " |"
            for title, row in rows.items()
        ),
    ]
