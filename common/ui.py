"""The shared look: tables, progress and messages in the terminal, and the pages of the browser demos.

Tables and JSON go to stdout, everything else to stderr, so that a command's output can be piped.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    import gradio
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

console = Console(highlight=False)
messages = Console(stderr=True, highlight=False)

# Longer words at the head of a row are broken where the terminal is narrow.
LONGEST_WORD = 16
NO_EDGE = 10_000


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], caption: str = "") -> None:
    """Print a table; numbers stand on the right, None and NaN are a dash, and no cell is read as markup."""
    cells = [[_cell(value) for value in row] for row in rows]
    numeric = [bool(cells) and all(row[column][1] for row in cells) for column in range(len(columns))]
    grid = Table(
        title=Text(title) if title else None, title_justify="left", caption=Text(caption) if caption else None
    )
    for name, number in zip(columns, numeric, strict=True):
        grid.add_column(Text(name), justify="right" if number else "left", overflow="fold")
    for row in cells:
        grid.add_row(*(Text(text, style="dim" if text == "–" else "") for text, _ in row))
    if cells and columns:
        # What a row is about is read first: its words stay whole.
        longest = max(len(word) for row in cells for word in ["", *row[0][0].split()])
        grid.columns[0].min_width = min(longest, LONGEST_WORD)
    if console.is_terminal:
        console.print(grid)
    else:
        # A file or a pipe has no edge to wrap at.
        unbounded = Console(width=NO_EDGE, highlight=False)
        Console(width=max(console.width, unbounded.measure(grid).maximum), highlight=False).print(grid)


def sql(query: str) -> None:
    """Print a query, highlighted where the terminal has colours and as it is where not."""
    if not console.is_terminal:
        sys.stdout.write(query + "\n")
        return
    from rich.syntax import Syntax

    console.print(Syntax(query, "sql", theme="ansi_dark", background_color="default", word_wrap=True))


def say(message: str) -> None:
    """A remark for the person at the terminal; lines are left as they are, so that a path in them can be copied."""
    messages.print(Text(message), soft_wrap=True)


def warn(message: str) -> None:
    """Something the person at the terminal should not miss."""
    messages.print(Text.assemble(("warning: ", "bold yellow"), message), soft_wrap=True)


def print_json(value: Any) -> None:
    """Print JSON; NaN and infinities become null, because no other JSON reader accepts them."""
    sys.stdout.write(json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False) + "\n")


class Bar:
    """What `progress` hands out. Call it with the steps done so far, or `advance` it by some more."""

    def __init__(self, progress: RichProgress | None, task: TaskID | None) -> None:
        self._progress = progress
        self._task = task

    def __call__(self, completed: float, note: str = "") -> None:
        """Set how much is done, and a short note beside it."""
        if self._progress is not None and self._task is not None:
            self._progress.update(self._task, completed=completed, note=note)

    def advance(self, steps: float = 1) -> None:
        """Some more is done."""
        if self._progress is not None and self._task is not None:
            self._progress.advance(self._task, steps)


@contextmanager
def progress(description: str, total: float | None = None, quiet: bool = False) -> Iterator[Bar]:
    """A progress bar on stderr while the block runs; nothing is shown where nobody watches.

    Args:
        description: what is being done.
        total: steps to do; None shows that something moves and no share.
        quiet: show nothing (`--json`); so it is too where stdout or stderr is no terminal.
    """
    if quiet or not (console.is_terminal and messages.is_terminal):
        yield Bar(None, None)
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("[bold]{task.description}"),
        BarColumn(bar_width=24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    with Progress(*columns, console=messages, transient=True) as bars:
        yield Bar(bars, bars.add_task(Text(description).markup, total=total, note=""))


# Only fonts that the system has: a demo page must work, and look the same, without a network.
SANS = ("ui-sans-serif", "system-ui", "sans-serif")
MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace")

CSS = """
.gradio-container { max-width: 1180px !important; margin: 0 auto !important; }
.page-title h1 { font-size: 1.65rem; font-weight: 650; letter-spacing: -0.01em; margin-bottom: 0.15rem; }
.page-title h2 { margin-bottom: 0.1rem; }
.page-title p { color: var(--body-text-color-subdued); max-width: 46rem; }
.notice { border-left: 4px solid var(--border-color-primary); border-radius: 6px; padding: 0.6rem 0.9rem;
  background: var(--background-fill-secondary); }
.notice.good { border-left-color: #2e9e5b; }
.notice.bad { border-left-color: #d1495b; }
.notice.caution { border-left-color: #d99a1c; }
.notice p { margin: 0; }
.notice strong { margin-right: 0.35rem; }
table.table thead th, .table-wrap th { text-align: left !important; }
/* gradio's own colours for code are too pale to read on white */
body:not(.dark) .cm-line span { filter: brightness(0.72) saturate(1.5); }
/* gradio draws a chosen option white on white while the pointer is over it */
label.selected input:checked { background-color: var(--checkbox-background-color-selected) !important;
  border-color: var(--checkbox-border-color-selected) !important; }
footer { display: none !important; }
"""


def theme() -> Any:
    """The one gradio theme of all demos; no web fonts."""
    import gradio

    base = gradio.themes.Default(
        primary_hue="amber", secondary_hue="amber", neutral_hue="stone", radius_size="md", font=SANS, font_mono=MONO
    )
    # The darker amber keeps white text readable (contrast 5:1); labels are quiet, so that the content is what is seen.
    return base.set(
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_600",
        button_primary_text_color="white",
        color_accent="*primary_700",
        body_background_fill="*neutral_50",
        body_text_color_subdued="*neutral_500",
        body_text_color_subdued_dark="*neutral_400",
        block_background_fill="white",
        block_background_fill_dark="*neutral_900",
        block_label_background_fill="transparent",
        block_label_background_fill_dark="transparent",
        block_label_border_width="0px",
        block_label_text_color="*neutral_500",
        block_title_text_color="*neutral_500",
        block_title_text_weight="500",
        block_border_width="1px",
        block_border_width_dark="1px",
        block_shadow="none",
    )


@contextmanager
def page(title: str, description: str) -> Iterator[gradio.Blocks]:
    """A gradio page with the shared heading; fill it inside the block, then hand it to `launch`.

    Args:
        title: the heading and the browser tab's name.
        description: a paragraph of Markdown under it.
    """
    import gradio

    from common.uploads import private_folder

    private_folder()
    # Uploads and tables lie in gradio's cache; what is older than a day is removed every hour.
    with gradio.Blocks(title=title, analytics_enabled=False, delete_cache=(3600, 86400)) as blocks:
        gradio.Markdown(f"# {title}\n\n{description}", elem_classes="page-title")
        yield blocks


def launch(blocks: gradio.Blocks, port: int = 7860, share: bool = False, css: str = "", **settings: Any) -> str:
    """Serve a page made by `page` on this machine only, unless it is shared; returns its address.

    Args:
        blocks: the page.
        port: port to serve on.
        share: make a public link through gradio's servers.
        css: the page's own additions to the shared look.
        settings: handed on to gradio's `launch`, such as `max_file_size` and `prevent_thread_lock`.

    Raises:
        UsageError: the port is taken.
    """
    from starlette.middleware import Middleware

    from common.body_limit import BodyLimit
    from common.errors import UsageError
    from common.uploads import LARGEST_OTHERWISE

    settings = {"max_file_size": LARGEST_OTHERWISE, **settings}
    try:
        _, address, _ = blocks.launch(
            server_name="127.0.0.1",
            server_port=port,
            share=share,
            theme=theme(),
            css=CSS + css,
            ssr_mode=False,
            footer_links=[],
            app_kwargs={"middleware": [Middleware(BodyLimit)]},
            **settings,
        )
    except (OSError, OverflowError) as error:
        raise UsageError(f"port {port} cannot be used, most likely it is taken; choose another with --port") from error
    return str(address)


def _cell(value: Any) -> tuple[str, bool]:
    """A cell's text, and whether it may stand in a column of numbers."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–", True
    if isinstance(value, bool):
        return ("yes" if value else "no"), False
    if isinstance(value, float):
        return f"{value:.4g}", True
    return str(value), isinstance(value, int)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(entry) for entry in value]
    if hasattr(value, "to_dict"):
        return _plain(value.to_dict())
    if isinstance(value, (str, int, bool)) or value is None:
        return value
    if hasattr(value, "item"):
        return _plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value)
