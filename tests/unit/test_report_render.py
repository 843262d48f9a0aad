"""Pages as HTML and Markdown: whatever a text holds, it is shown and does nothing; files that are not ours stay."""

import re
import sys
from html.parser import HTMLParser

import pytest

from analysis.report.files import target_of, write_report
from analysis.report.plain import (
    Bullets,
    Cell,
    Commands,
    Folded,
    Grid,
    Head,
    Paragraph,
    Picture,
    ReportPage,
    Section,
    Titled,
)
from analysis.report.render import MARKS, html, markdown
from node_sim.errors import ConfigError

NASTY = "<img src=x onerror=alert(1)> & $x^2$ \"'|`*_[a](http://x)</td><b>\x1b[31m\u202e"
SHOWN = "<img src=x onerror=alert(1)> & $x^2$ \"'|`*_[a](http://x)</td><b>\\x1b[31m\\u202e"
SVG = '<svg viewBox="0 0 9 9" role="img"><title>t</title><rect width="9" height="9" fill="currentColor"/></svg>'
ALLOWED = frozenset(
    [
        *("html", "head", "meta", "link", "title", "style", "body", "header", "h1", "h2", "h3", "h4", "p", "nav", "ol"),
        *(
            "ul",
            "li",
            "a",
            "main",
            "section",
            "div",
            "table",
            "thead",
            "tbody",
            "tr",
            "th",
            "td",
            "small",
            "code",
            "pre",
        ),
        *("details", "summary", "figure", "figcaption", "svg", "rect"),
    ]
)


def nasty_page(text=NASTY):
    grid = Grid(
        text,
        (Head(text, text, "text"), Head(text, holds="prose"), Head(text, holds="code")),
        ((Cell(text, text),) * 3,),
    )
    picture = Picture("kills", SVG, text, text, grid)
    blocks = (
        Paragraph(text, lead=True),
        Bullets((text,)),
        Commands(text),
        grid,
        picture,
        Folded(text, (Titled(text, (grid,)),)),
    )
    return ReportPage(text, text, (Section("one", text, blocks),))


class Reader(HTMLParser):
    """Collects the tags, attributes and texts of a page."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.texts, self.open = [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in ("meta", "link"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.texts.append(data)


def test_html_shows_any_text_as_it_is_and_is_well_formed():
    found = Reader(html(nasty_page()))
    assert set(found.tags) <= ALLOWED
    assert found.open == []
    shown = [text for text in found.texts if "img" in text]
    assert len(shown) >= 20
    assert {text.strip() for text in shown} == {SHOWN}


def test_html_asks_the_network_for_nothing_and_has_no_script_or_style_of_its_own():
    text = html(nasty_page())
    found = Reader(text)
    assert [one for one in found.attributes if one[1] == "style" or one[1].startswith("on") or one[1] == "src"] == []
    links = {(tag, value[:1]) for tag, name, value in found.attributes if name == "href"}
    assert links == {("a", "#"), ("link", "d")}  # an icon of nothing, or browsers ask for one
    assert "\x1b" not in text
    assert MARKS["html"] in text
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)[1]
    assert "url(" not in style
    assert "@import" not in style


def test_markdown_shows_any_text_as_it_is():
    text = markdown(nasty_page(), "x_files")
    assert text.startswith(MARKS["md"])
    assert "\x1b" not in text
    outside = re.sub(r"^(`{3,})\n.*?^\1$", "", text, flags=re.DOTALL | re.MULTILINE)
    spans = re.sub(r"``+ .*? ``+", "", outside)
    assert set(re.findall(r"<[^!][^ >]*", spans)) <= {"<details", "<summary", "</details", "</summary"}
    assert not re.search(r"(?<!\\)\$", spans)  # GitHub sets what is between dollar signs as mathematics
    rows = [line for line in outside.splitlines() if line.startswith("|")]
    assert rows
    cells = {len(re.findall(r"(?<!\\)\|", re.sub(r"``+ .*? ``+", "", line))) for line in rows}
    assert cells == {4}


def test_markdown_names_figures_as_files():
    assert "](x_files/kills.svg)" in markdown(nasty_page("a"), "x_files")


@pytest.mark.parametrize("form", ["html", "md"])
def test_a_report_is_overwritten_and_nothing_else_is(tmp_path, form):
    path = tmp_path / f"r.{form}"
    write_report(nasty_page("first"), target_of(path, form))
    before = path.read_text()
    write_report(nasty_page("second"), target_of(path, form))
    assert path.read_text() == before.replace("first", "second")
    for content in ("", "<html>mine</html>", "x" * 5000 + MARKS[form]):
        path.write_text(content)
        with pytest.raises(ConfigError, match="not a report of ours"):
            target_of(path, form)
        assert path.read_text() == content
    assert sorted(one.name for one in tmp_path.iterdir()) == [f"r.{form}"] + ["r_files"] * (form == "md")


def test_a_figure_of_somebody_else_is_not_overwritten(tmp_path):
    (tmp_path / "r_files").mkdir()
    (tmp_path / "r_files" / "kills.svg").write_text("<svg>mine</svg>")
    with pytest.raises(ConfigError, match="not a report of ours"):
        write_report(nasty_page("a"), target_of(tmp_path / "r.md", "md"))
    assert sorted(one.name for one in tmp_path.rglob("*")) == ["kills.svg", "r_files"]


def test_links_and_folders_are_not_written_to(tmp_path):
    (tmp_path / "link.html").symlink_to(tmp_path / "nothing")
    (tmp_path / "folder.html").mkdir()
    for name, why in (("link", "regular file"), ("folder", "regular file"), ("no/such", "no folder")):
        with pytest.raises(ConfigError, match=why):
            target_of(tmp_path / f"{name}.html", "html")


def test_without_jinja2_the_report_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(ConfigError, match=r"pip install 'hwpoison-fleet\[report\]'"):
        html(nasty_page("a"))
