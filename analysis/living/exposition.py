"""Samples as text that Prometheus reads.

**Sources.** Prometheus: exposition formats, text format 0.0.4.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import Final

from analysis.hosts.node_exporter import FAMILIES, HostSample

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_ESCAPES: Final = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})
Families = dict[str, tuple[str, str]]
"""Type and sentence of families."""


def _value(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(float(value))


def _labels(labels: tuple[tuple[str, str], ...]) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{value.translate(_ESCAPES)}"' for name, value in labels) + "}"


def exposition(samples: Iterable[HostSample], families: Families = FAMILIES) -> str:
    """Return samples as text.

    Args:
        samples: Those of a family one after the other; finite values.
        families: Type and sentence of each family.
    """
    return "\n".join(_lines(samples, families)) + "\n"


def _lines(samples: Iterable[HostSample], families: Families) -> Iterator[str]:
    for family, mine in groupby(samples, key=lambda one: one.family):
        kind, sentence = families[family]
        yield f"# HELP {family} {sentence}"
        yield f"# TYPE {family} {kind}"
        for sample in mine:
            yield f"{family}{_labels(sample.labels)} {_value(sample.value)}"
