"""`demo`: draw a phantom or upload a picture, window it, ask about it, and see what the answer is worth, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apps.medvqa import demo_view as view
from apps.medvqa.assistant import DISCLAIMER, ModelAssistant
from apps.medvqa.config import MedVqaConfig
from apps.medvqa.demo_handlers import Handlers, Said, Shown
from apps.medvqa.pocket.catalogue import ORGANS
from apps.medvqa.viewer import AS_STORED
from apps.medvqa.workbench import LARGEST_UPLOAD, LONGEST_TEXT, SEEDS, Workbench
from common import ui
from common.demo import serve

if TYPE_CHECKING:
    import gradio

TITLE = "Ask about a medical picture"
DESCRIPTION = (
    "Draw a phantom or upload a picture, choose what of its values is shown, and ask. The model looks, reasons and "
    'answers; the scorer tells "no pneumothorax" from "pneumothorax", and of a phantom the exact truth is known.'
)
# A picture that nobody looked at for so long is forgotten, in seconds.
KEPT = 3600
#: What the page is served with, alone or beside others.
PAGE: dict[str, Any] = {"css": view.CSS, "max_file_size": LARGEST_UPLOAD}


def run_demo(config: MedVqaConfig, port: int = 7860, share: bool = False) -> int:
    """Serve the demo until Ctrl-C.

    Raises:
        UsageError: there is no such model, or the port is taken.
    """
    from common.training.run import set_threads

    set_threads(config.threads)
    return serve(build_demo(config), port, share, f". {DISCLAIMER}", **PAGE)


def build_demo(config: MedVqaConfig) -> gradio.Blocks:
    """The page with the configured model."""
    return build_page(build_workbench(config))


def build_workbench(config: MedVqaConfig) -> Workbench:
    """The configured model, opened, and the scorer with the configured tables."""
    from apps.medvqa.answers import AnswerScorer

    assistant = ModelAssistant(config)
    assistant.load()
    # Only the pocket model is asked the bare question.
    return Workbench(assistant, AnswerScorer(config.reward.tables), pocket=config.prompt.style == "pocket")


def build_page(workbench: Workbench) -> gradio.Blocks:
    """The page over any workbench."""
    import gradio as gr

    handlers = Handlers(workbench)
    text: dict[str, Any] = {"lines": 1, "max_length": LONGEST_TEXT, "scale": 6}
    button: dict[str, Any] = {"variant": "primary", "scale": 1, "min_width": 90}
    with ui.page(TITLE, DESCRIPTION) as blocks:
        gr.HTML(view.disclaimer_html(), padding=False, elem_id="disclaimer")
        shown, said = (gr.State(value, time_to_live=KEPT) for value in (Shown(), Said()))
        with gr.Row(equal_height=False):
            with gr.Column(scale=4, min_width=320):
                picture = gr.HTML(padding=False, elem_id="picture")
                message = gr.HTML(visible=False, padding=False, elem_id="message")
                with gr.Group():
                    preset = gr.Radio([AS_STORED], value=AS_STORED, label="Window", elem_id="preset")
                    with gr.Row():
                        centre = gr.Slider(0, 255, 127.5, label="Window centre", min_width=140, elem_id="centre")
                        width = gr.Slider(1, 255, 255, label="Window width", min_width=140, elem_id="width")
                    frame = gr.Slider(1, 2, 1, step=1, label="Frame", visible=False, elem_id="frame")
                wish = _wish_controls()
                other = gr.Button("Random phantom", size="sm", elem_id="random")
                held = gr.Checkbox(label="Only findings at places where training never showed them", elem_id="held")
                megabytes = LARGEST_UPLOAD // 1_000_000
                upload = gr.UploadButton(
                    f"Upload a PNG, JPEG, TIFF or DICOM file (up to {megabytes} MB)", size="sm", elem_id="upload"
                )
            with gr.Column(scale=6, min_width=420):
                with gr.Row(equal_height=True):
                    question = gr.Textbox(
                        label="Question", placeholder="What is abnormal?", elem_id="question", **text
                    )
                    ask = gr.Button("Ask", elem_id="ask", **button)
                examples = gr.Dataset(
                    components=[gr.Textbox(visible=False)],
                    headers=["question"],
                    samples=[[one] for one in workbench.questions(None)],
                    label="Questions to try",
                    elem_id="examples",
                )
                answer = gr.HTML(visible=False, padding=False, elem_id="answer")
                with gr.Row(equal_height=True):
                    reference = gr.Textbox(
                        label="Reference (optional)",
                        placeholder="A right answer, to score against",
                        elem_id="reference",
                        **text,
                    )
                    check = gr.Button("Score", elem_id="check", **button)
                score = gr.HTML(visible=False, padding=False, elem_id="score")
                reveal = gr.Button("Show the phantom's exact truth", size="sm", elem_id="reveal")
                truth = gr.HTML(visible=False, padding=False, elem_id="truth")

        settings: dict[str, Any] = {"show_progress": "minimal", "api_visibility": "private"}
        # The newest position of a slider counts, not every one that it passed.
        sliding: dict[str, Any] = {**settings, "show_progress": "hidden", "trigger_mode": "always_last"}
        looked = [shown, picture, preset, centre, width, frame]
        page = [*looked, *wish, message, examples, answer, reference, score, reveal, truth]
        # What one dropdown offers follows from another, and a quick visitor is faster than the page: values that no
        # longer fit must reach `menu`, which mends them, and not gradio's own check, which fails.
        drawing: dict[str, Any] = {"fn": handlers.draw, "inputs": wish, "outputs": page, "preprocess": False}
        blocks.load(**drawing, **settings)
        *dropdowns, seed = wish
        gr.on([*(one.select for one in dropdowns), seed.input], **drawing, **sliding)
        other.click(handlers.another, held, page, **settings)
        upload.upload(handlers.upload, upload, page, **settings)
        preset.input(handlers.preset, [shown, preset], looked, **sliding)
        gr.on([centre.input, width.input], handlers.window, [shown, centre, width], looked, **sliding)
        frame.input(handlers.frame, [shown, frame], looked, **sliding)
        asked = [said, question, answer, reference, score, truth]
        asking = gr.on([ask.click, question.submit], handlers.ask, [shown, question, reference], asked, **settings)
        choosing = examples.click(handlers.choose, [shown, examples], asked, **settings)
        for event in (asking, choosing):
            event.then(handlers.settle, [shown, said], [answer, score], **sliding)
        gr.on([check.click, reference.submit], handlers.check, [shown, said, reference], score, **settings)
        reveal.click(handlers.reveal, [shown, said, question, reference], [truth, reference, score], **settings)
    return blocks


def _wish_controls() -> list[Any]:
    """The dropdowns of a phantom, in the order of `Wish`."""
    import gradio as gr

    narrow: dict[str, Any] = {"min_width": 90}
    with gr.Group():
        with gr.Row():
            organ = gr.Dropdown(list(ORGANS), value="chest", label="Phantom", elem_id="organ", **narrow)
            finding = gr.Dropdown([], label="Finding", elem_id="finding", **narrow)
        with gr.Row():
            side = gr.Dropdown([], label="Side", elem_id="side", **narrow)
            zone = gr.Dropdown([], label="Zone", elem_id="zone", **narrow)
        with gr.Row():
            size = gr.Dropdown([], label="Size", elem_id="size", **narrow)
            count = gr.Dropdown([], label="Count", elem_id="count", **narrow)
            seed = gr.Number(0, label="Seed", precision=0, minimum=0, maximum=SEEDS, elem_id="seed", **narrow)
    return [organ, finding, side, zone, size, count, seed]
