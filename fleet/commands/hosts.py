"""The servers of a run, as the commands that show or export what they would have logged take them from its plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from analysis.hosts.kinds import HostKind, Hosts
    from fleet.scenario.fleet import Fleet, GroupPlan

MINUTES_PER_HOUR: Final = 60


def hosts_of(fleet: Fleet, arm: str) -> Hosts:
    """Return the servers of a fleet in one of its arms."""
    from analysis.hosts.kinds import Hosts

    position = fleet.arms.index(arm)
    return Hosts(
        nodes=fleet.nodes,
        first_nodes=tuple(group.first_node for group in fleet.groups),
        kinds=tuple(_kind(group, position) for group in fleet.groups),
        groups=tuple(group.name for group in fleet.groups),
        sites=tuple(group.site for group in fleet.groups),
    )


def _kind(group: GroupPlan, position: int) -> HostKind:
    from analysis.hosts.kinds import HostKind
    from node_sim.units import hours_to_ns

    server, policy = group.hardware.server, group.policies[position]
    return HostKind(
        kernel=policy.kernel.profile,
        rules=policy.kernel.rules,
        reporting=policy.platform.reporting,
        sockets=server.sockets,
        channels=server.channels,
        dimms_per_channel=server.dimms_per_channel,
        dimm_bytes=server.dimm_bytes,
        reboot_ns=hours_to_ns(policy.repair.reboot_minutes / MINUTES_PER_HOUR),
    )
