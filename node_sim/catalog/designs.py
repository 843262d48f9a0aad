"""Error-correcting designs: how a line of memory is laid out in code words, and which block code protects a word."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from node_sim.catalog.sddc import LOCATOR_BITS

PINS: Final = 4
"""Data pins of a device in the layouts below."""


@dataclass(frozen=True)
class Design:
    """How a line is laid out in code words.

    Attributes:
        block_code: Name of the code of a word in ``ecc/block_codes.py``; empty for no code.
        by_bits: The code corrects single bits, not devices.
        devices: Devices of a rank (of the lockstep pair).
        beats: Beats of a line.
        beats_per_word: Beats that make one code word.
        on_die: The devices correct one bit of a word themselves, and tell nobody.
        locator_bits: The code names a wrong device by so many bits, which some patterns defeat; 0: it always can.
        by_algebra: Which patterns these are follows from the code of ``ecc/locator.py``, of as many bits as asked for.
    """

    block_code: str
    by_bits: bool
    devices: int
    beats: int
    beats_per_word: int
    on_die: bool = False
    locator_bits: int = 0
    by_algebra: bool = False

    @property
    def bits(self) -> int:
        """Width of a rank (of the lockstep pair) [bits]."""
        return self.devices * PINS

    @property
    def words(self) -> int:
        """Code words of a line."""
        return self.beats // self.beats_per_word


DESIGNS: Final[dict[str, Design]] = {
    "none": Design("", by_bits=False, devices=18, beats=8, beats_per_word=1),
    "secded": Design("hsiao_72_64", by_bits=True, devices=18, beats=8, beats_per_word=1),
    "chipkill": Design("rs_18_16", by_bits=False, devices=18, beats=8, beats_per_word=2),
    "sddc_table": Design("locator", by_bits=False, devices=18, beats=8, beats_per_word=8, locator_bits=LOCATOR_BITS),
    "sddc_locator": Design(
        "locator", by_bits=False, devices=18, beats=8, beats_per_word=8, locator_bits=LOCATOR_BITS, by_algebra=True
    ),
    "ssc_dsd": Design("ssc_dsd_36", by_bits=False, devices=36, beats=4, beats_per_word=1),
    "ddr5": Design("rs_10_8", by_bits=False, devices=10, beats=16, beats_per_word=2, on_die=True),
}
"""SECDED (72,64); RS(18,16) over pairs of beats; parity and a locator over the line, its risk as a
table or enumerated; SSC-DSD over two ranks in
lockstep; on-die SEC below RS(10,8)."""
