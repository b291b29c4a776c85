"""The page `common/rewards/README.md`, made from the catalogue: `python -m common.rewards.catalogue.page`."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from common.files import write_text
from common.rewards.catalogue import CATALOGUE, FUNCTIONS, Entry
from common.rewards.catalogue.listing import shown
from common.rewards.catalogue.papers import PAPERS, Paper

README = Path(__file__).resolve().parents[1] / "README.md"
_ROOT = README.parents[2]
#: Of an entry that many examples use.
_EXAMPLES = 2
_HEAD = """\
# The catalogue of rewards

<!-- Written by `python -m common.rewards.catalogue.page`; a test compares it with the catalogue. -->

Every name below is reached from a config and shown in an example that runs:

```bash
python -m common.rewards list
python -m common.rewards describe token_f1
python -m common.rewards score configs/rewards/token-f1.yaml --rows rows.jsonl --out scored.jsonl
```

A reward can be learnt from preference pairs, and any reward's scores make such pairs for DPO:

```bash
python -m apps.medvqa pairs --out preferences                             # right answers against wrong ones
python -m common.rewards train --pairs preferences/pairs.jsonl            # a head on the pocket model, and its figures
python -m common.rewards pairs --scored scored.jsonl --margin 0.2 --out pairs.jsonl
```

```yaml
reward:
  name: weighted_sum
  parts:
    answer: {name: token_f1, weight: 0.8}
    form: {name: template_format, tags: [think, answer], weight: 0.2}
```

`common.rewards.build.build` makes the reward of such a block and `read` that of a file. Fields are the arguments of
the class; any mapping with a `name` is a reward (or what one is made with), so that compositions nest; `as` gives a
reward a name of its own in logs. `name: "package.module:thing"` takes a class of yours, or a function written for trl;
an unknown name or field is an error that names the nearest one. A row of an example's `values:` that is null could not
be scored: a grader's failure is never a 0.

*Inspired by* says that a paper's formula was not at hand and this one is ours. No paper's body was read in full; what
is taken from published code says so in the docstring.
"""


def page() -> str:
    """The whole page."""
    files = shown()
    kinds = {
        "leaf": "Rewards that score rows themselves",
        "composite": "Made of several rewards",
        "transform": "Made of one reward",
        "piece": "What rewards are made with",
    }
    sections = [_HEAD]
    for kind, title in kinds.items():
        entries = [entry for entry in CATALOGUE.values() if entry.kind == kind]
        sections.append(f"## {title}\n\n" + _entries(entries, files))
    sections.append("## Functions for training scripts\n\n" + _entries(FUNCTIONS.values(), files))
    sections.append(_papers())
    return "\n".join(sections)


def _entries(entries: Iterable[Entry], files: dict[str, list[str]]) -> str:
    rows = [
        (
            f"`{entry.name}`",
            entry.what,
            _link(entry.file),
            entry.paper or "ours",
            entry.differs,
            ", ".join(entry.used_by),
            " ".join(_link(file) for file in files.get(entry.name, [])[:_EXAMPLES]),
        )
        for entry in entries
    ]
    return _table(("name", "what", "file", "paper", "what differs", "used by", "example"), rows)


def _papers() -> str:
    placed = [paper for paper in PAPERS if paper.names or paper.elsewhere]
    absent = [paper for paper in PAPERS if not (paper.names or paper.elsewhere)]
    rows = [
        (
            str(paper.number),
            _title(paper),
            ", ".join(f"`{name}`" for name in paper.names),
            " ".join(map(_link, paper.elsewhere)),
            paper.why,
        )
        for paper in placed
    ]
    held = _table(("", "paper", "names", "elsewhere", ""), rows)
    out = _table(("", "paper", "why not"), [(str(paper.number), _title(paper), paper.why) for paper in absent])
    return f"## From the papers\n\n{held}\n## What has no place in a reward suite\n\n{out}"


def _title(paper: Paper) -> str:
    if "." in paper.source:
        return f"[{paper.title}](https://arxiv.org/abs/{paper.source})"
    return f"{paper.title} ({paper.source})"


def _link(file: str) -> str:
    name = file.removeprefix("common/rewards/").removeprefix("configs/rewards/")
    if file.startswith("common/rewards/"):
        return f"[{name}]({name})"
    return f"[{name}](../../{file})"


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    lines += ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write the page."""
    write_text(README, page())
    sys.stdout.write(f"{README.relative_to(_ROOT)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
