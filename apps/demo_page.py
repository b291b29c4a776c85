"""The page that holds the tabs of all demos: plain HTML, no framework, nothing loaded from elsewhere."""

from __future__ import annotations

import html
from collections.abc import Mapping

from common.ui import SANS

#: A frame is loaded when its tab is first opened, and keeps its page from then on. Arrow keys move along the tabs.
SCRIPT = """
const tabs = [...document.querySelectorAll('[role=tab]')];
function open(tab, focus) {
  for (const other of tabs) {
    const chosen = other === tab;
    other.setAttribute('aria-selected', chosen);
    other.tabIndex = chosen ? 0 : -1;
    const panel = document.getElementById(other.getAttribute('aria-controls'));
    panel.hidden = !chosen;
    const frame = panel.querySelector('iframe');
    if (chosen && frame && !frame.src) frame.src = frame.dataset.src;
  }
  if (focus) tab.focus();
  history.replaceState(null, '', '#' + tab.dataset.app);
}
tabs.forEach((tab, at) => {
  tab.addEventListener('click', () => open(tab));
  tab.addEventListener('keydown', event => {
    const step = {ArrowRight: 1, ArrowLeft: -1}[event.key];
    if (step) open(tabs[(at + step + tabs.length) % tabs.length], true);
  });
});
open(tabs.find(tab => '#' + tab.dataset.app === location.hash) ?? tabs[0]);
"""
CSS = f"""
:root {{ color-scheme: light dark; --line: #d6d3d1; --soft: #78716c; --accent: #b45309; }}
body {{ margin: 0; height: 100vh; display: flex; flex-direction: column; font-family: {", ".join(SANS)}; }}
[role=tablist] {{ display: flex; gap: .25rem; padding: .5rem .75rem 0; border-bottom: 1px solid var(--line); }}
[role=tab] {{ border: 0; border-bottom: 3px solid transparent; background: none; padding: .5rem .9rem; font: inherit;
  color: var(--soft); cursor: pointer; }}
[role=tab][aria-selected=true] {{ color: inherit; border-bottom-color: var(--accent); }}
[role=tab]:focus-visible {{ outline: 2px solid var(--accent); }}
[role=tabpanel] {{ flex: 1; min-height: 0; }}
[role=tabpanel] > div {{ max-width: 46rem; margin: 3rem auto; padding: 0 1rem; line-height: 1.5; }}
[role=tabpanel][hidden] {{ display: none; }}
iframe {{ border: 0; width: 100%; height: 100%; display: block; }}
"""


def front_page(tabs: Mapping[str, tuple[str, str]]) -> str:
    """The page.

    Args:
        tabs: by application, its page's title, and why there is no page; empty where there is one.
    """
    buttons = "".join(
        f'<button role="tab" id="tab-{name}" data-app="{name}" aria-controls="panel-{name}" aria-selected="false"'
        f' title="{_escape(title)}">{_escape(name)}</button>'
        for name, (title, _) in tabs.items()
    )
    panels = "".join(
        f'<div role="tabpanel" id="panel-{name}" aria-labelledby="tab-{name}" hidden>{_panel(name, *tab)}</div>'
        for name, tab in tabs.items()
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Touchstone</title>'
        f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{CSS}</style></head>'
        f'<body><nav role="tablist" aria-label="Applications">{buttons}</nav>{panels}<script>{SCRIPT}</script></body>'
        "</html>\n"
    )


def _panel(name: str, title: str, trouble: str) -> str:
    if trouble:
        return f"<div><h1>{_escape(name)} is not here</h1><p>{_escape(trouble)}</p></div>"
    return f'<iframe data-src="/{name}/" title="{_escape(title)}" allow="fullscreen"></iframe>'


def _escape(text: str) -> str:
    return html.escape(text, quote=True)
