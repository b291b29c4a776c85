"""What the browser demos share: served until Ctrl-C, boxes for messages, texts that cannot become HTML."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

from common import ui
from common.errors import TouchstoneError

if TYPE_CHECKING:
    import gradio


def serve(blocks: gradio.Blocks, port: int, share: bool, note: str = "", **settings: Any) -> int:
    """Serve a page until Ctrl-C; the exit code.

    Args:
        blocks: the page.
        port: port to serve on.
        share: make a public link.
        note: said behind the address.
        settings: of `ui.launch`, such as `css` and `max_file_size`.

    Raises:
        UsageError: the port is taken.
    """
    address = ui.launch(blocks, port, share, prevent_thread_lock=True, quiet=True, **settings)
    ui.say(f"open {address} in a browser; Ctrl-C stops{note}")
    blocks.block_thread()
    return 0


def escape(text: str) -> str:
    """A text as HTML shows it, in an attribute too."""
    return html.escape(text, quote=True)


def sentence(text: str) -> str:
    """A reason with a capital letter and a full stop; empty stays empty."""
    text = text.strip()
    return f"{text[:1].upper()}{text[1:]}{'' if text.endswith(('.', '!', '?')) else '.'}" if text else ""


def notice(kind: str, title: str, text: str = "", more: str = "") -> str:
    """A coloured box: `good`, `caution`, `bad` or plain; `more` is HTML of the caller's own making."""
    body = f"<p><strong>{escape(title)}</strong>{escape(f' {text}' if text else '')}</p>"
    # A screen reader reads out what appears here.
    return f'<div class="notice {escape(kind)}" role="status">{body}{more}</div>'


def failed(error: TouchstoneError) -> str:
    """The box that says what went wrong."""
    return notice("bad", "That did not work:", f"{error}.")


def html_update(text: str) -> Any:
    """HTML that takes no room while it is empty."""
    import gradio

    return gradio.update(value=text, visible=bool(text))
