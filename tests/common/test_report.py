"""A report is one file that loads nothing, runs nothing and shows hostile text as text."""

from __future__ import annotations

import math
from html.parser import HTMLParser

import pytest
from PIL import Image

from common.errors import DataError
from common.report import Change, Report, bars, curves, highlight_sql
from common.stats import Interval

HOSTILE = "<script>alert('x')</script><img src=x onerror=alert(1)>\" onload=\"x"


class Page(HTMLParser):
    """What a browser would see: tags, attributes, text; remembers tags left open."""

    VOID = ("meta", "img", "br", "hr")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def names(self) -> set[str]:
        return {tag for tag, _ in self.tags}


def full_report() -> Report:
    log = [
        {"step": step, "reward": math.sin(step / 9) + step / 50, "loss": None if step % 7 else 0.5}
        for step in range(80)
    ]
    interval = Interval(0.5, 0.4, 0.6, 100)
    report = Report("Run 7 " + HOSTILE, "pocket " + HOSTILE)
    report.headline([Change("all " + HOSTILE, interval, Interval(0.7, 0.6, 0.8, 100), Interval(0.2, 0.1, 0.3, 100))])
    report.alarm("reward up, gold down " + HOSTILE)
    report.section("Curves " + HOSTILE).figure(
        curves(log, {"reward": "reward <b>", "loss": "loss"}), "curve " + HOSTILE
    )
    report.section("Languages").figure(
        bars(["en", "日本"], {"before": [interval, 0.2], "after": [interval, interval]})
    )
    report.section("Samples").samples([{"question": HOSTILE, "sql": "SELECT '</code><script>' FROM t -- " + HOSTILE,
                                        "parts": {HOSTILE: 0.5}, "picture": Image.new("RGB", (8, 8), "red"),
                                        "prompt": [{"role": "user", "content": HOSTILE}]}])  # fmt: skip
    report.text("**bold** `code` [link](http://example.com/x) ![p](http://example.com/p.png) " + HOSTILE)
    report.table(["name", HOSTILE], [[HOSTILE, 1.0]], caption=HOSTILE).facts({HOSTILE: HOSTILE})
    return report


def test_page_is_well_formed_and_loads_and_runs_nothing(tmp_path):
    path = full_report().save(tmp_path / "report.html")
    text = path.read_text(encoding="utf-8")
    page = Page(text)
    assert page.open == []
    assert page.names().isdisjoint({"script", "link", "iframe", "object", "embed", "base", "form", "video"})
    for tag, attributes in page.tags:
        assert not any(name.startswith("on") for name in attributes), (tag, attributes)
        for name in ("src", "href", "xlink:href", "srcset", "data", "action"):
            value = attributes.get(name)
            assert value is None or value.startswith(("#", "data:image/png")), (tag, name, value)
    assert "@import" not in text
    assert not [part for part in text.split("url(")[1:] if not part.startswith("#")]
    assert "default-src 'none'" in text


def test_hostile_text_is_shown_as_it_is():
    page = Page(full_report().html())
    assert page.text.count("<script>alert('x')</script>") >= 10
    assert "http://example.com/x" in page.text


def test_pictures_and_figures_say_what_they_are():
    page = Page(full_report().html())
    labelled = [attributes for tag, attributes in page.tags if tag == "svg" and attributes.get("role") == "img"]
    assert len(labelled) == 2
    assert all(attributes["aria-label"] for attributes in labelled)
    assert all(attributes.get("alt") for tag, attributes in page.tags if tag == "img")
    scopes = [attributes.get("scope") for tag, attributes in page.tags if tag == "th"]
    assert set(scopes) == {"row", "col"}


def test_ids_are_unique_and_every_reference_resolves():
    page = Page(full_report().html())
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    references = [
        attributes[name] for _, attributes in page.tags for name in ("href", "xlink:href") if name in attributes
    ]
    references += [
        value[4:-1] for _, attributes in page.tags for value in attributes.values() if str(value).startswith("url(#")
    ]
    assert references
    assert {reference.lstrip("#") for reference in references} <= set(ids)


def test_figures_follow_the_pages_colours():
    text = full_report().html()
    assert "currentColor" in text
    assert "#000000" not in text
    assert "prefers-color-scheme: dark" in text


def test_same_report_same_bytes():
    assert full_report().html() == full_report().html()


def test_headline_says_whether_the_change_is_real():
    low, high = Interval(0.5, 0.4, 0.6, 9), Interval(0.7, 0.6, 0.8, 9)
    up = Report("r").headline([Change("x", low, high, Interval(0.2, 0.1, 0.3, 9))]).html()
    down = Report("r").headline([Change("x", high, low, Interval(-0.2, -0.3, -0.1, 9))]).html()
    unsure = Report("r").headline([Change("x", low, high, Interval(0.2, -0.1, 0.3, 9))]).html()
    assert 'class="up">+20.0<' in up
    assert "[+10.0, +30.0]" in up
    assert 'class="down">-20.0<' in down
    assert 'class="up"' not in unsure
    assert 'class="down"' not in unsure
    nothing = Interval(math.nan, math.nan, math.nan, 0)
    Page(Report("r").headline([Change("x", nothing, nothing)]).html())


def test_numbers_stand_on_the_right_and_missing_ones_are_dashes():
    report = Report("r").table(
        ["name", "value"], [["a", 0.123456], ["b", None], ["c", math.nan], ["d", Interval(0.5, 0.4, 0.6, 3)]]
    )
    text = report.html()
    assert text.count('<td class="number">–</td>') == 2
    assert '<td class="number">0.1235</td>' in text
    assert '0.500<span class="range">[0.400, 0.600]</span>' in text


def test_sql_is_highlighted_and_unchanged():
    query = "SELECT count(*) FROM t WHERE a = 'x<y' -- note\n  AND b > 12"
    marked = highlight_sql(query)
    assert '<span class="k">SELECT</span>' in marked
    assert '<span class="m">12</span>' in marked
    assert "x&lt;y" in marked
    assert Page(marked).text == query


def test_curves_leave_out_what_was_never_logged():
    figure = curves([{"step": 1, "a": 1.0}, {"step": 2, "a": None}, {"step": 3, "a": 3.0}], ["a", "b"])
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in shown] == ["a"]
    assert list(shown[0].lines[0].get_xdata()) == [1.0, 3.0]
    empty = curves([], ["a"])
    assert "nothing was logged" in [text.get_text() for text in empty.axes[0].texts]


def test_running_mean_lies_over_noise_and_keeps_a_constant():
    rows = [{"step": step, "a": 2.0, "noisy": (-1.0) ** step} for step in range(60)]
    figure = curves(rows, ["a", "noisy"])
    constant, noisy = (axes.lines[1].get_ydata() for axes in figure.axes)
    assert set(constant) == {2.0}
    assert max(abs(value) for value in noisy[5:-5]) <= 0.5


def test_a_long_series_of_points_becomes_a_picture():
    from matplotlib.figure import Figure

    figure = Figure()
    figure.subplots().scatter(range(20_000), range(20_000))
    text = Report("r").figure(figure, "many").html()
    assert "data:image/png" in text
    assert len(text) < 1_000_000


def test_an_unreadable_picture_names_its_file(tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"broken\.png"):
        Report("r").image(broken)


def test_bars_refuse_a_series_of_another_length():
    with pytest.raises(ValueError, match="2 labels"):
        bars(["a", "b"], {"x": [1.0]})


def test_a_moving_picture_waits_until_it_is_opened():
    page = Report("t").animation(b"GIF89a-bytes", 'Play: "a" <b>', "under it").html()

    assert "<details><summary>Play: &quot;a&quot; &lt;b&gt;</summary>" in page
    assert 'src="data:image/gif;base64,R0lGODlhLWJ5dGVz"' in page
    assert "<details open" not in page
    assert "under it</figcaption>" in page
