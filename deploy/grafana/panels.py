"""Panels and dashboards of Grafana as plain dictionaries: the classic model, schema version 39."""

from __future__ import annotations

from typing import Any, Final

COLUMNS: Final = 24
SCHEMA_VERSION: Final = 39
Json = dict[str, Any]
SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
_STYLE: Final = {"drawStyle": "line", "lineWidth": 1, "fillOpacity": 10, "showPoints": "never", "spanNulls": False}
_LEGEND: Final = {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []}
_REDUCED: Final = {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}}


def _target(ref: str, expression: str, legend: str, form: str) -> Json:
    found = {"refId": ref, "datasource": SOURCE, "editorMode": "code", "expr": expression, "legendFormat": legend}
    if form == "time_series":
        return {**found, "range": True, "instant": False}
    return {**found, "range": False, "instant": True, "format": form}


def panel(
    kind: str, title: str, description: str, unit: str, size: tuple[int, int], *queries: tuple[str, str], **options: Any
) -> Json:
    """Return a panel without its place.

    Args:
        kind: ``timeseries``, ``stat``, ``bargauge`` or ``table``.
        title: Its title.
        description: What it shows.
        unit: One of Grafana's units.
        size: Columns and lines.
        queries: Expressions of PromQL, each with its legend.
        options: ``names`` of the columns of a table, ``stack`` for areas one on the other.
    """
    form = {"timeseries": "time_series", "table": "table"}.get(kind, "instant")
    targets = [
        _target(chr(ord("A") + n), *query, "time_series" if form == "instant" else form)
        for n, query in enumerate(queries)
    ]
    if form == "instant":
        targets = [{**target, "range": False, "instant": True} for target in targets]
    width, height = size
    found: Json = {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": SOURCE,
        "gridPos": {"w": width, "h": height},
        "targets": targets,
        "fieldConfig": {"defaults": {"unit": unit, "min": 0}, "overrides": []},
        "options": {},
    }
    return _DETAILS[kind](found, options)


def _time_series(found: Json, options: Json) -> Json:
    stacking = {"mode": "normal" if options.get("stack") else "none", "group": "A"}
    found["fieldConfig"]["defaults"]["custom"] = {**_STYLE, "stacking": stacking}
    found["options"] = {"legend": _LEGEND, "tooltip": {"mode": "multi", "sort": "desc"}}
    return found


def _stat(found: Json, _options: Json) -> Json:
    found["options"] = {**_REDUCED, "colorMode": "none", "graphMode": "none", "textMode": "auto", "orientation": "auto"}
    return found


def _bar_gauge(found: Json, _options: Json) -> Json:
    found["options"] = {**_REDUCED, "displayMode": "basic", "orientation": "horizontal"}
    return found


def _table(found: Json, options: Json) -> Json:
    names = options["names"]
    hidden = dict.fromkeys(("Time", "__name__", "job"), True)
    values = {f"Value #{chr(ord('A') + n)}" if len(names) > 1 else "Value": name for n, name in enumerate(names)}
    found["transformations"] = [
        {"id": "merge", "options": {}},
        {"id": "organize", "options": {"excludeByName": hidden, "indexByName": {}, "renameByName": values}},
    ]
    found["options"] = {"showHeader": True, "cellHeight": "sm"}
    return found


_DETAILS: Final = {"timeseries": _time_series, "stat": _stat, "bargauge": _bar_gauge, "table": _table}


def placed(rows: dict[str, list[Json]]) -> list[Json]:
    """Return the panels of all rows with their numbers and places: from left to right, line after line."""
    found: list[Json] = []
    top = 0
    for title, panels in rows.items():
        place = {"x": 0, "y": top, "w": COLUMNS, "h": 1}
        found.append({"type": "row", "title": title, "collapsed": False, "gridPos": place, "panels": []})
        left, top, height = 0, top + 1, 0
        for one in panels:
            size = one["gridPos"]
            if left + size["w"] > COLUMNS:
                left, top, height = 0, top + height, 0
            found.append({**one, "gridPos": {"x": left, "y": top, **size}})
            left, height = left + size["w"], max(height, size["h"])
        top += height
    return [{"id": number, **one} for number, one in enumerate(found, 1)]


def source_variable() -> Json:
    """Return the variable that chooses the data source."""
    return {
        "name": "datasource",
        "type": "datasource",
        "label": "Data source",
        "description": "The Prometheus that scrapes, or one with histories in it.",
        "query": "prometheus",
        "refresh": 1,
        "hide": 0,
        "multi": False,
        "includeAll": False,
        "current": {},
        "options": [],
    }


def variable(name: str, label: str, description: str, query: str, *, many: bool = False, hidden: bool = False) -> Json:
    """Return a variable whose values are those of a label."""
    return {
        "name": name,
        "type": "query",
        "label": label,
        "description": description,
        "datasource": SOURCE,
        "definition": query,
        "query": {"query": query, "refId": name},
        "refresh": 2,
        "sort": 1,
        "hide": 2 if hidden else 0,
        "multi": many,
        "includeAll": many,
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]} if many else {},
        "options": [],
    }


def dashboard(
    uid: str, title: str, description: str, span: str, variables: list[Json], rows: dict[str, list[Json]]
) -> Json:
    """Return a dashboard; ``span`` is how far back it looks at first."""
    return {
        "uid": uid,
        "title": title,
        "description": description,
        "tags": ["hwpoison"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "timezone": "utc",
        "time": {"from": f"now-{span}", "to": "now"},
        "refresh": "",
        "annotations": {"list": []},
        "links": [],
        "templating": {"list": variables},
        "panels": placed(rows),
    }
