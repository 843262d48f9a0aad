"""Settings of a policy of your own: a Python function that decides what to do about errors.

What it sees and may order: ``node_sim/orders.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

from node_sim.server.settings import Checked, setting


@dataclass(frozen=True)
class OwnPolicy(Checked):
    """Your own policy."""

    function: str = setting(
        "",
        "Policy of your own as 'module:function': called at the end of each epoch in which a node has news, it returns "
        "pages or rows to take offline, DIMMs to replace, cordons and drains; '' = none.",
        role="policy",
    )
    epoch_hours: float = setting(
        1.0, "Length of an epoch: how long news wait for it at most.", "h", low=1 / 60, high=720.0, role="policy"
    )
    seconds_per_node: float = setting(
        10.0, "Processor time that its calls for one node may take.", "s", low=0.001, high=3600.0
    )
