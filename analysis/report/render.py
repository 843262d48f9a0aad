"""A page as HTML or Markdown: templates fill in texts, which are escaped whatever they hold.

HTML is one file without scripts and without requests. It is readable when a content security policy drops its styles:
headings, lists and tables are what they are, and figures have no style attributes.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from analysis.figures.style import load_matplotlib
from analysis.report.plain import Content, Folded, Picture, ReportPage, Titled
from fleet.printable import printable
from node_sim.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from jinja2 import Environment

GENERATOR: Final = "hwpoison-fleet report"
"""Told by every report, so that it may be overwritten by another."""
MARKS: Final = {
    "html": f'<meta name="generator" content="{GENERATOR}">',
    "md": f"<!-- generator: {GENERATOR} -->",
    "svg": f"<!-- generator: {GENERATOR} -->",
}
"""What a file of ours has in it, by suffix."""
_MARKDOWN: Final = re.compile(r"([\\`*_{}\[\]()#+!|~>$-])")
_ENTITIES: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def plain_markdown(text: object) -> str:
    """Escape a text so that Markdown shows it as it is, in one line."""
    escaped = _MARKDOWN.sub(r"\\\1", str(text).replace("\n", " "))
    return re.sub(r"[&<>]", lambda found: _ENTITIES[found[0]], escaped.replace(r"\>", ">"))


def fenced(text: str) -> str:
    """Return a block of code that holds a text, whatever fences are in it."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text}\n{fence}"


def code_span(text: str) -> str:
    """Return a text as code within a line of a table, in Markdown."""
    fence = "`" * (max((len(run) for run in re.findall(r"`+", text)), default=0) + 1)
    return f"{fence} {text} {fence}" if "`" in text else f"`{text}`".replace("|", r"\|")


def _environment(*, escaped: bool) -> Environment:
    """Return the environment of templates.

    Raises:
        ConfigError: jinja2 is not installed.
    """
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined  # noqa: PLC0415 - an extra
    except ImportError as error:
        msg = f"report: {error.name} is not installed; pip install 'hwpoison-fleet[report]'"
        raise ConfigError(msg) from None
    return Environment(
        loader=PackageLoader("analysis.report"),
        autoescape=escaped,  # noqa: S701 - Markdown is escaped by a filter of its own
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=_shown,
    )


def check_installed() -> None:
    """Check that what draws and what fills in templates is there, before anything is computed.

    Raises:
        ConfigError: It is not.
    """
    _environment(escaped=True)
    load_matplotlib()


def _shown(value: Any) -> Any:
    """Write control characters as escapes; markup that is ours is left alone."""
    return printable(value) if type(value) is str else value


def html(page: ReportPage) -> str:
    """Return a page as one HTML file."""
    environment = _environment(escaped=True)
    from markupsafe import Markup  # noqa: PLC0415 - comes with jinja2

    environment.filters["drawing"] = Markup
    style = environment.loader.get_source(environment, "report.css")[0] if environment.loader else ""
    return environment.get_template("report.html.jinja").render(
        page=page,
        mark=Markup(MARKS["html"]),  # noqa: S704 - ours
        style=Markup(style),  # noqa: S704 - ours
    )


def markdown(page: ReportPage, folder: str) -> str:
    """Return a page as Markdown whose figures are files in a folder beside it."""
    environment = _environment(escaped=False)
    environment.filters.update(plain=plain_markdown, fenced=fenced, code_span=code_span)
    text = environment.get_template("report.md.jinja").render(page=page, mark=MARKS["md"], folder=folder)
    return re.sub(r"\n{3,}", "\n\n", text)


def pictures(page: ReportPage) -> dict[str, str]:
    """Return the figures of a page as files, by name."""
    return {f"{one.name}.svg": f"{MARKS['svg']}\n{one.svg}\n" for one in _pictures(_blocks(page))}


def _blocks(page: ReportPage) -> Iterator[Content]:
    for section in page.sections:
        yield from section.blocks


def _pictures(blocks: Iterable[Content]) -> Iterator[Picture]:
    for block in blocks:
        if isinstance(block, Picture):
            yield block
        elif isinstance(block, Folded | Titled):
            yield from _pictures(block.blocks)
