"""What the demo shows, as HTML in which every text that a user or a file name wrote is escaped."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Sequence

import numpy as np

from apps.driving import demo_plots
from apps.driving.demo_film import SIDE, Film, Moment
from apps.driving.demo_plots import Line, Plot, key_of, plots_html
from apps.driving.demo_sight import Likeness
from apps.driving.env_config import KMH
from apps.driving.measures.episodes import Episode
from apps.driving.measures.scores import driving_score
from apps.driving.workbench import Paid
from common.demo import escape, notice

#: Recipes whose parts are VLM-RL's factors; what they are called here. Parts of other recipes keep their names.
SYNTHESES = ("vlm_rl", "vlm_rl_no_clip", "vlm_rl_no_synthesis", "hand_written")
TITLES = {
    "speed": "speed factor",
    "centring": "centring factor",
    "heading": "heading factor",
    "stability": "stability factor",
    "penalty": "penalty applied",
    "goal": "goal c: 1 safe, 0 dangerous",
    "goal.positive": "cosine with the positive goal",
    "goal.negative": "cosine with the negative goal",
    "goal.z": "z of the reward's goals",
}
#: Those of them that lie within [0, 1]: a plot of one that hardly moves shall show just that.
SHARES = {"centring", "heading", "stability", "penalty", "goal"}
ENDINGS = {
    "goal": "Reached its goal",
    "off the route": "Left its route",
    "too fast": "Ended for driving too fast",
    "stuck": "Stood still for too long",
    "time limit": "The time was up",
}

CSS = (
    """
.html-container { padding: 0 !important; }
.film { display: flex; flex-wrap: wrap; gap: 0.7rem 1.1rem; align-items: flex-start; }
.film .screen { flex: 0 1 24rem; min-width: 15rem; }
.film img { display: block; width: 100%; aspect-ratio: 1; border-radius: 10px;
  border: 1px solid var(--border-color-primary); background: var(--background-fill-secondary); }
.film .bar { display: flex; gap: 0.6rem; align-items: center; margin-top: 0.45rem; }
.film .scrub { flex: 1; min-width: 0; accent-color: var(--color-accent); }
.film .clock { font-variant-numeric: tabular-nums; font-size: 0.86rem; min-width: 3.4rem; text-align: right; }
.film .play { min-width: 4.2rem; font-size: 0.86rem; font-weight: 550; border-radius: 8px; padding: 0.2rem 0.7rem;
  border: 1px solid var(--border-color-primary); background: var(--button-secondary-background-fill);
  color: var(--body-text-color); cursor: pointer; }
.film .under-way { margin: 0.45rem 0 0; font-size: 0.86rem; font-variant-numeric: tabular-nums; }
.film progress { width: 100%; accent-color: var(--color-accent); }
.film .aside { flex: 1 1 13rem; }
.ending { border: 1px solid var(--border-color-primary); border-left: 5px solid #d1495b; border-radius: 10px;
  padding: 0.7rem 0.95rem; background: var(--block-background-fill); }
.ending.good { border-left-color: #2e9e5b; }
.ending h4 { margin: 0 0 0.3rem; font-size: 1.02rem; font-weight: 600; }
.ending p { margin: 0.25rem 0 0; font-size: 0.9rem; line-height: 1.5; overflow-wrap: anywhere; }
.legend { margin-top: 0.7rem; font-size: 0.8rem; line-height: 1.5; color: var(--body-text-color-subdued); }
.said { margin: 0.3rem 0 0.7rem; font-size: 0.9rem; line-height: 1.55; overflow-wrap: anywhere; }
.said button { font: inherit !important; color: var(--link-text-color); text-decoration: underline; cursor: pointer;
  background: none !important; border: 0 !important; padding: 0 !important; }
"""
    + demo_plots.CSS
)


def moment_html(moment: Moment) -> str:
    """A drive under way: the newest picture, and how far it is."""
    told = f"{moment.seconds:.1f} s, {100 * moment.progress:.0f} % of the route: {escape(moment.note)}…"
    return (
        f'<div class="film"><div class="screen">{_image(moment.picture)}'
        f'<p class="under-way">{told}</p><progress max=1 value="{moment.progress:.3f}"></progress></div></div>'
    )


def film_html(film: Film) -> str:
    """The film with its bar, and what came of the drive."""
    frames = json.dumps([base64.b64encode(one).decode("ascii") for one in film.pictures])
    last = film.steps - 1
    return (
        f'<div class="film" data-steps="{film.steps}" data-dt="{film.dt}" data-shown="{json.dumps(film.shown)}" '
        f'data-key="{key_of(frames)}" data-frames="{escape(frames)}"><div class="screen">'
        f'{_image(film.pictures[0])}<div class="bar">'
        '<button type="button" class="play">Play</button>'
        f'<input type="range" class="scrub" min=0 max="{last}" value=0 step=1 aria-label="Moment of the drive">'
        f'<span class="clock">{film.dt:.1f} s</span></div></div>'
        f'<div class="aside">{ending_html(film.episode)}<p class="legend">The car is green and looks upwards, its '
        "route is blue, other cars are orange, people pink; a red frame is a collision. Click or drag in any plot to "
        "see that moment.</p></div></div>"
    )


def ending_html(episode: Episode) -> str:
    """How the drive ended, in words."""
    hit = episode.collisions[-1] if episode.collisions else None
    title = ENDINGS.get(episode.cause, episode.cause.capitalize())
    if hit is not None and episode.cause.startswith("collision"):
        title = f"{title} at {hit.speed:.0f} km/h"
    case = episode.case
    others = [(case.vehicles, "other car", "other cars"), (case.walkers, "person on foot", "people on foot")]
    crowd = " and ".join(f"{count} {one if count == 1 else many}" for count, one, many in others if count)
    told = (
        f"{episode.policy} drove {100 * episode.route_completion:.0f} % of {case.route} "
        f"({episode.route_length:.0f} m) in {episode.seconds:.1f} s, {'among ' + crowd if crowd else 'all alone'}: "
        f"{episode.average_speed:.1f} km/h and {episode.offset:.2f} m from the lane's centre on average."
    )
    hits = f"Collisions: {len(episode.collisions)}. " if episode.collisions else "It hit nothing. "
    score = f"{hits}Driving score {driving_score(episode):.2f} of 1."
    kind = "good" if episode.success else "bad"
    return (
        f'<article class="ending {kind}"><h4>{escape(title)}</h4><p>{escape(told)}</p><p>{escape(score)}</p></article>'
    )


def reward_html(film: Film, paid: Paid) -> str:
    """The reward and its parts over the drive, with speed and offset."""
    states = film.states
    lost = int(np.isnan(paid.values).sum())
    told = f"{escape(paid.recipe)} paid {np.nansum(paid.values):.1f} in {film.steps} steps"
    told += f"; {lost} steps could not be scored." if lost else "."
    plots = [
        Plot(f"Reward: {paid.recipe}", [Line("", paid.values)], spared=1, rules=(0.0,)),
        Plot(
            "Speed",
            [Line("car", states["speed"] / KMH), Line("limit", states["speed_limit"] / KMH, "rest")],
            "km/h",
            1,
        ),
        Plot("Offset, right is +", [Line("", states["offset"])], "m", rules=(0.0,)),
        *(_part(name, values, paid.recipe in SYNTHESES) for name, values in paid.parts.items()),
    ]
    return f'<p class="said">{told}</p>{plots_html(plots)}'


def _part(name: str, values: np.typing.NDArray[np.float64], factor: bool) -> Plot:
    title = TITLES.get(name, name) if factor else name
    bounds = (0.0, 1.0) if factor and name in SHARES else None
    return Plot(title.replace("_", " "), [Line("", values, "1")], digits=3, bounds=bounds)


def goals_html(found: Likeness, own: Likeness, dt: float) -> str:
    """Z of the typed goals over the drive, beside the configured ones; what it is highest at, in words."""
    typed = (found.positive, found.negative) != (own.positive, own.negative)
    lines = [Line("these goals", found.z)]
    if typed:
        lines.append(Line("the reward's own", own.z, "rest"))
    plots = [Plot("z", lines, digits=3, rules=found.limits or (), tall=True)]
    if found.safety is not None:
        plots.append(Plot("c: 1 safe, 0 dangerous", [Line("", found.safety)], bounds=(0.0, 1.0), tall=True))
    cosines = [Line("positive", found.towards, "1"), Line("negative", found.against, "0")]
    plots.append(Plot("Cosines with both goals", cosines, digits=3, tall=True))
    text = (
        f"“{escape(found.negative)}” against “{escape(found.positive)}”: z is {_mean(found.z)} on average"
        f"{_peak(found, dt)}. "
    )
    if found.limits is not None:
        low, high = found.limits
        text += f"Dashed: up to {low:.3f} is safe, from {high:.3f} on dangerous."
    elif typed:
        text += "No thresholds are known for these goals, so there is no c: they belong to one model and one wording."
    else:
        text += "No thresholds are known for this CLIP, so there is no c."
    return f'<p class="said">{text}</p>{_unheard(found.unheard)}{plots_html(plots)}'


def _peak(found: Likeness, dt: float) -> str:
    if not np.isfinite(found.z).any():
        return ""
    step = int(np.nanargmax(found.z))
    return f', highest <button type="button" data-seek="{step}">after {(step + 1) * dt:.1f} s</button>'


def _mean(values: np.typing.NDArray[np.float64]) -> str:
    known = values[np.isfinite(values)]
    mean = float(known.mean()) if len(known) else math.nan
    return "not known" if math.isnan(mean) else f"{mean:+.3f}"


def _unheard(words: Sequence[str]) -> str:
    if not words:
        return ""
    several = ", ".join(words)
    return notice("caution", "Words it never heard:", f"{several}. This CLIP learnt from a few hundred words only.")


def _image(picture: bytes) -> str:
    data = base64.b64encode(picture).decode("ascii")
    return f'<img src="data:image/webp;base64,{data}" width="{SIDE}" height="{SIDE}" alt="The drive seen from above">'
