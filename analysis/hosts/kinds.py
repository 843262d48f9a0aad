"""What a host is to those who watch it: its name, its memory controllers, and where a DIMM slot is among them.

**Models.** One EDAC memory controller for each integrated one: two or three channels on Intel's servers, all channels
of a socket on AMD's. ``csrow`` is the slot of a channel, as the EDAC core makes it of drivers that know DIMMs.

**Assumes.** A NUMA node is a socket. Slots count DIMMs of a channel, then channels, then sockets, as the address map
does.

**Sources.** Linux: drivers/edac/edac_mc.c (``edac_mc_alloc``), skx_common.c (labels), amd64_edac.c (one controller per
node).
"""

from __future__ import annotations

from typing import Final, NamedTuple

from node_sim.catalog.profile import Profile

AMD: Final = "amd"
FIRMWARE_FIRST: Final = "firmware_first"


class DimmPlace(NamedTuple):
    """Where a DIMM is.

    Attributes:
        socket: CPU socket, which is its NUMA node.
        controller: Memory controller ``mcN`` of the host.
        channel: Channel of the controller.
        csrow: Slot of the channel.
        label: As the driver gives it if nobody loads others.
    """

    socket: int
    controller: int
    channel: int
    csrow: int
    label: str


class HostKind(NamedTuple):
    """Servers of a node group under an arm.

    Attributes:
        kernel: Kernel profile.
        rules: What that kernel does.
        reporting: ``intel``, ``amd`` or ``firmware_first``.
        sockets: CPU sockets.
        channels: Memory channels of a socket.
        dimms_per_channel: Slots of a channel.
        dimm_bytes: Memory of a DIMM.
        reboot_ns: Time a boot takes.
    """

    kernel: str
    rules: Profile
    reporting: str
    sockets: int
    channels: int
    dimms_per_channel: int
    dimm_bytes: int
    reboot_ns: int

    @property
    def channels_together(self) -> int:
        """Channels of a memory controller."""
        if self.reporting == AMD:
            return self.channels
        return next((n for n in (3, 2) if self.channels % n == 0), self.channels)

    @property
    def controllers(self) -> int:
        """Memory controllers of the host."""
        return self.sockets * self.channels // self.channels_together

    @property
    def dimms(self) -> int:
        """DIMM slots of the host."""
        return self.sockets * self.channels * self.dimms_per_channel

    @property
    def memory_bytes(self) -> int:
        """Memory of the host."""
        return self.dimms * self.dimm_bytes

    def place(self, slot: int) -> DimmPlace:
        """Return where a DIMM slot is."""
        at, csrow = divmod(slot, self.dimms_per_channel)
        controller, channel = divmod(at, self.channels_together)
        socket = at // self.channels
        of_socket = controller - socket * (self.controllers // self.sockets)
        if self.reporting == AMD:
            label = f"mc#{controller}csrow#{csrow}channel#{channel}"
        else:
            label = f"CPU_SrcID#{socket}_MC#{of_socket}_Chan#{channel}_DIMM#{csrow}"
        return DimmPlace(socket, controller, channel, csrow, label)

    def channel_of_bank(self, bank: int) -> tuple[int, int] | None:
        """Return controller and channel of a machine-check bank; None is the bank of a core.

        Banks count the channels of the host; the one after the last is that of the core that read.
        """
        if bank >= self.sockets * self.channels:
            return None
        return divmod(bank, self.channels_together)


class Hosts(NamedTuple):
    """The servers of a run in one arm.

    Attributes:
        nodes: Servers.
        first_nodes: First server of each node group.
        kinds: Of each node group.
        groups: Names of the node groups.
        sites: Where each group stands.
    """

    nodes: int
    first_nodes: tuple[int, ...]
    kinds: tuple[HostKind, ...]
    groups: tuple[str, ...]
    sites: tuple[str, ...]

    def group(self, node: int) -> int:
        """Return the position of the group of a node."""
        return sum(first <= node for first in self.first_nodes) - 1

    def kind(self, node: int) -> HostKind:
        """Return what a node is."""
        return self.kinds[self.group(node)]

    def name(self, node: int) -> str:
        """Return the host name of a node; names sort as nodes do."""
        return f"sim-{node:0{max(5, len(str(self.nodes - 1)))}d}"
