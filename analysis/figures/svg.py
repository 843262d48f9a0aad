"""SVG of matplotlib made plain: attributes instead of styles, ink of the page, names that fit into one document."""

from __future__ import annotations

import re
from typing import Final
from xml.etree import ElementTree as ET

from analysis.figures.figure import Caption
from analysis.figures.files import MARK
from analysis.figures.style import DARK_INK, INK

_SVG: Final = "http://www.w3.org/2000/svg"
_XLINK: Final = "{http://www.w3.org/1999/xlink}href"
_REFERENCE: Final = re.compile(r"url\(#([^)]+)\)")
_FAMILY: Final = "DejaVu Sans, Verdana, sans-serif"
_RULES: Final = (
    f".hf-figure{{color:{INK}}}@media (prefers-color-scheme:dark){{.hf-figure{{color:{DARK_INK}}}}}"
    "@media print{.hf-figure{color:#000}}"
)


def plain_svg(content: bytes, name: str, caption: Caption) -> bytes:
    """Return an SVG as it is stored: named, described, without what tells when or by what it was made."""
    ET.register_namespace("", _SVG)
    ET.register_namespace("xlink", "http://www.w3.org/1999/xlink")
    root = ET.fromstring(content)  # noqa: S314 - made by matplotlib a moment ago
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{_SVG}}}metadata", f"{{{_SVG}}}style"):
                parent.remove(child)
    for element in root.iter():
        _without_style(element)
    _rename(root, name)
    view = root.get("viewBox", "0 0 0 0").split()
    root.attrib.update(
        {
            "class": "hf-figure",
            "data-made-by": MARK,
            "role": "img",
            "aria-labelledby": f"{name}-title {name}-desc",
            "color": INK,
            "stroke-linejoin": "round",
            "stroke-linecap": "butt",
            # Points are what matplotlib calls its units; a page scales the view box to the width it has.
            "width": f"{float(view[2]) * 4 / 3:g}",
            "height": f"{float(view[3]) * 4 / 3:g}",
        }
    )
    for place, (tag, text) in enumerate((("title", caption.title), ("desc", caption.description))):
        element = ET.Element(f"{{{_SVG}}}{tag}", {"id": f"{name}-{tag}"})
        element.text = text
        root.insert(place, element)
    style = ET.Element(f"{{{_SVG}}}style")
    style.text = _RULES
    root.insert(2, style)
    found: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return found + b"\n"


def _without_style(element: ET.Element) -> None:
    """Turn a style attribute into attributes of their own, and ink into the colour of the page."""
    for declaration in element.attrib.pop("style", "").split(";"):
        key, _, value = (part.strip() for part in declaration.partition(":"))
        if key == "font-family":
            element.set(key, _FAMILY)
        elif key:
            element.set(key, value)
    for key in ("fill", "stroke", "stop-color"):
        if element.get(key, "").lower() == INK:
            element.set(key, "currentColor")


def _rename(root: ET.Element, name: str) -> None:
    """Put a figure's name before the names that something refers to, and drop the others."""
    wanted = {element.get(_XLINK, "").removeprefix("#") for element in root.iter()}
    for element in root.iter():
        wanted.update(match for value in element.attrib.values() for match in _REFERENCE.findall(value))
    for element in root.iter():
        own = element.attrib.pop("id", None)
        if own in wanted and own:
            element.set("id", f"{name}-{own}")
        if element.get(_XLINK, "").startswith("#"):
            element.set(_XLINK, f"#{name}-{element.get(_XLINK, '')[1:]}")
        for key, value in element.attrib.items():
            element.set(key, _REFERENCE.sub(rf"url(#{name}-\1)", value))
