"""Settings of questions and prompts. Nothing heavy is imported here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

Format = Literal["pocket", "jsonl", "spider", "multispider", "machine_spider", "bird"]
#: Data sets on disk.
FORMATS: tuple[Format, ...] = tuple(name for name in get_args(Format) if name != "pocket")


@dataclass
class DataConfig:
    """Where questions come from.

    Args:
        format: `pocket` (made by code), `jsonl` (ours, see `prepare`), or a public data set's own files.
        path: file or folder; not used by `pocket`.
        databases: folder of the databases, where that is not inside `path`.
        split: name of the split; the format's own first choice where empty (pocket: `train`, others: `dev`).
        languages: language codes to keep; all where empty.
        variant: `multispider` only: values in the question stay English, or are localised.
        limit: examples to keep, all languages together; translations of a question stay together. 0 keeps all.
        seed: which questions: `pocket` asks others for each seed; else a limit keeps the first ones for 0, or a draw.
    """

    format: Format = "pocket"
    path: str = ""
    databases: str = ""
    split: str = ""
    languages: list[str] = field(default_factory=list)
    variant: Literal["with_English_value", "with_original_value"] = "with_English_value"
    limit: int = 0
    seed: int = 0


@dataclass
class PromptConfig:
    """What the model is shown.

    Args:
        style: `pocket` (schema lines and the question) or `reasoning` (instructions, hints; asks for thoughts first).
        schema: `reasoning` only: how the schema is written.
        values: `reasoning` only: example values shown for each column.
        hits: `reasoning` only: database values that match words of the question, at most.
    """

    style: Literal["pocket", "reasoning"] = "pocket"
    schema: Literal["ddl", "mschema", "compact"] = "ddl"
    values: int = 2
    hits: int = 8
