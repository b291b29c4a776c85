"""The look of a report page: inline CSS, light and dark, no script, no web font."""

from __future__ import annotations

CSS = """
:root { color-scheme: light dark;
  --ink: #1d1c1a; --soft: #6a665f; --paper: #fbfaf8; --card: #ffffff; --line: #e4e0d9; --accent: #b07208;
  --good: #22814a; --bad: #b8324a; --alarm: #fdf0ef; --code: #f5f3ef; --zebra: #f7f5f1;
  --keyword: #8a3ba8; --string: #1c7a4a; --number: #0b6aa8; --name: #8a5a00; --comment: #85807a; }
@media (prefers-color-scheme: dark) { :root {
  --ink: #e9e6e0; --soft: #a49f96; --paper: #171614; --card: #1f1e1b; --line: #35332e; --accent: #e0a63a;
  --good: #5cc98a; --bad: #f0808f; --alarm: #331e20; --code: #262420; --zebra: #232220;
  --keyword: #cf9be6; --string: #7fd0a0; --number: #7cbcf0; --name: #e3b968; --comment: #8d887f; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); line-height: 1.55;
  font-family: ui-sans-serif, system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
main { max-width: 66rem; margin: 0 auto; padding: 2.2rem 1.4rem 4rem; }
header { border-bottom: 3px solid var(--accent); padding-bottom: 1rem; margin-bottom: 1.6rem; }
h1 { font-size: 1.9rem; line-height: 1.2; letter-spacing: -0.015em; margin: 0 0 0.3rem; }
h2 { font-size: 1.25rem; letter-spacing: -0.01em; margin: 2.6rem 0 0.8rem; }
h3 { font-size: 1rem; margin: 1.6rem 0 0.5rem; }
p { margin: 0.6rem 0; max-width: 48rem; }
.soft, figcaption, caption, footer { color: var(--soft); font-size: 0.88rem; }
nav { margin-top: 0.8rem; font-size: 0.9rem; display: flex; flex-wrap: wrap; gap: 0.3rem 1.1rem; }
a { color: var(--accent); text-decoration-thickness: 1px; text-underline-offset: 3px; }
code, pre { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; font-size: 0.86em; }
code { background: var(--code); border-radius: 4px; padding: 0.1em 0.35em; }
pre { background: var(--code); border-radius: 8px; padding: 0.7rem 0.9rem; margin: 0.3rem 0; overflow-x: auto;
  white-space: pre-wrap; overflow-wrap: anywhere; line-height: 1.45; }
pre code { background: none; padding: 0; font-size: 1em; }
.scroll { overflow-x: auto; margin: 1rem 0; border: 1px solid var(--line); border-radius: 10px;
  background: var(--card); }
table { border-collapse: collapse; width: 100%; font-size: 0.92rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding: 0.6rem 0.9rem 0.2rem; }
th, td { padding: 0.5rem 0.9rem; text-align: left; vertical-align: top; border-top: 1px solid var(--line); }
thead th { border-top: 0; font-weight: 600; color: var(--soft); font-size: 0.85rem; white-space: nowrap; }
tbody th { font-weight: 500; }
tbody tr:nth-child(even) { background: var(--zebra); }
.number { text-align: right; white-space: nowrap; }
.range { color: var(--soft); font-size: 0.86em; margin-left: 0.35em; }
.headline td, .headline tbody th { padding-top: 0.75rem; padding-bottom: 0.75rem; vertical-align: middle; }
.headline .after { font-size: 1.15rem; font-weight: 650; }
.headline .after .range { font-size: 0.75em; font-weight: 400; }
.up { color: var(--good); font-weight: 600; } .down { color: var(--bad); font-weight: 600; }
.dots { display: block; width: 11rem; height: 1.7rem; overflow: visible; }
.alarm { border: 1px solid var(--bad); border-left-width: 5px; background: var(--alarm); border-radius: 8px;
  padding: 0.7rem 1rem; margin: 1rem 0; }
.alarm strong { color: var(--bad); } .alarm p { margin: 0; max-width: none; }
figure { margin: 1.2rem 0; } figure svg { width: 100%; height: auto; display: block; }
figure img { max-width: 100%; height: auto; display: block; }
figure svg text { fill: currentColor; font-family: ui-sans-serif, system-ui, sans-serif; }
.samples { display: grid; gap: 0.9rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 29rem), 1fr)); }
.sample { border: 1px solid var(--line); border-radius: 10px;
  background: var(--card); padding: 0.8rem 1rem; min-width: 0; }
.sample dl { margin: 0; display: grid;
  grid-template-columns: minmax(5rem, max-content) minmax(0, 1fr); gap: 0.35rem 0.9rem; }
.sample dl dl { grid-template-columns: max-content minmax(0, 1fr); gap: 0 0.8rem; font-size: 0.95em; }
.sample dt { color: var(--soft); font-size: 0.86rem; } .sample dd { margin: 0; overflow-wrap: anywhere; }
.sample dd.text { white-space: pre-wrap; } .sample pre { margin: 0; }
.sample img { max-width: 100%; border-radius: 6px; }
.k { color: var(--keyword); } .s { color: var(--string); } .m { color: var(--number); } .n { color: var(--name); }
.c { color: var(--comment); font-style: italic; }
footer { border-top: 1px solid var(--line); margin-top: 3rem; padding-top: 0.8rem; }
@media print { main { max-width: none; } .sample, figure, tr { break-inside: avoid; } nav { display: none; } }
"""
