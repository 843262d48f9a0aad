"""What the exporter of a run shows beside the counters of the registry, by name; also what a history of it holds."""

from __future__ import annotations

from typing import Final

PREFIX: Final = "hwpoison_fleet_"
"""Of all names."""
INFO: Final = "run"
INFO_HELP: Final = "The run."
GAUGES: Final = {
    "shards": "Shards planned.",
    "shards_committed": "Shards committed.",
    "nodes": "Nodes planned.",
    "nodes_committed": "Nodes committed.",
}
IN_FLIGHT: Final = {
    "shards_in_flight": "Shards begun and not committed yet.",
    "nodes_in_flight": "Nodes simulated of the shards in flight.",
    "rows_in_flight": "Rows simulated of the shards in flight, over all tables; those that no arm changes count once.",
    "shard_lag_seconds": "Age of the oldest shard in flight, since its attempt began; 0 if there is none.",
}
"""Gauges that move with every block of a shard; in the history of a finished run they are 0."""
RETRIES: Final = "shard_retries"
RETRIES_HELP: Final = (
    "Attempts at a shard that failed for a reason outside of it and were repeated, since the driver began."
)
ROWS: Final = "rows"
ROWS_HELP: Final = "Rows of the arm's view, over all tables."


def run_info(*, run: str, scenario: str, sha256: str, seed: int, version: str, engine: str) -> dict[str, str]:
    """Return the labels that tell runs apart.

    Args:
        run: Name of its folder.
        scenario: Name of its scenario.
        sha256: Of the scenario.
        seed: Seed.
        version: Of the program.
        engine: ``local`` or ``ray``.
    """
    return {
        "run": run,
        "scenario": scenario,
        "scenario_sha256": sha256,
        "seed": str(seed),
        "version": version,
        "engine": engine,
    }
