"""Small fleets for tests: documents, decoded fleets, runs."""

from __future__ import annotations

import copy
from pathlib import Path

from fleet.engines.choice import EngineChoice
from fleet.run import start_run
from fleet.scenario.decode import decode
from fleet.scenario.document import parse, read_text
from fleet.scenario.fleet import Fleet

BASELINE = parse("baseline.toml", read_text("baseline")[1])

OWN_POLICIES = """
import numpy as np

from node_sim.orders import OfflinePage, ReplaceDimm, looks_at


def tenth(node):
    if node.cordoned:
        return None
    new = node.errors[node.new :]
    return [ReplaceDimm(int(dimm)) for dimm in np.unique(new["dimm"][new["in_window"] >= 10])]


@looks_at(lambda errors: errors["in_window"] >= 50)
def pages(node):
    return [OfflinePage(int(pfn)) for pfn in np.unique(node.errors["pfn"][node.new :])]
"""
"""A file of a user: one function replaces DIMMs, another takes pages out of use."""


def busy_document(nodes: int = 600, fit_factor: float = 20.0) -> dict:
    """The baseline with few nodes and many faults, so that everything happens to somebody."""
    document = copy.deepcopy(BASELINE)
    document["nodes"] = nodes
    for group in document["group"].values():
        group["faults"]["fit_factor"] = fit_factor
    return document


def counting_document(nodes: int = 600, fit_factor: float = 20.0) -> dict:
    """``busy_document`` with a DDR5 group whose devices count the wrong words they read themselves."""
    document = busy_document(nodes, fit_factor)
    document["group"]["sddc"]["share"] = 0.6
    document["group"]["ddr5"] = {
        "share": 0.15,
        "server": {"part": "ddr5_16gb_x4"},
        "ecc": {"code": "ddr5", "ecs": "codewords"},
        "faults": {"extents": "whole", "fit_factor": fit_factor},
    }
    return document


def busy_fleet(nodes: int = 600, fit_factor: float = 20.0) -> Fleet:
    """Decode ``busy_document``."""
    return decode("test", busy_document(nodes, fit_factor))


def counting_fleet(nodes: int = 600, fit_factor: float = 20.0) -> Fleet:
    """Decode ``counting_document``."""
    return decode("test", counting_document(nodes, fit_factor))


def run_fleet(fleet: Fleet, root: Path, seed: int = 1, shard_nodes: int | None = None, **choice: object) -> dict:
    """Run a fleet and return its manifest; the local engine with one worker unless said otherwise."""
    chosen = EngineChoice(**{"workers": 1, **choice})
    return start_run(fleet, seed, root, chosen, shard_nodes, lambda _receipt: None)


def watched_document(nodes: int = 50, fit_factor: float = 20.0) -> dict:
    """``busy_document`` with an arm for each kernel and way of reporting, for what hosts record of the same faults."""
    document = busy_document(nodes, fit_factor)
    kernels = ("3.10", "4.18", "5.10", "6.1", "6.12", "7.1")
    amd, firmware = {"platform.reporting": "amd"}, {"platform.reporting": "firmware_first"}
    document["arm"] = {
        **{f"intel_{kernel}": {"set": {"kernel.profile": kernel}} for kernel in kernels},
        "amd": {"set": {"kernel.profile": "6.12", **amd}},
        "firmware": {"set": {"kernel.profile": "6.1", **firmware}},
        "early": {"set": {"kernel.memory_failure_early_kill": 1}},
        "no_recovery": {"set": {"kernel.memory_failure_recovery": 0}},
        "no_mca": {"set": {"platform.mca_recovery": False}},
        "offline": {"set": {"page_offline.ce_threshold": 2}},
    }
    return document
