"""The script of the demo's page: plays the film and keeps marker and numbers of all plots where the film is.

It finds everything anew when it is needed, so that parts of the page may be replaced at any time. Texts reach the page
as `textContent` only.
"""

from __future__ import annotations

#: After a new film, and after new plots under the same film.
BEGIN = "() => window.driveFilm && window.driveFilm.begin()"
REFRESH = "() => window.driveFilm && window.driveFilm.refresh()"

HEAD = """
<script>
(() => {
  const root = document.documentElement;
  const read = new WeakMap();
  let step = 0, playing = 0, begun;

  const data = (element, name) => {
    // An element may be given other data: it is known by the key that came with it.
    if (read.get(element)?.key !== element.dataset.key) read.set(element, {key: element.dataset.key});
    const known = read.get(element);
    if (!(name in known)) known[name] = JSON.parse(element.dataset[name]);
    return known[name];
  };
  const film = () => document.querySelector('.film[data-frames]');

  function show(wanted) {
    const box = film();
    if (!box) return;
    const last = Number(box.dataset.steps) - 1;
    step = Math.min(Math.max(Math.round(wanted), 0), last);
    const shown = data(box, 'shown');
    let low = 0, high = shown.length - 1;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (shown[middle] <= step) low = middle; else high = middle - 1;
    }
    const source = 'data:image/webp;base64,' + data(box, 'frames')[low];
    const image = box.querySelector('img');
    if (image.src !== source) image.src = source;
    const bar = box.querySelector('.scrub');
    bar.value = step;
    const time = ((step + 1) * Number(box.dataset.dt)).toFixed(1) + ' s';
    bar.setAttribute('aria-valuetext', time);
    box.querySelector('.clock').textContent = time;
    root.style.setProperty('--now', last ? step / last : 0);
    for (const plot of document.querySelectorAll('.plot[data-values]')) {
      const values = data(plot, 'values'), digits = Number(plot.dataset.digits);
      plot.querySelectorAll('output').forEach((output, line) => {
        const value = values[line][step];
        output.textContent = value === null || value === undefined ? '–' : value.toFixed(digits);
      });
    }
  }

  function stop() {
    cancelAnimationFrame(playing);
    playing = 0;
    label();
  }

  function label() {
    const button = document.querySelector('.film .play');
    if (button) button.textContent = playing ? 'Pause' : 'Play';
  }

  function play() {
    const box = film();
    if (!box) return;
    const last = Number(box.dataset.steps) - 1, key = box.dataset.key;
    const from = step >= last ? 0 : step;
    const since = performance.now();
    const tick = (now) => {
      if (film()?.dataset.key !== key) return stop();
      const at = from + Math.max(now - since, 0) / 1000 / Number(box.dataset.dt);
      show(at);
      if (at >= last) return stop();
      playing = requestAnimationFrame(tick);
    };
    playing = requestAnimationFrame(tick);
    label();
  }

  function seek(event) {
    const area = event.target.closest && event.target.closest('.plot .area');
    const box = film();
    if (!area || !box) return;
    const edge = area.getBoundingClientRect();
    stop();
    show((event.clientX - edge.left) / edge.width * (Number(box.dataset.steps) - 1));
  }

  document.addEventListener('input', (event) => {
    if (event.target.matches('.film .scrub')) { stop(); show(Number(event.target.value)); }
  });
  document.addEventListener('click', (event) => {
    if (event.target.closest('.film .play')) { if (playing) stop(); else play(); }
    const there = event.target.closest('[data-seek]');
    if (there) { stop(); show(Number(there.dataset.seek)); }
  });
  document.addEventListener('pointerdown', seek);
  document.addEventListener('pointermove', (event) => { if (event.buttons & 1) seek(event); });

  window.driveFilm = {
    // A drive that could not be driven leaves the film where it was.
    begin: () => requestAnimationFrame(() => {
      const key = film()?.dataset.key;
      if (key !== begun) { stop(); step = 0; begun = key; }
      show(step);
    }),
    refresh: () => requestAnimationFrame(() => show(step)),
  };
})();
</script>
"""
