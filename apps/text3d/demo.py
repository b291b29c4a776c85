"""`demo`: type a prompt, watch the scene being shaped, turn it, and see what judge and VLM find in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apps.text3d import demo_view as view
from apps.text3d.config import Text3dConfig
from apps.text3d.demo_handlers import FILES, FIRST, PARTS, Handlers
from apps.text3d.demo_wishes import EXAMPLES, LONGEST_PROMPT, MOST_SEED, MOST_STEPS, kinds, knobs
from apps.text3d.generate import ANALYTIC
from apps.text3d.workbench import EVERY, Workbench
from common import ui
from common.demo import notice, serve

if TYPE_CHECKING:
    import gradio

TITLE = "Shape a scene after a prompt"
DESCRIPTION = (
    "Solids in colours, how many, and how they stand to each other: a scene is moved step by step until its pictures "
    "show that. Turn the result, and see what a judge of its geometry and a vision-language model find in it."
)
CRITIC = f"while it has a weight, a scene is {ANALYTIC}. The other guidances each need a model."
LABELS = {
    "sds": "Score distillation",
    "clip": "CLIP",
    "vlm.semantic": "VLM: what is there",
    "vlm.spatial": "VLM: how it stands",
    "vlm.consistency": "VLM: all sides together",
    "analytic": "Analytic critic",
}
SCHEDULED = "the configuration's schedule, until it is moved"
#: A job that nobody asked about for so long is forgotten, in seconds.
KEPT = 3600
#: Where the viewer stands, in the viewer's own degrees: on the prompt's side, a little above, and metres away.
CAMERA = (0, 75, 2.6)
#: What the page is served with, alone or beside others.
PAGE: dict[str, Any] = {"css": view.CSS}


def run_demo(config: Text3dConfig, port: int = 7860, share: bool = False) -> int:
    """Serve the demo until Ctrl-C.

    Raises:
        UsageError: the port is taken.
    """
    from common.training.run import set_threads

    set_threads(config.threads)
    workbench = Workbench(config)
    try:
        return serve(build_page(workbench), port, share, ". One scene is shaped at a time.", **PAGE)
    finally:
        workbench.close()


def build_demo(config: Text3dConfig) -> gradio.Blocks:
    """The page with the configured scene and guidances; its folder is removed at the end of the program."""
    return build_page(Workbench(config))


def build_page(workbench: Workbench, every: float = EVERY) -> gradio.Blocks:
    """The page over any workbench; `every` are the seconds between two looks."""
    import gradio as gr

    handlers = Handlers(workbench, every)
    with ui.page(TITLE, DESCRIPTION) as blocks:
        gr.HTML(notice("caution", "The analytic critic:", CRITIC), padding=False, elem_id="critic")
        job = gr.State(None, time_to_live=KEPT)
        with gr.Row(equal_height=False):
            with gr.Column(scale=4, min_width=320):
                prompt, examples, wish = _wish_controls(workbench)
                with gr.Row():
                    start = gr.Button("Shape it", variant="primary", min_width=110, elem_id="start")
                    stop = gr.Button("Stop", interactive=False, min_width=80, elem_id="stop")
                message = gr.HTML(visible=False, padding=False, elem_id="message")
                weights = _weight_controls(workbench)
            with gr.Column(scale=7, min_width=420):
                preview = gr.HTML(view.empty_html(FIRST), padding=False, elem_id="preview")
                with gr.Column(visible=False, elem_id="results") as results:
                    model, shown, files = _result_parts()
        parts = {"preview": preview, "message": message, "results": results, **shown}

        settings: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        now: dict[str, Any] = {**settings, "queue": False}
        buttons = [start, stop]
        gr.on(
            [start.click, prompt.submit],
            handlers.begin,
            job,
            [job, preview, message, results, model, *buttons],
            **now,
        ).then(
            handlers.shape,
            [job, prompt, *wish, *weights],
            [*(parts[name] for name in PARTS), *files],
            # One scene at a time: others wait in a queue.
            concurrency_id="shape",
            concurrency_limit=1,
            **settings,
        ).then(handlers.turn, files[0], model, **now).then(handlers.finish, job, buttons, **now)
        stop.click(handlers.stop, job, message, **now)
        examples.click(handlers.choose, examples, prompt, **now)
    return blocks


def _wish_controls(workbench: Workbench) -> tuple[Any, Any, list[Any]]:
    """The prompt, prompts to try, and kind, steps and seed in the order of `Wish`."""
    import gradio as gr

    prompt = gr.Textbox(EXAMPLES[0], label="Prompt", lines=2, max_lines=3, max_length=LONGEST_PROMPT, elem_id="prompt")
    examples = gr.Dataset(
        components=[gr.Textbox(visible=False)],
        headers=["prompt"],
        samples=[[text] for text in EXAMPLES],
        label="Prompts to try",
        elem_id="examples",
    )
    offered, steps = kinds(workbench.config), min(workbench.config.optimise.steps, MOST_STEPS)
    with gr.Row():
        kind = gr.Radio(offered, value=offered[0], label="Kind of scene", min_width=180, elem_id="kind")
        seed = gr.Number(
            min(workbench.config.seed, MOST_SEED), label="Seed", precision=0, min_width=90, elem_id="seed"
        )
    number = gr.Slider(1, MOST_STEPS, steps, step=1, label="Steps", elem_id="steps")
    return prompt, examples, [kind, number, seed]


def _weight_controls(workbench: Workbench) -> list[Any]:
    """A slider for each weight, in the order of `demo_wishes.PLACES`; locked where its model is missing."""
    import gradio as gr

    found = []
    with gr.Accordion("Weights of the guidances", open=True, elem_id="weights"):
        for knob in knobs(workbench.config.guidance):
            most = max(2.0, 2 * knob.value)
            found.append(
                gr.Slider(
                    0,
                    most,
                    knob.value,
                    step=most / 200,
                    label=LABELS[knob.name],
                    info=knob.off or (SCHEDULED if knob.scheduled else None),
                    interactive=not knob.off,
                    elem_id=f"weight-{knob.name.replace('.', '-')}",
                )
            )
    return found


def _result_parts() -> tuple[Any, dict[str, Any], list[Any]]:
    """The viewer, film and bars by their names in `PARTS`, and the downloads in the order of `FILES`, GLB first."""
    import gradio as gr

    shown: dict[str, Any] = {}
    with gr.Row(equal_height=False):
        with gr.Column(scale=5, min_width=280):
            model = gr.Model3D(
                label="Turn it with the mouse", height=330, camera_position=CAMERA, interactive=False, elem_id="model"
            )
        with gr.Column(scale=4, min_width=240):
            shown["film"] = gr.Video(
                label="Turntable", height=330, interactive=False, autoplay=True, loop=True, elem_id="film"
            )
            shown["gif"] = gr.HTML(visible=False, padding=False, elem_id="gif")
    with gr.Row():
        files = [
            gr.DownloadButton(label, size="sm", visible=False, min_width=120, elem_id=f"get-{name}")
            for name, (label, _) in FILES.items()
        ]
    for name in ("judged", "asked"):
        shown[name] = gr.HTML(padding=False, elem_id=name)
    return model, shown, files
