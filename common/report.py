"""One self-contained HTML page that tells what a run did: it loads nothing, runs nothing, and escapes everything."""

from __future__ import annotations

import base64
import html
import io
import math
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common.errors import DataError
from common.files import write_text
from common.plots import bars as bars
from common.plots import curves as curves
from common.report_style import CSS
from common.stats import Interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from PIL.Image import Image

# A figure with more than this as SVG (a scatter plot of thousands of points) is embedded as PNG.
LARGEST_SVG = 1_500_000
LARGEST_IMAGE = 1024  # pixels
# Names of sample fields that are shown as code.
CODE_FIELDS = ("sql", "gold", "completion", "prediction", "pred", "query")


@dataclass(frozen=True)
class Change:
    """A row of the headline table.

    Attributes:
        name: what was measured.
        before: before training.
        after: after it.
        difference: paired interval of after - before, where there is one.
    """

    name: str
    before: Interval
    after: Interval
    difference: Interval | None = None


class Report:
    """Collects the parts of a page in order; every method returns the report, so that calls can be chained.

    Args:
        title: the page's heading.
        subtitle: a line under it.
    """

    def __init__(self, title: str, subtitle: str = "") -> None:
        self.title = title
        self.subtitle = subtitle
        self.parts: list[str] = []
        self.sections: list[str] = []
        self.figures = 0

    def section(self, title: str) -> Report:
        """Begin a section; sections are listed at the top of the page."""
        self.sections.append(title)
        return self._add(f'<h2 id="section-{len(self.sections)}">{_escape(title)}</h2>')

    def text(self, markdown: str) -> Report:
        """Paragraphs, lists, emphasis and code in Markdown; HTML in it is shown, not used, and links are text."""
        from markdown_it import MarkdownIt

        renderer = MarkdownIt("commonmark", {"html": False}).disable(["link", "image", "autolink", "html_inline"])
        return self._add(renderer.render(markdown))

    def table(self, headers: Sequence[str], rows: Iterable[Sequence[Any]], caption: str = "") -> Report:
        """A table; numbers and `Interval`s stand on the right, the first column names the row."""
        grid = [list(row) for row in rows]
        numeric = [bool(grid) and all(_is_number(row[column]) for row in grid) for column in range(len(headers))]
        return self._add(_table(headers, [[_cell(value) for value in row] for row in grid], numeric, caption))

    def headline(self, changes: Iterable[Change], scale: float = 100.0, digits: int = 1, caption: str = "") -> Report:
        """The table that matters: before, after and difference with intervals, and a picture of each row."""
        changes = list(changes)
        # Every row on one axis: dots of two rows can be compared.
        values = [value for change in changes for value in _ends(change.before) + _ends(change.after)]
        reach = (min(values), max(values)) if values else (0.0, 1.0)
        rows = []
        for change in changes:
            before, after = (_interval(side, scale, digits) for side in (change.before, change.after))
            rows.append(
                [
                    _escape(change.name),
                    before,
                    f'<span class="after">{after}</span>',
                    _difference(change, scale, digits),
                    _dots(change.before, change.after, reach),
                ]
            )
        headers = ("", "before", "after", "difference", "")
        return self._add(_table(headers, rows, [False, True, True, True, False], caption, kind="headline"))

    def figure(self, figure: Figure, caption: str = "") -> Report:
        """A matplotlib figure; black in it becomes the page's text colour, its background the page's."""
        self.figures += 1
        picture = _svg(figure, self.figures, caption)
        return self._add(f"<figure>{picture}{_caption(caption)}</figure>")

    def image(self, image: Path | str | Image, caption: str = "") -> Report:
        """A picture, from a file or from PIL, scaled down where it is large."""
        return self._add(f"<figure>{_image(image, caption or 'picture')}{_caption(caption)}</figure>")

    def animation(self, gif: bytes, title: str, caption: str = "") -> Report:
        """A GIF behind a title that opens it: nothing on the page moves unless the reader wants it to.

        Args:
            gif: the file's bytes.
            title: what a click shows.
            caption: under the picture.
        """
        picture = f'<img alt="{_escape(title)}" src="data:image/gif;base64,{base64.b64encode(gif).decode("ascii")}">'
        shown = f"<summary>{_escape(title)}</summary><figure>{picture}{_caption(caption)}</figure>"
        return self._add(f"<details>{shown}</details>")

    def samples(self, rows: Iterable[Mapping[str, Any]], code: Sequence[str] = CODE_FIELDS) -> Report:
        """Cards of what a model was asked and said; mappings inside a row become small lists.

        Args:
            rows: one card each.
            code: names of fields, nested ones included, that are shown as highlighted SQL.
        """
        cards = "".join(f'<article class="sample">{_fields(row, frozenset(code))}</article>' for row in rows)
        return self._add(f'<div class="samples">{cards}</div>')

    def facts(self, facts: Mapping[str, Any]) -> Report:
        """Names and values: command, seed, versions."""
        rows = [[_escape(str(name)), f"<code>{_escape(_show(value))}</code>"] for name, value in facts.items()]
        return self._add(_table(("", ""), rows, [False, False], ""))

    def alarm(self, text: str) -> Report:
        """A box that nobody overlooks."""
        return self._add(f'<div class="alarm" role="note"><p><strong>Alarm:</strong> {_escape(text)}</p></div>')

    def html(self) -> str:
        """The whole page."""
        links = (
            f'<a href="#section-{number}">{_escape(title)}</a>' for number, title in enumerate(self.sections, start=1)
        )
        contents = f'<nav aria-label="Contents">{"".join(links)}</nav>' if len(self.sections) > 2 else ""
        subtitle = f'<p class="soft">{_escape(self.subtitle)}</p>' if self.subtitle else ""
        # The policy makes "self-contained" a fact: a browser loads nothing and runs nothing for this page.
        policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
        return (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{_escape(self.title)}</title><style>{CSS}</style></head>\n"
            f"<body><main><header><h1>{_escape(self.title)}</h1>{subtitle}{contents}</header>\n"
            + "\n".join(self.parts)
            + "\n<footer>Made by Touchstone.</footer></main></body></html>\n"
        )

    def save(self, path: Path | str) -> Path:
        """Write the page atomically."""
        return write_text(path, self.html())

    def _add(self, part: str) -> Report:
        self.parts.append(part)
        return self


def highlight_sql(query: str) -> str:
    """A query as HTML with classes k, s, m, n and c for keywords, strings, numbers, names and comments."""
    from pygments.lexers.sql import SqlLexer
    from pygments.token import Token

    kinds = (
        (Token.Comment, "c"),
        (Token.Literal.String, "s"),
        (Token.Literal.Number, "m"),
        (Token.Name.Builtin, "n"),
        (Token.Keyword, "k"),
    )
    pieces = []
    for token, text in SqlLexer(stripnl=False, ensurenl=False).get_tokens(query):
        name = next((name for kind, name in kinds if token in kind), "")
        pieces.append(f'<span class="{name}">{_escape(text)}</span>' if name else _escape(text))
    return "".join(pieces)


def _escape(text: str) -> str:
    return html.escape(text, quote=True)


def _is_number(value: Any) -> bool:
    return value is None or isinstance(value, Interval) or (isinstance(value, (int, float)) and value is not True)


def _show(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _cell(value: Any) -> str:
    return _interval(value, 1.0, 3) if isinstance(value, Interval) else _escape(_show(value))


def _interval(value: Interval, scale: float, digits: int) -> str:
    mean, _, ends = value.text(scale, digits).partition(" ")
    return f'{mean}<span class="range">{ends}</span>' if ends else mean


def _difference(change: Change, scale: float, digits: int) -> str:
    difference = change.difference
    if difference is None:
        delta = (change.after.mean - change.before.mean) * scale
        return "–" if math.isnan(delta) else f"{delta:+.{digits}f}"
    if math.isnan(difference.mean):
        return "–"
    mean = f"{difference.mean * scale:+.{digits}f}"
    if math.isnan(difference.low):
        return mean
    kind = "up" if difference.low > 0 else "down" if difference.high < 0 else ""
    ends = f"[{difference.low * scale:+.{digits}f}, {difference.high * scale:+.{digits}f}]"
    return f'<span class="{kind}">{mean}</span><span class="range">{ends}</span>'


def _ends(value: Interval) -> list[float]:
    return [end for end in (value.low, value.mean, value.high) if not math.isnan(end)]


def _dots(before: Interval, after: Interval, reach: tuple[float, float]) -> str:
    """Two dots with whiskers on a common axis; the table's numbers say the same, so readers of text miss nothing."""
    low, span = reach[0], (reach[1] - reach[0]) or 1.0
    marks = ""
    for value, height, colour in ((before, 8, "var(--soft)"), (after, 20, "var(--accent)")):
        if not _ends(value):
            continue
        left, middle, right = (
            4 + 168 * (end - low) / span for end in (min(_ends(value)), value.mean, max(_ends(value)))
        )
        marks += (
            f'<line x1="{left:.1f}" x2="{right:.1f}" y1="{height}" y2="{height}" stroke="{colour}" stroke-width="2"/>'
        )
        marks += f'<circle cx="{middle:.1f}" cy="{height}" r="4" fill="{colour}"/>'
    return f'<svg class="dots" viewBox="0 0 176 28" aria-hidden="true">{marks}</svg>'


def _table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], numeric: Sequence[bool], caption: str, kind: str = ""
) -> str:
    """A table of cells that are HTML already."""
    kinds = [' class="number"' if number else "" for number in numeric]
    named = any(headers)
    head = "".join(f'<th scope="col"{style}>{_escape(name)}</th>' for name, style in zip(headers, kinds, strict=True))
    body = "".join(
        "<tr>"
        + f'<th scope="row"{kinds[0]}>{row[0]}</th>'
        + "".join(f"<td{style}>{cell}</td>" for cell, style in zip(row[1:], kinds[1:], strict=True))
        + "</tr>"
        for row in rows
    )
    title = f"<caption>{_escape(caption)}</caption>" if caption else ""
    header = f"<thead><tr>{head}</tr></thead>" if named else ""
    # A wide table scrolls by itself; the tab stop lets a keyboard do it.
    return f'<div class="scroll" tabindex="0"><table class="{kind}">{title}{header}<tbody>{body}</tbody></table></div>'


def _caption(text: str) -> str:
    return f"<figcaption>{_escape(text)}</figcaption>" if text else ""


def _svg(figure: Figure, number: int, caption: str) -> str:
    import matplotlib

    buffer = io.BytesIO()
    # Text stays text (selectable, in the page's font), and the same figure gives the same bytes.
    with (
        matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": f"figure-{number}"}),
        warnings.catch_warnings(),
    ):
        # matplotlib's own font lacks some scripts; the reader's browser does not.
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)
        nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
        figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    if buffer.tell() > LARGEST_SVG:
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=160, facecolor="white")
        return _data_image(buffer.getvalue(), caption or "figure")
    text = buffer.getvalue().decode("utf-8")
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\sxmlns(:\w+)?="[^"]*"', "", text)
    text = text.replace("#000000", "currentColor").replace('"black"', '"currentColor"')
    # Group ids such as "axes_1" recur in every figure and nothing refers to them; those of clip paths are hashed.
    text = re.sub(r'<g id="[^"]*">', "<g>", text)
    label = _escape(caption or "figure")
    return text.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)


def _image(image: Path | str | Image, alt: str) -> str:
    from PIL import Image as Pillow
    from PIL import UnidentifiedImageError

    if isinstance(image, (str, Path)):
        try:
            with Pillow.open(image) as opened:
                picture = opened.convert("RGB")
        except (OSError, UnidentifiedImageError) as error:
            raise DataError(f"not a picture that can be read: {error}", path=image) from error
    else:
        picture = image.convert("RGB")
    picture.thumbnail((LARGEST_IMAGE, LARGEST_IMAGE))
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    return _data_image(buffer.getvalue(), alt)


def _data_image(png: bytes, alt: str) -> str:
    return f'<img alt="{_escape(alt)}" src="data:image/png;base64,{base64.b64encode(png).decode("ascii")}">'


def _fields(row: Mapping[str, Any], code: frozenset[str]) -> str:
    entries = "".join(f"<dt>{_escape(str(name))}</dt>{_value(str(name), value, code)}" for name, value in row.items())
    return f"<dl>{entries}</dl>"


def _value(name: str, value: Any, code: frozenset[str]) -> str:
    if isinstance(value, Mapping):
        return f"<dd>{_fields(value, code)}</dd>"
    if isinstance(value, list) and value and all(isinstance(entry, Mapping) and "content" in entry for entry in value):
        value = "\n".join(str(message["content"]) for message in value)
    if hasattr(value, "thumbnail"):
        return f"<dd>{_image(value, name)}</dd>"
    if name in code and isinstance(value, str) and value:
        return f"<dd><pre><code>{highlight_sql(value)}</code></pre></dd>"
    if isinstance(value, Interval):
        return f"<dd>{_cell(value)}</dd>"
    return f'<dd class="text" dir="auto">{_escape(_show(value))}</dd>'
