"""DRAM parts: sizes by generation.

DDR4 and DDR5: CMU-SAFARI/ramulator2 @c5b1c3a presets, multiplied out. DDR3: the same project's DDR3 presets, which
agree with JESD79-3. DDR2: the reference configuration of FaultSim @cb3350b (1 Gbit x4).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Part:
    """One DRAM device type, with the rank that is built of it.

    Attributes:
        banks: Banks of a device (all bank groups).
        bank_groups: Bank groups of a device; 1 where the generation has none.
        rows: Rows of a bank.
        columns: Column addresses of a row, one per ``width`` bits.
        width: Data pins (DQ).
        data_devices: Devices of a rank that hold data.
        check_devices: Devices of a rank that hold check bits.
        generation: 2 … 5, as in DDR4.
        subchannels: Independent halves of a DIMM; a rank belongs to one of them.
    """

    banks: int
    bank_groups: int
    rows: int
    columns: int
    width: int
    data_devices: int
    check_devices: int
    generation: int
    subchannels: int = 1

    @property
    def devices(self) -> int:
        """Devices of a rank."""
        return self.data_devices + self.check_devices

    @property
    def row_lines(self) -> int:
        """64-byte lines in one row of a rank."""
        return self.columns * self.width * self.data_devices // 8 // 64

    @property
    def rank_bytes(self) -> int:
        """Data a rank holds [byte]."""
        return self.banks * self.rows * self.row_lines * 64

    @property
    def gbit(self) -> int:
        """Size of a device [Gbit]."""
        return self.banks * self.rows * self.columns * self.width >> 30

    @property
    def beats(self) -> int:
        """Beats in which a rank transfers one 64-byte line."""
        return 8 * 64 // (self.width * self.data_devices)


DDR2: Final = 2
DDR4: Final = 4
DDR5: Final = 5


def _part(
    generation: int, banks: tuple[int, int], rows: int, columns: int, width: int, devices: tuple[int, int]
) -> Part:
    """Return a part given (groups, banks of a group) and (data, check) devices; DDR5 alone has subchannels."""
    groups, of_group = banks
    halves = 2 if generation == DDR5 else 1
    return Part(groups * of_group, groups, rows, columns, width, *devices, generation, subchannels=halves)


_X4, _X8 = (16, 2), (8, 1)
_DDR5_X4, _DDR5_X8 = (8, 2), (4, 1)

PARTS: Final[dict[str, Part]] = {
    "ddr2_1gb_x4": _part(2, (1, 8), 16384, 2048, 4, _X4),
    "ddr3_2gb_x4": _part(3, (1, 8), 32768, 2048, 4, _X4),
    "ddr3_2gb_x8": _part(3, (1, 8), 32768, 1024, 8, _X8),
    "ddr3_4gb_x4": _part(3, (1, 8), 65536, 2048, 4, _X4),
    "ddr3_4gb_x8": _part(3, (1, 8), 65536, 1024, 8, _X8),
    "ddr4_8gb_x4": _part(4, (4, 4), 131072, 1024, 4, _X4),
    "ddr4_8gb_x8": _part(4, (4, 4), 65536, 1024, 8, _X8),
    "ddr4_16gb_x4": _part(4, (4, 4), 262144, 1024, 4, _X4),
    "ddr4_16gb_x8": _part(4, (4, 4), 131072, 1024, 8, _X8),
    "ddr5_16gb_x4": _part(5, (8, 4), 65536, 2048, 4, _DDR5_X4),
    "ddr5_16gb_x8": _part(5, (8, 4), 65536, 1024, 8, _DDR5_X8),
    "ddr5_32gb_x4": _part(5, (8, 4), 131072, 2048, 4, _DDR5_X4),
}
