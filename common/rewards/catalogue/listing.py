"""The verbs `list` and `describe`: the catalogue on the command line."""

from __future__ import annotations

import inspect
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from common.config import nearest
from common.errors import UsageError
from common.rewards.catalogue import CATALOGUE, FUNCTIONS, Entry

#: Where the examples lie.
EXAMPLES = Path(__file__).resolve().parents[3] / "configs" / "rewards"


def run_list(kind: str | None = None, json_output: bool = False) -> int:
    """Print the catalogue, or one kind of it; imports no reward."""
    from common import ui

    entries = [entry for entry in {**CATALOGUE, **FUNCTIONS}.values() if kind in (None, entry.kind)]
    if json_output:
        ui.print_json([{**asdict(entry), "file": entry.file} for entry in entries])
        return 0
    rows = [[entry.name, entry.kind, entry.what, entry.paper, ", ".join(entry.used_by)] for entry in entries]
    caption = "python -m common.rewards describe NAME"
    ui.table(f"{len(entries)} names", ("name", "kind", "what", "paper", "used by"), rows, caption)
    return 0


def run_describe(entry: str, json_output: bool = False) -> int:
    """Print an entry, its documentation, its fields and the files that show it.

    Raises:
        UsageError: there is none of that name.
    """
    from common import ui

    known = {**CATALOGUE, **FUNCTIONS}
    if entry not in known:
        raise UsageError(f"there is no reward {entry!r}{nearest(entry, list(known))}")
    found = known[entry]
    if json_output:
        ui.print_json({**asdict(found), "file": found.file, "text": documentation(found), "examples": shown_in(entry)})
        return 0
    head = [f"{found.name}  ({found.kind}, {found.file})", f"  paper:   {found.paper or 'ours'}"]
    head += [f"  differs: {found.differs}"] if found.differs else []
    head += [f"  used by: {', '.join(found.used_by)}"] if found.used_by else []
    head += [f"  example: {file}" for file in shown_in(entry)]
    sys.stdout.write("\n".join([*head, "", documentation(found)]) + "\n")
    return 0


def documentation(entry: Entry) -> str:
    """Signature and docstring of what an entry names; imports its module.

    Raises:
        MissingDependency: a package that it needs is not installed.
    """
    from common.rewards.build import imported

    target: Any = imported(f"{entry.module}:{entry.attribute}", entry.name)
    fields = [str(one) for one in inspect.signature(target).parameters.values()]
    inner = "".join(f"  {field},\n" for field in fields)
    return f"{entry.attribute}(\n{inner})\n\n{inspect.getdoc(target)}"


def shown_in(name: str) -> list[str]:
    """Files of `configs/rewards` in which an entry's name stands as a `name:`."""
    return shown().get(name, [])


def shown() -> dict[str, list[str]]:
    """The same for every name that stands in a file; files that show little else come first."""
    import yaml

    contents = {file.name: yaml.safe_load(file.read_text(encoding="utf-8")) for file in EXAMPLES.glob("*.yaml")}
    names = {file: names_in(content.get("reward")) for file, content in contents.items()}
    found: dict[str, list[str]] = {}
    for file in sorted(names, key=lambda file: (len(names[file]), file)):
        for name in names[file]:
            found.setdefault(name, []).append(f"configs/rewards/{file}")
    return found


def names_in(spec: Any) -> set[str]:
    """Every `name:` of a spec, nested ones included."""
    if isinstance(spec, dict):
        own = {spec["name"]} if isinstance(spec.get("name"), str) else set()
        return own.union(*map(names_in, spec.values()))
    if isinstance(spec, list):
        return set().union(*map(names_in, spec))
    return set()
