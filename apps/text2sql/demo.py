"""`demo`: ask about a database in the browser, see the query and its rows, edit it, and see what it would earn."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.text2sql import demo_view as view
from apps.text2sql.assistant import ModelAssistant
from apps.text2sql.config import Text2SqlConfig
from apps.text2sql.workbench import (
    LARGEST_UPLOAD,
    LONGEST_QUESTION,
    Workbench,
    accept_upload,
    one_of_each_language,
    upload_name,
)
from common import ui
from common.demo import failed, html_update, notice, serve
from common.errors import TouchstoneError

if TYPE_CHECKING:
    import gradio

    from apps.text2sql.execution.database import Execution

TITLE = "Ask a database"
DESCRIPTION = (
    "Choose a database or upload one, and ask in English, German, French, Spanish, Japanese, Chinese or Vietnamese. "
    "Then change the query and see what it would earn in training."
)
EARN = "Change the query, hold it against a reference, and see the verdict and the reward that training would give it."
HINT = notice("", "Edit the query and press Check:", "verdict, reward and result appear here.")
FROM_MODEL, FROM_GOLD = "the model's query", "the gold query"
#: What the page is served with, alone or beside others.
PAGE: dict[str, Any] = {"css": view.CSS, "max_file_size": LARGEST_UPLOAD}


def run_demo(config: Text2SqlConfig, port: int = 7860, share: bool = False) -> int:
    """Serve the demo until Ctrl-C."""
    from common.training.run import set_threads

    set_threads(config.threads)
    workbench = build_workbench(config)
    assistant = workbench.assistant
    if isinstance(assistant, ModelAssistant):
        assistant.load()
    blocks = build_page(workbench)
    with workbench.judge:
        return serve(blocks, port, share, **PAGE)


def build_demo(config: Text2SqlConfig) -> gradio.Blocks:
    """The page with the configured model, the pocket databases and the configured reward."""
    return build_page(build_workbench(config))


def build_workbench(config: Text2SqlConfig) -> Workbench:
    """The configured model, the pocket databases with example questions, and the configured reward."""
    from apps.text2sql.execution.database import Limits
    from apps.text2sql.execution.workers import Judge
    from apps.text2sql.pocket import build_databases, default_folder, load_pocket
    from apps.text2sql.rewards import build_reward

    limits = Limits(seconds=config.evaluate.seconds)
    judge = Judge(workers=1, limits=limits, preset=config.reward.preset)
    assistant = ModelAssistant(config, judge)
    databases: dict[str, Path] = build_databases(default_folder())
    examples = [example for split in ("dev", "heldout_databases") for example in load_pocket(split, limit=1050)]
    return Workbench(assistant, judge, build_reward(config.reward), databases, one_of_each_language(examples))


def build_page(workbench: Workbench) -> gradio.Blocks:
    """The page over any workbench."""
    import gradio as gr

    names = list(workbench.databases)
    handlers = Handlers(workbench)
    code: dict[str, Any] = {"language": "sql", "wrap_lines": True, "show_line_numbers": False, "buttons": ["copy"]}
    with ui.page(TITLE, DESCRIPTION) as blocks:
        uploaded = gr.State(None)
        opened = gr.State(None)  # the file that is shown
        asked = gr.State(("", "", ""))  # the question, its answer by the model, and its gold
        with gr.Row(equal_height=False):
            with gr.Column(scale=4, min_width=320):
                database = gr.Dropdown(names, value=names[0], label="Database", elem_id="database")
                upload = gr.UploadButton("Upload an SQLite file (up to 50 MB)", size="sm", elem_id="upload")
                upload_notice = gr.HTML(visible=False, padding=False, elem_id="upload-notice")
                schema = gr.HTML(padding=False, elem_id="schema")
                table = gr.Dropdown([], label="Look into a table", elem_id="table")
                sample = gr.Dataframe(interactive=False, show_label=False, buttons=[], elem_id="sample")
            with gr.Column(scale=7, min_width=420):
                with gr.Row(equal_height=True):
                    question = gr.Textbox(
                        label="Question",
                        placeholder="How many …?",
                        lines=1,
                        max_length=LONGEST_QUESTION,
                        scale=6,
                        elem_id="question",
                    )
                    ask = gr.Button("Ask", variant="primary", scale=1, min_width=90, elem_id="ask")
                examples = gr.Dataset(
                    components=[gr.Textbox(visible=False), gr.Textbox(visible=False)],
                    headers=["language", "question"],
                    samples=[list(row) for row in workbench.questions(names[0])],
                    label="Questions to try",
                    samples_per_page=7,
                    elem_id="examples",
                )
                sql = gr.Code(label="SQL", interactive=False, lines=1, visible=False, elem_id="sql", **code)
                agreement = gr.HTML(visible=False, padding=False, elem_id="agreement")
                rows = gr.Dataframe(interactive=False, label="Result", max_height=320, visible=False, elem_id="rows")
        gr.Markdown(f"## What would another query earn?\n\n{EARN}", elem_classes="page-title")
        with gr.Row(equal_height=False):
            with gr.Column(min_width=320):
                edited = gr.Code(label="Your query", interactive=True, lines=3, elem_id="edited", **code)
                source = gr.Radio([FROM_MODEL], value=FROM_MODEL, label="Compare with", elem_id="source")
                reference = gr.Code(label="Reference", interactive=True, lines=2, elem_id="reference", **code)
                check = gr.Button("Check", variant="primary", elem_id="check")
            with gr.Column(min_width=320):
                verdict = gr.HTML(HINT, padding=False, elem_id="verdict")
                parts = gr.HTML(visible=False, padding=False, elem_id="parts")
                edited_rows = gr.Dataframe(
                    interactive=False, label="Result", max_height=260, visible=False, elem_id="edited-rows"
                )
        answered = [sql, agreement, rows, edited, source, reference, verdict, parts, edited_rows, asked]
        settings: dict[str, Any] = {"show_progress": "minimal", "api_visibility": "private"}
        opening: dict[str, Any] = {
            "fn": handlers.open,
            "inputs": [database, uploaded, opened],
            "outputs": [opened, schema, table, sample, examples, question, *answered],
            **settings,
        }
        blocks.load(**opening)
        database.change(**opening)
        uploading = upload.upload(
            handlers.upload, [upload, database, uploaded], [uploaded, database, upload_notice], **settings
        )
        # Another file of the same name leaves the list as it is, so that it does not change.
        uploading.success(**opening)
        table.input(handlers.sample, [database, uploaded, table], sample, **settings)
        examples.click(handlers.choose, examples, question, **settings)
        asking: dict[str, Any] = {"inputs": [question, database, uploaded], "outputs": answered, **settings}
        gr.on([ask.click, question.submit], handlers.ask, **asking)
        source.input(handlers.source, [source, asked], reference, **settings)
        check.click(
            handlers.check, [edited, reference, asked, database, uploaded], [verdict, parts, edited_rows], **settings
        )
    return blocks


class Handlers:
    """What the page does on each event: values in, values for the page's components out."""

    def __init__(self, workbench: Workbench) -> None:
        self.workbench = workbench

    def open(self, name: str, uploaded: str | None, opened: str | None) -> Any:
        """Show a database: schema, tables, first rows, example questions; and take away what belongs to another."""
        import gradio as gr

        samples = [list(row) for row in self.workbench.questions(name)]
        dataset = gr.Dataset(samples=samples, visible=bool(samples))
        # While the first one opens, a fast visitor is typing already.
        question = gr.skip() if opened is None else ""
        nothing = (question, *self._answer("", "", None, ""), ("", "", ""))
        try:
            database = self.workbench.resolve(name, uploaded)
            if database == opened:
                # The list also reports a change when it is drawn; what was typed meanwhile must stay.
                return gr.skip()
            schema = self.workbench.schema(database)
            tables = [table.name for table in schema.tables]
            rows = self.workbench.rows_of(database, tables[0])
        except TouchstoneError as error:
            return None, failed(error), gr.update(choices=[], value=None), _rows(None), dataset, *nothing
        listed = gr.update(choices=tables, value=tables[0])
        return database, view.schema_html(schema), listed, _rows(rows, label=False), dataset, *nothing

    def upload(self, path: str, name: str, uploaded: str | None) -> tuple[Any, ...]:
        """Take in a file, or say why not."""
        import gradio as gr
        from gradio.utils import get_upload_folder

        try:
            accepted = accept_upload(path, get_upload_folder())
        except TouchstoneError as error:
            return uploaded, name, html_update(failed(error))
        shown = upload_name(accepted)
        choices = [*self.workbench.databases, shown]
        return accepted, gr.update(choices=choices, value=shown), html_update(notice("good", "Opened read-only."))

    def sample(self, name: str, uploaded: str | None, table: str) -> Any:
        """The first rows of a table."""
        try:
            return _rows(self.workbench.rows_of(self.workbench.resolve(name, uploaded), table), label=False)
        except TouchstoneError:
            return _rows(None)

    def choose(self, row: list[str]) -> str:
        """The question of the example that was clicked."""
        return row[1]

    def ask(self, question: str, name: str, uploaded: str | None) -> tuple[Any, ...]:
        """Answer a question."""
        try:
            answer = self.workbench.ask(question, self.workbench.resolve(name, uploaded))
        except TouchstoneError as error:
            return *self._answer("", failed(error), None, ""), (question, "", "")
        gold, best = self.workbench.gold(name, question), answer.best
        sql = best.sql if best is not None else ""
        shown = self._answer(sql, view.agreement_html(answer), best.execution if best is not None else None, gold)
        return *shown, (question, sql, gold)

    def source(self, source: str, asked: tuple[str, str, str]) -> str:
        """The reference query that was chosen."""
        return asked[2] if source == FROM_GOLD else asked[1]

    def check(
        self, query: str, reference: str, asked: tuple[str, str, str], name: str, uploaded: str | None
    ) -> tuple[Any, ...]:
        """Hold the edited query against the reference."""
        try:
            assay = self.workbench.assay(query, reference, asked[0], self.workbench.resolve(name, uploaded))
        except TouchstoneError as error:
            return failed(error), html_update(""), _rows(None)
        verdict = view.verdict_html(assay.verdict, assay.reason)
        return verdict, html_update(view.parts_html(assay.reward, assay.parts, assay.bounds)), _rows(assay.execution)

    def _answer(self, sql: str, agreement: str, execution: Execution | None, gold: str) -> tuple[Any, ...]:
        """Values for everything below the question but the state."""
        import gradio as gr

        choices = [FROM_MODEL, FROM_GOLD] if gold else [FROM_MODEL]
        source = gr.update(choices=choices, value=choices[-1])
        shown = gr.update(value=sql, visible=bool(sql))
        return (
            shown,
            html_update(agreement),
            _rows(execution),
            sql,
            source,
            gold or sql,
            HINT,
            html_update(""),
            _rows(None),
        )


def _rows(execution: Execution | None, label: bool = True) -> Any:
    """A result's rows; a table that takes no room where there is none."""
    import gradio as gr

    if execution is None or not execution.ok:
        return gr.update(value=None, visible=False)
    shown = {"label": view.result_label(execution)} if label else {}
    return gr.update(value=view.grid(execution), visible=True, **shown)
