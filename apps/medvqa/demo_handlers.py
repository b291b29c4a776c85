"""What the demo's page does on each event: values in, values for the page's components out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from apps.medvqa import demo_view as view
from apps.medvqa.assistant import Answer
from apps.medvqa.viewer import AS_STORED, View
from apps.medvqa.workbench import SEEDS, Menu, Wish, Workbench, accept_upload, make_phantom, menu, random_wish
from common.demo import failed, html_update, notice
from common.errors import TouchstoneError

if TYPE_CHECKING:
    from apps.medvqa.pocket import Study
    from common.dicom.windowing import Window


@dataclass(frozen=True)
class Shown:
    """The picture on the page.

    Attributes:
        view: the picture; None before the first one.
        window: how it is shown; None: as stored.
        study: what it was drawn from; None for an uploaded picture.
    """

    view: View | None = None
    window: Window | None = None
    study: Study | None = None


@dataclass(frozen=True)
class Said:
    """The model's last answer. It is kept apart from the picture, which may change while the model still looks.

    Attributes:
        answer: None before the first one, or where the last question failed.
        view: the picture that it is about.
    """

    answer: Answer | None = None
    view: View | None = None

    def about(self, shown: Shown) -> Answer | None:
        """The answer, where it is about the picture on the page."""
        return self.answer if self.view is shown.view else None


class Handlers:
    """One method for each event of the page.

    Args:
        workbench: does the work.
    """

    def __init__(self, workbench: Workbench) -> None:
        self.workbench = workbench

    def draw(self, *chosen: Any) -> tuple[Any, ...]:
        """The phantom of the dropdowns, in the order of `Wish`; what they hold has not been checked."""
        import gradio as gr

        organ, finding, side, zone = map(_text, chosen[:4])
        size, count, seed = map(_whole, chosen[4:])
        # Before the first phantom there is nothing to choose from.
        wish = Wish() if chosen[1] is None else Wish(organ, finding, side, zone, size, count, seed)
        answer = self._phantom(wish)
        # Digits may still be typed into the seed's field.
        return *answer[:12], gr.skip(), *answer[13:]

    def another(self, held: bool) -> tuple[Any, ...]:
        """A random phantom."""
        return self._phantom(random_wish(held))

    def upload(self, path: str) -> tuple[Any, ...]:
        """Take in a picture, or say why not."""
        import gradio as gr
        from gradio.utils import get_upload_folder

        try:
            opened = accept_upload(path, get_upload_folder())
        except TouchstoneError as error:
            message = html_update(failed(error))
            return *[gr.skip()] * 13, message, *[gr.skip()] * 6
        message = ""
        if self.workbench.pocket:
            said = "The pocket model has only ever seen phantoms: what it says of any other picture means nothing."
            message = notice("caution", "Uploaded.", said)
        return *self._look(Shown(opened)), *[gr.skip()] * 7, *self._new(None, message)

    def preset(self, shown: Shown, name: str) -> tuple[Any, ...]:
        """A window by its name."""
        return self._look(replace(shown, window=None if name == AS_STORED else name))

    def window(self, shown: Shown, centre: float, width: float) -> tuple[Any, ...]:
        """A window by its centre and width."""
        import gradio as gr

        if shown.view is None:
            return (gr.skip(),) * 6
        wanted = float(centre), max(float(width), shown.view.widths[0])
        shown = replace(shown, window=None if wanted == shown.view.start else wanted)
        # The sliders stay where the visitor is dragging them.
        state, picture, preset, *_ = self._look(shown)
        return state, picture, preset, gr.skip(), gr.skip(), gr.skip()

    def frame(self, shown: Shown, number: float) -> tuple[Any, ...]:
        """Another frame of the same file."""
        import gradio as gr

        if shown.view is None:
            return (gr.skip(),) * 6
        try:
            return self._look(replace(shown, view=shown.view.at(int(number) - 1)))
        except TouchstoneError as error:
            return gr.skip(), failed(error), *[gr.skip()] * 4

    def ask(self, shown: Shown, question: str, reference: str) -> tuple[Any, ...]:
        """Answer a question, and score the answer where there is a reference."""
        import gradio as gr

        if shown.view is None:
            gone = "draw a phantom or upload one; what nobody touched for an hour is forgotten."
            return Said(), gr.skip(), html_update(notice("caution", "There is no picture:", gone)), *[gr.skip()] * 3
        try:
            answer = self.workbench.ask(question, shown.view, shown.window)
        except TouchstoneError as error:
            return Said(), gr.skip(), html_update(failed(error)), gr.skip(), html_update(""), html_update("")
        told = html_update(view.answer_html(answer, _seen(shown)))
        return Said(answer, shown.view), gr.skip(), told, gr.skip(), self._score(answer, reference), html_update("")

    def choose(self, shown: Shown, row: list[str]) -> tuple[Any, ...]:
        """Ask the question that was clicked; a reference to another question no longer fits."""
        said, _, told, _, score, truth = self.ask(shown, row[0], "")
        return said, row[0], told, "", score, truth

    def settle(self, shown: Shown, said: Said) -> tuple[Any, ...]:
        """Take an answer away that came when its picture was gone."""
        import gradio as gr

        late = said.answer is not None and said.about(shown) is None
        return (html_update(""), html_update("")) if late else (gr.skip(), gr.skip())

    def check(self, shown: Shown, said: Said, reference: str) -> Any:
        """Score the last answer."""
        answer = said.about(shown)
        if answer is None:
            return html_update(notice("bad", "There is no answer yet:", "ask a question first."))
        if not reference.strip():
            return html_update(notice("bad", "There is no reference yet:", "write a right answer first."))
        return self._score(answer, reference)

    def reveal(self, shown: Shown, said: Said, question: str, reference: str) -> tuple[Any, ...]:
        """The phantom's exact truth; its right answer becomes the reference where there is none."""
        import gradio as gr

        if shown.study is None:
            return (gr.skip(),) * 3
        answer = said.about(shown)
        truth = self.workbench.truth(shown.study, question, answer)
        told = html_update(view.truth_html(truth, shown.study, answer))
        if reference.strip() or not truth.reference:
            return told, gr.skip(), gr.skip()
        return told, truth.reference, self._score(answer, truth.reference) if answer is not None else gr.skip()

    def _phantom(self, wish: Wish) -> tuple[Any, ...]:
        offered = menu(wish)
        opened, study = make_phantom(offered.wish)
        return *self._look(Shown(opened, study=study)), *_dropdowns(offered), *self._new(study)

    def _look(self, shown: Shown) -> tuple[Any, ...]:
        """State, picture, preset, centre, width and frame."""
        import gradio as gr

        opened = shown.view
        if opened is None:
            return (gr.skip(),) * 6
        picture = view.picture_html(opened.seen(shown.window), opened, shown.study)
        window = shown.window
        # A window of the visitor's own has no name.
        name = AS_STORED if window is None else window if isinstance(window, str) else None
        centre, width = window if isinstance(window, tuple) else opened.window_of(name or AS_STORED)
        lows, highs = zip(opened.centres, opened.widths, strict=True)
        step = opened.step
        return (
            shown,
            picture,
            gr.update(choices=list(opened.presets), value=name, visible=len(opened.presets) > 1),
            gr.update(minimum=lows[0], maximum=highs[0], step=step, value=centre),
            gr.update(minimum=lows[1], maximum=highs[1], step=step, value=width),
            gr.update(maximum=max(opened.frames, 2), value=opened.frame + 1, visible=opened.frames > 1),
        )

    def _new(self, study: Study | None, message: str = "") -> tuple[Any, ...]:
        """Message, questions to try, no answer, an empty reference, no score, the button of the truth, no truth."""
        import gradio as gr

        samples = [[question] for question in self.workbench.questions(study)]
        reveal = gr.update(visible=study is not None)
        return (
            html_update(message),
            gr.update(samples=samples),
            html_update(""),
            "",
            html_update(""),
            reveal,
            html_update(""),
        )

    def _score(self, answer: Answer, reference: str) -> Any:
        if not reference.strip():
            return html_update("")
        try:
            return html_update(view.score_html(self.workbench.score(answer, reference)))
        except TouchstoneError as error:
            return html_update(failed(error))


def _dropdowns(offered: Menu) -> list[Any]:
    """Values for the dropdowns of a phantom; one without a choice cannot be opened."""
    import gradio as gr

    wish = offered.wish

    def update(value: Any, choices: list[tuple[str, Any]]) -> Any:
        return gr.update(choices=choices or [("–", value)], value=value, interactive=len(choices) > 1)

    return [
        wish.organ,
        update(wish.finding, [(name or "none (normal)", name) for name in offered.findings]),
        update(wish.side, [(side, side) for side in offered.sides]),
        update(wish.zone, [(zone, zone) for zone in offered.zones]),
        update(wish.size_mm, [(f"{size} mm", size) for size in offered.sizes]),
        update(wish.count, [(str(count), count) for count in offered.counts]),
        wish.seed,
    ]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _whole(value: Any) -> int:
    return int(value) if isinstance(value, (int, float)) and 0 <= value <= SEEDS else 0


def _seen(shown: Shown) -> str:
    """How the model saw the picture."""
    window = shown.window
    if window is None:
        how = "as stored"
    elif isinstance(window, str):
        how = f"through the window “{window}”"
    else:
        how = f"through a window of centre {window[0]:g} and width {window[1]:g}"
    frame = f", frame {shown.view.frame + 1}" if shown.view is not None and shown.view.frames > 1 else ""
    return f"The model saw the picture {how}{frame}."
