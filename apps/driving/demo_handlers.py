"""What the demo's page does on each event: values in, values for the page's components out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from apps.driving import demo_view as view
from apps.driving.demo_film import Film
from apps.driving.demo_sight import MAKE, to_try
from apps.driving.workbench import Wish, Workbench
from common.demo import html_update, notice
from common.errors import TouchstoneError

FIRST = "drive first"


class Handlers:
    """The page's events over a workbench."""

    def __init__(self, workbench: Workbench) -> None:
        self.workbench = workbench

    def menus(self) -> Any:
        """Towns, the first one's routes, and the policies that there are now: a run may have ended since."""
        import gradio as gr

        towns, policies = self.workbench.towns(), self.workbench.policies()
        town, policy = next(iter(towns), None), next(iter(policies))
        return (
            gr.update(choices=_choices(towns), value=town),
            self._routes(town),
            gr.update(choices=_choices(policies), value=policy),
        )

    def town(self, town: Any) -> Any:
        """The routes of the chosen town, or why it has none."""
        import gradio as gr

        try:
            return self._routes(town), html_update("")
        except TouchstoneError as error:
            return gr.update(choices=[], value=None), _failed(error)

    def drive(
        self,
        town: Any,
        route: Any,
        policy: Any,
        vehicles: Any,
        walkers: Any,
        seed: Any,
        recipe: Any,
        positive: Any,
        negative: Any,
    ) -> Iterator[Any]:
        """Drive and show how it goes; at the end the film, the reward's curves and those of the goals."""
        import gradio as gr

        try:
            for found in self.workbench.drive(Wish(town, route, policy, vehicles, walkers, seed)):
                if isinstance(found, Film):
                    curves = self.reward(found, recipe)
                    yield view.film_html(found), html_update(""), found, curves, *self.goals(found, positive, negative)
                else:
                    yield view.moment_html(found), html_update(""), *[gr.skip()] * 4
        except TouchstoneError as error:
            yield gr.skip(), _failed(error), *[gr.skip()] * 4

    def reward(self, film: Film | None, recipe: Any) -> Any:
        """The curves of a reward over the film."""
        if film is None:
            return notice("bad", "No film:", f"{FIRST}.")
        try:
            return view.reward_html(film, self.workbench.score(film, str(recipe)))
        except TouchstoneError as error:
            return notice("bad", "No reward:", f"{error}.")

    def goals(self, film: Film | None, positive: Any, negative: Any) -> Any:
        """Curves of the goals over the film, and a message where there are none."""
        import gradio as gr

        sight = self.workbench.sight
        if sight is None:
            return gr.skip(), gr.skip()
        if film is None or film.seen is None:
            return gr.skip(), html_update(notice("bad", "That did not work:", f"{FIRST}."))
        try:
            found = sight.compare(film.seen, positive, negative)
            return view.goals_html(found, sight.compare(film.seen, *sight.own), film.dt), html_update("")
        except TouchstoneError as error:
            return gr.skip(), _failed(error)

    def choose(self, film: Film | None, row: int) -> Any:
        """The pair of goals that was clicked."""
        positive, negative = to_try()[row]
        return positive, negative, *self.goals(film, positive, negative)

    def blind(self) -> str:
        """Why language goals are off; empty where they are on."""
        if self.workbench.sight is not None:
            return ""
        why = self.workbench.blind or f"there is no CLIP. Make the pocket one with: {MAKE}"
        return notice("caution", "Language goals are off:", f"{why}. Then start the demo again.")

    def _routes(self, town: Any) -> Any:
        import gradio as gr

        routes = self.workbench.routes(town)
        choices = [(f"{name} ({route.length:.0f} m)", name) for name, route in routes.items()]
        return gr.update(choices=choices, value=next(iter(routes), None))


def _choices(labels: dict[str, str]) -> list[tuple[str, str]]:
    """A menu of labels by name, as gradio wants it."""
    return [(label, name) for name, label in labels.items()]


def _failed(error: TouchstoneError) -> Any:
    return html_update(notice("bad", "That did not work:", f"{error}."))
