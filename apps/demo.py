"""`demo`: the pages of all applications behind tabs of one page, each under its own path, with its own limits.

A tab holds its application's page in a frame: styles, scripts and names of five pages do not meet, and an upload is
checked by the page that it is meant for.
"""

from __future__ import annotations

import importlib
import importlib.util
import socket
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from apps.demo_page import front_page
from apps.suite import APPS, install, status
from common import ui
from common.body_limit import BodyLimit
from common.config import load, nearest
from common.errors import MissingDependency, TouchstoneError, UsageError
from common.uploads import LARGEST_OTHERWISE

if TYPE_CHECKING:
    import fastapi
    import gradio

CONFIGS = Path(__file__).resolve().parent.parent / "configs"


@dataclass(frozen=True)
class Tab:
    """What stands behind one tab.

    Attributes:
        title: of the application's page.
        blocks: the page; None where it could not be made.
        settings: what it is served with: `css`, `head`, `max_file_size`.
        trouble: why there is no page, and what would mend that.
    """

    title: str
    blocks: gradio.Blocks | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    trouble: str = ""


def run_demo(port: int = 7860, apps: str | None = None) -> int:
    """Serve all demos until Ctrl-C, on this machine only.

    Args:
        port: to serve on.
        apps: comma-separated; all where not given.

    Raises:
        UsageError: no such application, or the port is taken.
        MissingDependency: gradio is not installed.
    """
    names = [name.strip() for name in (apps or ",".join(APPS)).split(",") if name.strip()]
    for name in names:
        if name not in APPS:
            raise UsageError(f"no application {name!r}{nearest(name, list(APPS))}")
    if importlib.util.find_spec("gradio") is None:
        raise MissingDependency("gradio", "all")
    tabs: dict[str, Tab] = {}
    with ui.progress("opening", len(names)) as bar:
        for number, name in enumerate(names):
            bar(number, name)
            tabs[name] = open_tab(name)
            if tabs[name].trouble:
                ui.warn(f"{name}: {tabs[name].trouble}")
    with serving(assemble(tabs), port) as (address, thread):
        ui.say(f"open {address} in a browser; Ctrl-C stops")
        while thread.is_alive():
            thread.join(1)
    return 0


def open_tab(name: str) -> Tab:
    """Make an application's page from its pocket config, or say what is missing."""
    missing = status(name).packages
    if missing:
        return Tab(name, trouble=f"{', '.join(missing)} is missing; {install(name)}, then start the demo again")
    try:
        config_module = importlib.import_module(f"apps.{name}.__main__")
        config = load(config_module.APP.config, CONFIGS / name / "pocket.yaml")
        demo = importlib.import_module(f"apps.{name}.demo")
        from common.training.run import set_threads

        set_threads(config.threads)
        return Tab(demo.TITLE, demo.build_demo(config), demo.PAGE)
    except ModuleNotFoundError as error:
        return Tab(name, trouble=f"{error.name} is missing; {install(name)}, then start the demo again")
    except TouchstoneError as error:
        return Tab(name, trouble=str(error))


def assemble(tabs: Mapping[str, Tab]) -> fastapi.FastAPI:
    """The server of all pages: the tabs at `/`, each page under the name of its application."""
    import fastapi
    import gradio
    from fastapi.responses import HTMLResponse

    # No page that describes the server: it has nothing to be called from elsewhere.
    server = fastapi.FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    server.add_middleware(BodyLimit)
    page = front_page({name: (tab.title, tab.trouble) for name, tab in tabs.items()})

    @server.get("/", response_class=HTMLResponse)
    def front() -> str:
        return page

    for name, tab in tabs.items():
        if tab.blocks is not None:
            css = ui.CSS + tab.settings.get("css", "")
            settings = {"max_file_size": LARGEST_OTHERWISE, **tab.settings, "css": css}
            server = gradio.mount_gradio_app(
                server, tab.blocks, f"/{name}", theme=ui.theme(), footer_links=[], ssr_mode=False, **settings
            )
    return server


@contextmanager
def serving(server: fastapi.FastAPI, port: int) -> Iterator[tuple[str, threading.Thread]]:
    """Serve on this machine only while the block runs; the address, and the thread that serves.

    Raises:
        UsageError: the port is taken.
    """
    import uvicorn

    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        line.bind(("127.0.0.1", port))
    except (OSError, OverflowError) as error:
        line.close()
        raise UsageError(f"port {port} cannot be used, most likely it is taken; choose another with --port") from error
    runner = uvicorn.Server(uvicorn.Config(server, log_level="warning"))
    # Signals belong to the main thread, which ends the server.
    thread = threading.Thread(target=runner.run, args=([line],), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{line.getsockname()[1]}/", thread
    finally:
        runner.should_exit = True
        thread.join(10)
        line.close()
