"""Runs that figures are tested on: arms that differ in everything, sweeps of one and two settings, policies on CEs."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from itertools import product
from pathlib import Path

from analysis import Run, open_run
from fleet.scenario.decode import decode
from tests.fleets import busy_document, run_fleet

THRESHOLDS, PROFILES = (0, 2, 50), ("4.18", "6.12")


def _arms(**settings: dict) -> dict:
    return {name: {"set": values} for name, values in settings.items()}


def _sweep(*axes: tuple[str, tuple]) -> dict:
    """Arms as ``--sweep`` makes them."""
    keys = [key for key, _ in axes]
    return {
        "+".join(f"{key.rsplit('.', 1)[-1]}={value}" for key, value in zip(keys, values, strict=True)): {
            "set": dict(zip(keys, values, strict=True))
        }
        for values in product(*(values for _, values in axes))
    }


def document_of(kind: str) -> dict:
    """Return the scenario of a kind of run."""
    document = busy_document(90)
    if kind == "policies":
        document["arm"] = {
            "none": {},
            **_arms(
                replace={"repair.replace_ce": 10},
                pages={"page_offline.ce_threshold": 2},
                map_out={"repair.map_out": True, "repair.cordon.ue": 1, "page_offline.ce_threshold": 10},
            ),
        }
    if kind == "one_key":
        document["arm"] = _sweep(("page_offline.ce_threshold", THRESHOLDS))
    if kind == "two_keys":
        document["arm"] = _sweep(("page_offline.ce_threshold", THRESHOLDS), ("kernel.profile", PROFILES))
    return document


KINDS = ("baseline", "one_key", "two_keys", "policies")


def make_run(kind: str, shared: Path) -> Run:
    """Return a run of a kind, in several shards; the first process that asks for it makes it for all."""
    root = shared / "figure_runs" / kind
    if not root.exists():
        root.parent.mkdir(exist_ok=True)
        own = Path(tempfile.mkdtemp(dir=shared)) / kind
        run_fleet(decode("test", document_of(kind)), own, shard_nodes=40)
        with suppress(OSError):  # another process was faster
            own.rename(root)
    return open_run(root)
