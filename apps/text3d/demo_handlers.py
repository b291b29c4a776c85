"""What the demo's page does on each event: values in, values for the page's components out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Any

from apps.text3d import demo_view as view
from apps.text3d.demo_wishes import PLACES, Wish
from apps.text3d.workbench import EVERY, Made, Moment, Workbench
from common.demo import html_update, notice
from common.errors import TouchstoneError

FIRST = "The scene appears here while it is shaped."
WAITING = "Waiting for its turn: one scene is shaped at a time."
#: The page's parts that a scene fills, in the order of what `shape` yields.
PARTS = ("preview", "message", "results", "film", "gif", "judged", "asked")
#: What can be downloaded: the button's name, its text and the file.
FILES = {
    "glb": ("Mesh, GLB", "scene.glb"),
    "ply": ("Mesh, PLY", "scene.ply"),
    "splats": ("Gaussians, PLY", "splats.ply"),
    "mp4": ("Turntable, MP4", "turntable.mp4"),
    "gif": ("Turntable, GIF", "turntable.gif"),
    "sheet": ("Views, PNG", "sheet.png"),
}


@dataclass
class Job:
    """One scene that a visitor asked for.

    Attributes:
        stop: set where it is to be taken as it is.
        dropped: nobody wants to see it any more.
        over: nothing is done for it any more.
    """

    stop: Event = field(default_factory=Event)
    dropped: bool = False
    over: bool = False


class Handlers:
    """The page's events over a workbench.

    Args:
        workbench: that shapes.
        every: seconds between two looks.
    """

    def __init__(self, workbench: Workbench, every: float = EVERY) -> None:
        self.workbench = workbench
        self.every = every

    def begin(self, job: Job | None) -> Any:
        """A new job in place of the visitor's last one: job, preview, message, results, viewer, both buttons."""
        import gradio as gr

        if job is not None:
            job.dropped = True
            job.stop.set()
        buttons = gr.update(interactive=False), gr.update(interactive=True)
        return Job(), view.empty_html(WAITING), html_update(""), gr.update(visible=False), None, *buttons

    def shape(self, job: Job, prompt: str, kind: str, steps: int, seed: int, *weights: float) -> Iterator[Any]:
        """Shape and show how it goes; at the end everything that came out. See `PARTS` and `FILES` for the order."""
        wish = Wish(prompt, kind, steps, seed, dict(zip(PLACES, weights, strict=True)))
        seen = False
        try:
            if job.stop.is_set():
                yield _changed(preview=view.empty_html(FIRST), message=_notice("Stopped", "before it began."))
                return
            for found in self.workbench.shape(wish, job.stop, self.every):
                if job.dropped:
                    return
                yield _made(found) if isinstance(found, Made) else _looked(found)
                seen = True
        except TouchstoneError as error:
            # What was seen last stays, so that a visitor sees how far it came.
            preview: dict[str, Any] = {} if seen else {"preview": view.empty_html(FIRST)}
            yield _changed(message=html_update(notice("bad", "That did not work:", f"{error}.")), **preview)
        finally:
            job.over = True

    def turn(self, mesh: str | None) -> Any:
        """The mesh in the viewer, from where its button has it. Gradio's viewer shows nothing of a generator's."""
        return _file(Path(mesh) if mesh else None)

    def stop(self, job: Job | None) -> Any:
        """Take the scene as it is, after the step that is being done."""
        import gradio as gr

        if job is None or job.over:
            return gr.skip()
        job.stop.set()
        return _notice("Stopping", "after this step; the scene is judged and written as it is.")

    def finish(self, job: Job | None) -> Any:
        """Both buttons, once the visitor's newest job is over."""
        import gradio as gr

        over = job is None or job.over
        return gr.update(interactive=over), gr.update(interactive=not over)

    def choose(self, row: list[str]) -> str:
        """The example that was clicked."""
        return row[0]


def _looked(moment: Moment) -> tuple[Any, ...]:
    changed: dict[str, Any] = {"preview": view.moment_html(moment)}
    if moment.unknown and not moment.step:
        changed["message"] = _unknown(moment)
    return _changed(**changed)


def _made(made: Made) -> tuple[Any, ...]:
    import gradio as gr

    sheet, gif = made.files.get("sheet.png"), made.files.get("turntable.gif")
    buttons = {name: _file(made.files.get(file)) for name, (_, file) in FILES.items()}
    if made.failed:
        message = html_update(notice("bad", "There are no files:", f"{made.failed}."))
    else:
        message = _unknown(made.last)
    return _changed(
        buttons,
        preview=view.made_html(sheet, made.last, made.note),
        message=message,
        results=gr.update(visible=True),
        film=_file(made.files.get("turntable.mp4")),
        gif=html_update(view.gif_html(gif) if gif else ""),
        judged=view.judged_html(made.verdict),
        asked=view.asked_html(made.answers, made.silent),
    )


def _changed(buttons: dict[str, Any] | None = None, **parts: Any) -> tuple[Any, ...]:
    """Everything on the page, of which only what is named changes."""
    import gradio as gr

    buttons = buttons or {}
    shown = [parts.get(name, gr.skip()) for name in PARTS]
    return (*shown, *(buttons.get(name, gr.skip()) for name in FILES))


def _file(path: Path | None) -> Any:
    import gradio as gr

    return gr.update(value=None if path is None else str(path), visible=path is not None)


def _unknown(moment: Moment) -> Any:
    parts = ", ".join(f"“{part}”" for part in moment.unknown)
    return html_update(notice("caution", "Not understood, and not shown:", f"{parts}.") if parts else "")


def _notice(title: str, text: str) -> Any:
    return html_update(notice("caution", title, text))
