"""A processor's files, laid beside every model that a run saves, so that AutoProcessor finds the whole processor."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from common.errors import UsageError
from common.models.loading import without_bars
from common.training.vision.models import is_processor

#: What processors and tokenizers are read from.
NAMES = (
    "processor_config.json",
    "preprocessor_config.json",
    "video_preprocessor_config.json",
    "chat_template.jinja",
    "chat_template.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
)


class ProcessorFiles:
    """Files that AutoProcessor reads back as a certain processor.

    Where the processor came from a folder or the hub and was not changed, they are copies of its own: a processor of a
    class that transformers does not know would save that class's name, on which AutoProcessor returns a bare
    tokenizer without a word; and other programs may not read the files that this version of transformers writes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @classmethod
    def of(cls, processor: Any, folder: Path) -> ProcessorFiles:
        """Put a processor's files into `folder`, and try them; where there are several processes, the main one does.

        Raises:
            UsageError: AutoProcessor would read something else back.
        """
        from accelerate import PartialState

        state = PartialState()
        try:
            for write in (_copy, _save) if state.is_main_process else ():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(parents=True)
                if write(processor, folder) and _reads_as(folder, processor):
                    return cls(folder)
        finally:
            state.wait_for_everyone()
        if not state.is_main_process:
            return cls(folder)
        shutil.rmtree(folder, ignore_errors=True)
        raise UsageError(
            f"{type(processor).__name__}: AutoProcessor could not read this processor back from the run's folder; "
            "load the model's own processor with AutoProcessor, and change no more than its sizes and chat template"
        )

    def save_pretrained(self, folder: Path | str) -> None:
        """Lay the files into a model's folder; named as a processor's own method, in whose place it is called."""
        folder = Path(folder)
        for name in NAMES:
            if (folder / name).exists():
                (folder / name).unlink()
        shutil.copytree(self.folder, folder, dirs_exist_ok=True)


def _copy(processor: Any, folder: Path) -> bool:
    from transformers.utils.hub import cached_file

    origin = processor.tokenizer.name_or_path
    for name in NAMES if origin else ():
        quietly: dict[str, Any] = {"local_files_only": True, "_raise_exceptions_for_missing_entries": False}
        try:
            found = cached_file(origin, name, _raise_exceptions_for_connection_errors=False, **quietly)
        except OSError:
            return False
        if found is not None:
            shutil.copyfile(found, folder / name)
    return any(folder.iterdir())


def _save(processor: Any, folder: Path) -> bool:
    processor.save_pretrained(folder)
    return True


def _reads_as(folder: Path, processor: Any) -> bool:
    from transformers import AutoProcessor

    try:
        with without_bars():
            found = AutoProcessor.from_pretrained(folder)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False
    return (
        is_processor(found)
        and found.image_processor.to_dict() == processor.image_processor.to_dict()
        and found.chat_template == processor.chat_template
        and found.tokenizer.get_vocab() == processor.tokenizer.get_vocab()
    )
