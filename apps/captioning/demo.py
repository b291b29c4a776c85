"""`demo`: draw or upload a picture, see what is said of it before and after training, what that earns, and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from apps.captioning import demo_view as view
from apps.captioning.config import CaptioningConfig
from apps.captioning.workbench import (
    INITIAL,
    LARGEST_UPLOAD,
    LONGEST_CAPTION,
    TRAINED,
    Workbench,
    accept_upload,
    initial_path,
)
from common import ui
from common.demo import failed, html_update, notice, serve
from common.errors import TouchstoneError

if TYPE_CHECKING:
    import gradio
    from PIL.Image import Image
    from torch import Tensor

    from apps.captioning.pocket.scene import Scene

TITLE = "Caption a picture"
DESCRIPTION = (
    "Draw a scene or upload a picture. The captioner learnt to speak from sentences alone; what it sees, it learnt "
    "from CLIP, without a single caption of a picture."
)
ATTENTION = (
    "CLIP-agg pays a caption for being close to what the corpus says of such pictures: the mean of its sentences, "
    "weighted by how much the picture attends to each. A higher temperature attends to fewer."
)
OWN = "your caption"
TITLES = {INITIAL: "Before: text-only initialisation", TRAINED: "After training on the rewards"}


@dataclass(frozen=True)
class Shown:
    """The picture on the page and what was said of it.

    Attributes:
        seen: `(1, D)` feature; None before the first picture.
        scene: what is drawn; None for an uploaded picture.
        said: caption by the captioner's name.
    """

    seen: Tensor | None = None
    scene: Scene | None = None
    said: dict[str, str] = field(default_factory=dict)


#: What the page is served with, alone or beside others.
PAGE: dict[str, Any] = {"css": view.CSS, "max_file_size": LARGEST_UPLOAD}


def run_demo(config: CaptioningConfig, port: int = 7860, share: bool = False) -> int:
    """Serve the demo until Ctrl-C."""
    from common.training.run import set_threads

    set_threads(config.threads)
    return serve(build_demo(config), port, share, **PAGE)


def build_demo(config: CaptioningConfig) -> gradio.Blocks:
    """The page with the configured captioner, the one it was made from, and the configured CLIP and corpus."""
    return build_page(build_workbench(config), config.reward.temperature)


def build_workbench(config: CaptioningConfig) -> Workbench:
    """The configured captioner, the initialisation beside it where there is one, and the corpus' features."""
    from apps.captioning.assistant import SHIPPED, CaptionAssistant, captioner_path
    from apps.captioning.data import load_corpus
    from apps.captioning.features import corpus_features
    from common.files import locate

    path = captioner_path(config)
    trained = CaptionAssistant(config, path=path)
    corpus = load_corpus(config.corpus)
    features = corpus_features(trained.clip, corpus, config.clip.cache)
    assistants = {TRAINED: CaptionAssistant(config, trained.clip, path, features)}
    initial = initial_path(path)
    if initial is not None:
        assistants = {INITIAL: CaptionAssistant(config, trained.clip, initial, features), **assistants}
    shipped = path.resolve() == locate(SHIPPED).resolve()
    return Workbench(assistants, trained.clip, corpus, features, config.reward, shipped)


def build_page(workbench: Workbench, temperature: float = 100.0) -> gradio.Blocks:
    """The page over any workbench; `temperature` is where the slider starts."""
    import gradio as gr

    handlers = Handlers(workbench)
    with ui.page(TITLE, DESCRIPTION) as blocks:
        shown = gr.State(Shown())
        with gr.Row(equal_height=False):
            with gr.Column(scale=4, min_width=320):
                picture = gr.HTML(padding=False, elem_id="picture")
                sentence = gr.Textbox(label="Scene to draw", lines=2, max_lines=3, elem_id="sentence")
                with gr.Row():
                    draw = gr.Button("Draw", variant="primary", min_width=90, elem_id="draw")
                    other = gr.Button("Random scene", min_width=120, elem_id="random")
                held = gr.Checkbox(label="Only colours on shapes that training never showed together", elem_id="held")
                megabytes = LARGEST_UPLOAD // 1_000_000
                upload = gr.UploadButton(
                    f"Upload a picture (up to {megabytes} MB)", size="sm", file_types=["image"], elem_id="upload"
                )
                message = gr.HTML(visible=False, padding=False, elem_id="message")
            with gr.Column(scale=7, min_width=420):
                beam = gr.Slider(1, 10, 5, step=1, label="Beam: captions kept while searching", elem_id="beam")
                captions = gr.HTML(padding=False, elem_id="captions")
                with gr.Row(equal_height=True):
                    own = gr.Textbox(
                        label="Your caption",
                        placeholder="What do you see?",
                        lines=1,
                        max_length=LONGEST_CAPTION,
                        scale=6,
                        elem_id="own",
                    )
                    check = gr.Button("Check", variant="primary", scale=1, min_width=90, elem_id="check")
                verdict = gr.HTML(visible=False, padding=False, elem_id="verdict")
                rewards = gr.HTML(padding=False, elem_id="rewards")
        examples = gr.Dataset(
            components=[gr.Textbox(visible=False)],
            headers=["sentence"],
            samples=[[text] for text in workbench.sentences()],
            label="Scenes to try",
            elem_id="examples",
        )
        gr.Markdown(f"## What does the picture attend to?\n\n{ATTENTION}", elem_classes="page-title")
        heat = gr.Slider(0, 400, temperature, step=1, label="Temperature of the attention", elem_id="temperature")
        attention = gr.HTML(padding=False, elem_id="attention")

        settings: dict[str, Any] = {"show_progress": "minimal", "api_visibility": "private"}
        page = [picture, sentence, message, shown, captions, own, verdict, rewards, attention]
        blocks.load(handlers.another, [held, beam, heat], page, **settings)
        other.click(handlers.another, [held, beam, heat], page, **settings)
        gr.on([draw.click, sentence.submit], handlers.draw, [sentence, beam, heat], page, **settings)
        examples.click(handlers.choose, [examples, beam, heat], page, **settings)
        upload.upload(handlers.upload, [upload, beam, heat], page, **settings)
        # The newest position of a slider counts, not every one that it passed.
        sliding: dict[str, Any] = {**settings, "trigger_mode": "always_last"}
        beam.change(handlers.beam, [shown, beam, own, heat], [shown, captions, rewards], **sliding)
        heat.change(handlers.heat, [shown, own, heat], [rewards, attention], **sliding)
        gr.on([check.click, own.submit], handlers.check, [shown, own, heat], [verdict, rewards], **settings)
    return blocks


class Handlers:
    """What the page does on each event: values in, values for the page's components out."""

    def __init__(self, workbench: Workbench) -> None:
        self.workbench = workbench

    def another(self, held: bool, beam: int, heat: float) -> Any:
        """A random scene."""
        scene, sentence = self.workbench.random_scene(held)
        return self._drawn(scene, sentence, beam, heat)

    def draw(self, sentence: str, beam: int, heat: float) -> Any:
        """The scene of a sentence, or why there is none."""
        try:
            return self._drawn(self.workbench.scene_of(sentence), sentence, beam, heat)
        except TouchstoneError as error:
            return self._message(failed(error))

    def choose(self, row: list[str], beam: int, heat: float) -> Any:
        """The scene of the example that was clicked."""
        return self.draw(row[0], beam, heat)

    def upload(self, path: str, beam: int, heat: float) -> Any:
        """Take in a picture, or say why not."""
        import gradio as gr
        from gradio.utils import get_upload_folder

        try:
            picture = accept_upload(path, get_upload_folder())
            said = "The shipped models know drawn shapes only: of a photograph they say what shapes it looks like."
            message = notice("caution", "Uploaded.", said) if self.workbench.pocket else ""
            alt = f"{picture.width:,} × {picture.height:,} pixels; what it shows is not known, so there is no verdict"
            shown = view.picture_html(picture, alt, drawn=False)
            return shown, gr.skip(), html_update(message), *self._told(picture, None, beam, heat)
        except TouchstoneError as error:
            return self._message(failed(error))

    def beam(self, shown: Shown, beam: int, own: str, heat: float) -> Any:
        """Caption the same picture with another beam."""
        import gradio as gr

        if shown.seen is None:
            return gr.skip()
        shown, captions = self._caption(shown.seen, shown.scene, beam)
        return shown, captions, self._rewards(shown, own, heat)

    def heat(self, shown: Shown, own: str, heat: float) -> Any:
        """Attend to the corpus at another temperature, which CLIP-agg follows."""
        import gradio as gr

        if shown.seen is None:
            return gr.skip()
        return self._rewards(shown, own, heat), view.attention_html(self.workbench.attend(shown.seen, heat))

    def check(self, shown: Shown, own: str, heat: float) -> Any:
        """The visitor's caption: its verdict, and its bars beside the others."""
        import gradio as gr

        if shown.seen is None:
            return gr.skip()
        if not own.strip():
            return html_update(notice("bad", "That did not work:", "write a caption first.")), gr.skip()
        if len(own) > LONGEST_CAPTION:
            said = f"the caption has {len(own):,} characters; at most {LONGEST_CAPTION:,} are read."
            return html_update(notice("bad", "That did not work:", said)), gr.skip()
        card = view.card_html("Your caption", own, shown.scene) if shown.scene is not None else ""
        return html_update(card), self._rewards(shown, own, heat)

    def _drawn(self, scene: Scene, sentence: str, beam: int, heat: float) -> tuple[Any, ...]:
        from apps.captioning.pocket.render import draw

        picture = draw(scene)
        shown = view.picture_html(picture, sentence, scene.held)
        return shown, sentence, html_update(""), *self._told(picture, scene, beam, heat)

    def _told(self, picture: Image, scene: Scene | None, beam: int, heat: float) -> tuple[Any, ...]:
        """What is said of a new picture: state, captions, an empty field for the visitor's, rewards, attention."""
        seen = self.workbench.see(picture)
        shown, captions = self._caption(seen, scene, beam)
        attention = view.attention_html(self.workbench.attend(seen, heat))
        return shown, captions, "", html_update(""), self._rewards(shown, "", heat), attention

    def _caption(self, seen: Tensor, scene: Scene | None, beam: int) -> tuple[Shown, str]:
        found = self.workbench.captions(seen, int(beam))
        said = {name: best.text for name, best in found.items()}
        return Shown(seen, scene, said), view.cards_html(found, TITLES, scene)

    def _rewards(self, shown: Shown, own: str, heat: float) -> str:
        """Bars of everything that was said of the picture, the visitor's caption included."""
        assert shown.seen is not None
        # A page keeps to the longest caption; whoever talks to the server past it gets no bar.
        said = {**shown.said, **({OWN: own} if own.strip() and len(own) <= LONGEST_CAPTION else {})}
        paid = self.workbench.pay(shown.seen, list(said.values()), heat)
        return view.rewards_html(list(zip(said, paid, strict=True)))

    def _message(self, message: str) -> Any:
        """Leave everything as it is and say something."""
        import gradio as gr

        return gr.skip(), gr.skip(), html_update(message), *[gr.skip()] * 6
