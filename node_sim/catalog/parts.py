"""DRAM parts: sizes from CMU-SAFARI/ramulator2 @c5b1c3a presets, multiplied out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Part:
    """One DRAM device type, with the rank that is built of it.

    Attributes:
        banks: Banks of a device (all bank groups).
        rows: Rows of a bank.
        columns: Column addresses of a row, one per ``width`` bits.
        width: Data pins (DQ).
        data_devices: Devices of a rank that hold data.
        check_devices: Devices of a rank that hold check bits.
    """

    banks: int
    rows: int
    columns: int
    width: int
    data_devices: int
    check_devices: int

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
    def beats(self) -> int:
        """Beats in which a rank transfers one 64-byte line."""
        return 8 * 64 // (self.width * self.data_devices)


PARTS: Final[dict[str, Part]] = {
    "ddr4_8gb_x4": Part(banks=16, rows=131072, columns=1024, width=4, data_devices=16, check_devices=2),
    "ddr4_16gb_x4": Part(banks=16, rows=262144, columns=1024, width=4, data_devices=16, check_devices=2),
}
