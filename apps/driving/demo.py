"""`demo`: have a route driven, watch it with the reward's parts under it, and type other language goals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apps.driving import demo_player as player
from apps.driving import demo_view as view
from apps.driving.config import DrivingConfig
from apps.driving.demo_handlers import Handlers
from apps.driving.demo_sight import LONGEST_GOAL, open_sight, to_try
from apps.driving.workbench import MOST_VEHICLES, MOST_WALKERS, Workbench
from common import ui
from common.demo import notice, serve

if TYPE_CHECKING:
    import gradio

TITLE = "Watch a driver and what it is paid"
DESCRIPTION = (
    "Choose where, among whom and by whom a route is driven. The film and the curves under it go together: play, "
    "drag, or click in a curve to see that moment."
)
PHANTOM = (
    "nothing here is a CARLA figure or says anything of real traffic. The roads, the cars and the people are made up, "
    "and all of them are drawn as plain shapes."
)
LANGUAGE = (
    "VLM-RL's language goal compares every picture with two sentences: z = cosine with what must not be − cosine with "
    "what the road should look like. Higher is more dangerous. Type two others and see z change on the same pictures."
)
#: A film that nobody looked at for so long is forgotten, in seconds.
KEPT = 3600
#: What the page is served with, alone or beside others.
PAGE: dict[str, Any] = {"css": view.CSS, "head": player.HEAD}


def run_demo(config: DrivingConfig, port: int = 7860, share: bool = False) -> int:
    """Serve the demo until Ctrl-C.

    Raises:
        UsageError: the port is taken.
    """
    import cv2

    from common.training.run import set_threads

    set_threads(config.threads)
    cv2.setNumThreads(max(config.threads, 1))
    return serve(build_demo(config), port, share, ". It drives on the embedded simulator, not on CARLA.", **PAGE)


def build_demo(config: DrivingConfig) -> gradio.Blocks:
    """The page with the configured maps, rewards and CLIP."""
    return build_page(build_workbench(config))


def build_workbench(config: DrivingConfig) -> Workbench:
    """The configured maps and rewards, and the CLIP where there is one."""
    sight, blind = open_sight(config.reward)
    if sight is None:
        ui.warn(f"language goals are off: {blind}")
    return Workbench(config, sight, blind)


def build_page(workbench: Workbench) -> gradio.Blocks:
    """The page over any workbench."""
    import gradio as gr

    handlers = Handlers(workbench)
    with ui.page(TITLE, DESCRIPTION) as blocks:
        gr.HTML(notice("plain", "The embedded simulator:", PHANTOM), padding=False, elem_id="phantom")
        shown = gr.State(None, time_to_live=KEPT)
        with gr.Row(equal_height=False):
            with gr.Column(scale=3, min_width=290):
                wish = _wish_controls()
                drive = gr.Button("Drive", variant="primary", elem_id="drive")
                message = gr.HTML(visible=False, padding=False, elem_id="message")
                recipes, first = workbench.recipes(), workbench.recipe()
                recipe = gr.Dropdown(recipes, value=first, label="Reward whose parts are shown", elem_id="recipe")
            with gr.Column(scale=7, min_width=420):
                film = gr.HTML(padding=False, elem_id="film")
                curves = gr.HTML(padding=False, elem_id="curves")
        gr.Markdown(f"## Other language goals\n\n{LANGUAGE}", elem_classes="page-title")
        gr.HTML(handlers.blind(), padding=False, visible=workbench.sight is None, elem_id="blind")
        goals, compare, examples, remark, likeness = _goal_controls(workbench)

        settings: dict[str, Any] = {"show_progress": "minimal", "api_visibility": "private"}
        # What one menu offers follows from another, and a quick visitor is faster than the page: values that no longer
        # fit must reach the workbench, which says what is wrong with them, and not gradio's own check.
        raw: dict[str, Any] = {**settings, "preprocess": False}
        # One drive at a time: others wait in a queue, whichever button they come from.
        driving: dict[str, Any] = {
            "fn": handlers.drive,
            "inputs": [*wish, recipe, *goals],
            "outputs": [film, message, shown, curves, likeness, remark],
            "concurrency_id": "drive",
            **raw,
            "show_progress": "hidden",
        }
        town, route, policy, *_ = wish
        loading = blocks.load(handlers.menus, None, [town, route, policy], **settings)
        town.input(handlers.town, town, [route, message], **raw)
        for event in (loading.then(**driving), drive.click(**driving)):
            event.then(None, js=player.BEGIN)
        scoring = recipe.input(handlers.reward, [shown, recipe], curves, **settings)
        told = [likeness, remark]
        comparing = gr.on(
            [compare.click, *(one.submit for one in goals)], handlers.goals, [shown, *goals], told, **settings
        )
        choosing = examples.click(handlers.choose, [shown, examples], [*goals, *told], **settings)
        for event in (scoring, comparing, choosing):
            event.then(None, js=player.REFRESH)
    return blocks


def _wish_controls() -> list[Any]:
    """Where, who and among whom, in the order of `Wish`; the menus are filled when the page opens."""
    import gradio as gr

    with gr.Group():
        town = gr.Dropdown([], label="Town", elem_id="town")
        route = gr.Dropdown([], label="Route", elem_id="route")
        policy = gr.Dropdown([], label="Driver", elem_id="policy")
        vehicles = gr.Slider(0, MOST_VEHICLES, 10, step=1, label="Other cars", elem_id="vehicles")
        walkers = gr.Slider(0, MOST_WALKERS, 0, step=1, label="People on foot", elem_id="walkers")
        seed = gr.Number(0, label="Seed of the traffic", precision=0, elem_id="seed")
    return [town, route, policy, vehicles, walkers, seed]


def _goal_controls(workbench: Workbench) -> tuple[list[Any], Any, Any, Any, Any]:
    """Both goals, the button, pairs to try, a message and the curves; hidden without a CLIP."""
    import gradio as gr

    sight = workbench.sight
    own = sight.own if sight is not None else ("", "")
    text: dict[str, Any] = {"lines": 1, "max_length": LONGEST_GOAL, "scale": 5}
    with gr.Column(visible=sight is not None):
        with gr.Row(equal_height=True):
            positive = gr.Textbox(own[0], label="What the road should look like", elem_id="positive", **text)
            negative = gr.Textbox(own[1], label="What must not be", elem_id="negative", **text)
            compare = gr.Button("Compare", variant="primary", scale=1, min_width=110, elem_id="compare")
        remark = gr.HTML(visible=False, padding=False, elem_id="remark")
        likeness = gr.HTML(padding=False, elem_id="goals")
        # What must not be tells the pairs apart; both would be cut where they are listed.
        examples = gr.Dataset(
            components=[gr.Textbox(visible=False)],
            headers=["must not be"],
            samples=[[against] for _, against in to_try()],
            label="Goals to try, by what must not be",
            type="index",
            elem_id="examples",
        )
    return [positive, negative], compare, examples, remark, likeness
