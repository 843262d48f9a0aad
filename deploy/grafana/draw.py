"""Draw a dashboard without Grafana: the queries of its panels, asked of a Prometheus, by matplotlib.

``python deploy/grafana/draw.py run http://127.0.0.1:9090 1795824843 1y --run watched -o run.svg`` draws what a reader
would see of the year before that time. It shows what the queries give, not how Grafana looks.
"""

from __future__ import annotations

import argparse
import json
import re
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot as plt

HERE: Final = Path(__file__).resolve().parent
POINTS: Final = 61
INCHES: Final = 0.72
"""Of a column; a line is half as high."""
LEGEND_MAX: Final = 8
ROWS_MAX: Final = 6
COLORS: Final = (
    "#3274d9",
    "#e0752d",
    "#508642",
    "#a352cc",
    "#c4162a",
    "#447ebc",
    "#b8860b",
    "#705da0",
    "#0a7c7c",
    "#888",
)
_S_PER_UNIT: Final = {"d": 86_400, "y": 31_557_600}
Vector = list[tuple[dict[str, str], list[tuple[float, float]]]]


def filled(expression: str, values: dict[str, str]) -> str:
    """Return an expression with the values of its variables."""
    for name in sorted(values, key=len, reverse=True):
        expression = expression.replace(f"${name}", values[name])
    return expression


def built_in(span_s: int, step_s: int, sample_s: int) -> dict[str, str]:
    """Return the variables that Grafana has by itself, as its documentation defines them."""
    rate_s = max(step_s + sample_s, 4 * sample_s)
    return {"__range": f"{span_s}s", "__rate_interval": f"{rate_s}s", "__interval": f"{step_s}s"}


def ask(url: str, path: str, **parameters: object) -> Any:
    """Return what the API of Prometheus answers."""
    text = urllib.parse.urlencode({name: str(value) for name, value in parameters.items()})
    with urllib.request.urlopen(f"{url}/api/v1/{path}?{text}", timeout=60) as answer:  # noqa: S310 - the user's own
        return json.load(answer)["data"]["result"]


def instant(url: str, expression: str, end_s: float) -> Vector:
    """Return the series of an expression at a time."""
    return [
        (one["metric"], [(float(one["value"][0]), float(one["value"][1]))])
        for one in ask(url, "query", query=expression, time=end_s)
    ]


def between(url: str, expression: str, end_s: float, span_s: int, step_s: int) -> Vector:
    """Return the series of an expression over a span."""
    found = ask(url, "query_range", query=expression, start=end_s - span_s, end=end_s, step=step_s)
    return [(one["metric"], [(float(at), float(value)) for at, value in one["values"]]) for one in found]


def legend(form: str, labels: dict[str, str]) -> str:
    """Return the legend of a series."""
    for name, value in labels.items():
        form = form.replace(f"{{{{{name}}}}}", value)
    return form


def shown(value: float, unit: str) -> str:
    """Write a value with its unit."""
    if unit == "percentunit":
        return f"{100 * value:.3g} %"
    if unit in ("bytes", "s"):
        steps = ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB"), (1, "B"))
        steps = steps if unit == "bytes" else ((86_400, "d"), (3_600, "h"), (1, "s"))
        size, name = next(((size, name) for size, name in steps if abs(value) >= size), steps[-1])
        return f"{value / size:.3g} {name}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"  # noqa: PLR2004 - four digits


class Source:
    """Where panels get their data, and for which time."""

    def __init__(self, url: str, end_s: float, span_s: int, values: dict[str, str], sample_s: int) -> None:
        """Ask a Prometheus for a span that ends at a time."""
        self.url, self.end_s, self.span_s = url, end_s, span_s
        self.step_s = max(span_s // POINTS, sample_s)
        self.values = values | built_in(span_s, self.step_s, sample_s)

    def series(self, panel: dict[str, Any]) -> list[tuple[str, str, Vector]]:
        """Return reference, legend and series of each query of a panel."""
        found = []
        for target in panel["targets"]:
            text = filled(target["expr"], self.values)
            if target["range"]:
                series = between(self.url, text, self.end_s, self.span_s, self.step_s)
            else:
                series = instant(self.url, text, self.end_s)
            found.append((target["refId"], target["legendFormat"], series))
        return found


def _named(panel: dict[str, Any], source: Source) -> list[tuple[str, list[tuple[float, float]]]]:
    return [(legend(form, labels), points) for _, form, series in source.series(panel) for labels, points in series]


def _draw_lines(axes: Any, panel: dict[str, Any], source: Source) -> None:
    named = _named(panel, source)
    unit = panel["fieldConfig"]["defaults"]["unit"]
    stacked = panel["fieldConfig"]["defaults"]["custom"]["stacking"]["mode"] == "normal"
    below: dict[float, float] = {}
    for n, (name, points) in enumerate(named):
        x = [(at - source.end_s) / _S_PER_UNIT["d"] for at, _ in points]
        y = [value + (below.get(at, 0.0) if stacked else 0.0) for at, value in points]
        below |= {at: value for (at, _), value in zip(points, y, strict=True)}
        label = name if n < LEGEND_MAX else None
        axes.plot(x, y, lw=0.9, color=COLORS[n % len(COLORS)], label=label)
    axes.set_ylim(bottom=0)
    axes.set_xlim(-source.span_s / _S_PER_UNIT["d"], 0)
    axes.locator_params(nbins=5)
    axes.yaxis.set_major_formatter(lambda value, _place: shown(value, unit))
    axes.tick_params(labelsize=6, length=2)
    axes.grid(lw=0.3, color="#ddd")
    more = f", and {len(named) - LEGEND_MAX} more" if len(named) > LEGEND_MAX else ""
    axes.set_xlabel(f"days before the end{more}", fontsize=6)
    if named:
        axes.legend(fontsize=5.5, ncols=2, frameon=False, loc="upper left")


def _draw_values(axes: Any, panel: dict[str, Any], source: Source) -> None:
    unit = panel["fieldConfig"]["defaults"]["unit"]
    named = [(name, points[-1][1]) for name, points in _named(panel, source)]
    for n, (name, value) in enumerate(named):
        height = 1 - (n + 0.6) / max(len(named), 1)
        axes.text(0.03, height, name, fontsize=6.5, va="center", transform=axes.transAxes)
        axes.text(0.97, height, shown(value, unit), fontsize=8, va="center", ha="right", transform=axes.transAxes)
    axes.set_axis_off()


def _draw_bars(axes: Any, panel: dict[str, Any], source: Source) -> None:
    unit = panel["fieldConfig"]["defaults"]["unit"]
    named = [(name, points[-1][1]) for name, points in _named(panel, source)][::-1]
    bars = axes.barh([name for name, _ in named], [value for _, value in named], color=COLORS[0], height=0.6)
    axes.bar_label(bars, [shown(value, unit) for _, value in named], fontsize=6.5, padding=2)
    axes.tick_params(labelsize=6.5, length=0)
    axes.set_xticks([])
    axes.margins(x=0.2)
    for side in axes.spines.values():
        side.set_visible(False)


def _draw_table(axes: Any, panel: dict[str, Any], source: Source) -> None:
    unit = panel["fieldConfig"]["defaults"]["unit"]
    lines: dict[tuple[tuple[str, str], ...], dict[str, float]] = {}
    for reference, _, series in source.series(panel):
        for labels, points in series:
            kept = tuple(sorted((key, value[:24]) for key, value in labels.items() if key not in ("__name__", "job")))
            lines.setdefault(kept, {})[reference] = points[-1][1]
    (_, organize) = panel["transformations"]
    names = list(organize["options"]["renameByName"].values())
    references = [target["refId"] for target in panel["targets"]]
    heads = list(dict.fromkeys(name for labels in lines for name, _ in labels))
    cells = [
        [dict(labels).get(head, "") for head in heads] + [shown(of[r], unit) if r in of else "" for r in references]
        for labels, of in list(lines.items())[:ROWS_MAX]
    ]
    axes.set_axis_off()
    if cells:
        table = axes.table(cells, colLabels=[*heads, *names], loc="center", edges="horizontal", cellLoc="left")
        table.auto_set_font_size(False)
        table.set_fontsize(6.5)


DRAWN: Final = {"timeseries": _draw_lines, "stat": _draw_values, "bargauge": _draw_bars, "table": _draw_table}


def draw(board: dict[str, Any], source: Source, out: Path) -> None:
    """Draw all panels in their places."""
    panels = board["panels"]
    lines = max(one["gridPos"]["y"] + one["gridPos"]["h"] for one in panels)
    width, height = 24 * INCHES, (lines + 2) * INCHES / 2
    figure = plt.figure(figsize=(width, height))
    note = "drawn by deploy/grafana/draw.py from a real Prometheus, not by Grafana"
    figure.text(0.01, 1 - 0.9 / (lines + 2), board["title"], fontsize=13)
    figure.text(0.99, 1 - 0.9 / (lines + 2), note, fontsize=7, ha="right", color="#555")
    for one in panels:
        place = one["gridPos"]
        left, top = place["x"] / 24, 1 - (place["y"] + 2) / (lines + 2)
        if one["type"] == "row":
            figure.text(left + 0.01, top - 0.6 / (lines + 2), one["title"], fontsize=10, weight="bold")
            continue
        inner = (0.14 if one["type"] == "bargauge" else 0.05) if place["w"] > 8 else 0.055  # noqa: PLR2004 - a third
        inner = inner if DRAWN[one["type"]] in (_draw_lines, _draw_bars) else 0.008
        bottom = (1.6 if one["type"] == "timeseries" else 0.3) / (lines + 2)
        box = (
            left + inner,
            top - place["h"] / (lines + 2) + bottom,
            place["w"] / 24 - inner - 0.012,
            (place["h"] - 1.2) / (lines + 2) - bottom,
        )
        axes = figure.add_axes(box)
        axes.set_title(one["title"], fontsize=8, loc="left", pad=3)
        DRAWN[one["type"]](axes, one, source)
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "hwpoison-fleet", "path.simplify_threshold": 1.0}):
        figure.savefig(out, format=out.suffix[1:], metadata={"Date": None} if out.suffix == ".svg" else None)
    plt.close(figure)
    if out.suffix == ".svg":
        text = out.read_text(encoding="utf-8")
        out.write_text(_shortened(text), encoding="utf-8")


def _shortened(text: str) -> str:
    """Return an SVG with coordinates of one decimal, one family of fonts, and no indentation."""
    text = re.sub(r"<[^>]*>", lambda tag: re.sub(r"(\d\.\d)\d{3,}", r"\1", tag[0]), text)
    text = re.sub(r"font-family: [^;]*sans-serif", "font-family: DejaVu Sans, sans-serif", text)
    text = re.sub(r"; stroke-linejoin: round|; stroke-linecap: (?:square|butt)", "", text)
    return re.sub(r"\s*\n\s*", "\n", text)


def main() -> None:
    """Draw one dashboard."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("board", choices=["run", "hosts"])
    parser.add_argument("url", help="of Prometheus")
    parser.add_argument("end", type=float, help="last time shown [s since 1970]")
    parser.add_argument("span", help="how far back, such as 365d")
    parser.add_argument("--run", default="", help="name of the run, whose dashboard needs it")
    parser.add_argument("--sample", type=int, default=86_400, help="time between samples [s]")
    parser.add_argument("-o", "--out", type=Path, required=True)
    asked = parser.parse_args()
    if asked.board == "run" and not asked.run:
        parser.error("--run: expected the name of a run; add it")
    board = json.loads((HERE / "dashboards" / f"{asked.board}.json").read_text(encoding="utf-8"))
    span_s = int(asked.span[:-1]) * _S_PER_UNIT[asked.span[-1]]
    values = {"run": asked.run, "instance": ".*", "arm": ".*", "group": ".*"}
    draw(board, Source(asked.url.rstrip("/"), asked.end, span_s, values, asked.sample), asked.out)


if __name__ == "__main__":
    main()
