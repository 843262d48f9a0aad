"""Fault rates by mode and permanence, in FIT per DRAM device, from published tables."""

from __future__ import annotations

from typing import Final

from node_sim.catalog.parts import DDR2, DDR4
from node_sim.catalog.values import Published
from node_sim.codes import Mode

RateTable = dict[Mode, tuple[Published[float], Published[float]]]

_JAGUAR: Final = (
    "Sridharan and Liberty, SC 2012, Table 3 (Jaguar, DDR2 1 Gbit x4), as coded in FaultSim @cb3350b src/main.cpp "
    "and scalable-arch/ECC @85a1a92 FaultRateInfo.hh"
)
_DDR4: Final = (
    "Jung and Erez, MICRO 2023, component rates as coded in SNU-ARC/DRAM_FAULT_SIM @aeed6dd FaultRateInfo.cc, "
    "summed by mode for a 16 Gbit x4 chip"
)


def _table(rows: dict[Mode, tuple[float, float]], source: str, confidence: str) -> RateTable:
    def number(value: float) -> Published[float]:
        return Published(value, "FIT/device", source, confidence)

    return {mode: (number(transient), number(permanent)) for mode, (transient, permanent) in rows.items()}


def _ddr4(*rates: tuple[float, float]) -> RateTable:
    modes = (Mode.BIT, Mode.ROW, Mode.COLUMN, Mode.BANK, Mode.MULTI_BANK, Mode.MULTI_RANK)
    return _table(dict(zip(modes, rates, strict=True)), _DDR4, "computed")


RATE_TABLES: Final[dict[str, RateTable]] = {
    "ddr2_jaguar": _table(
        {
            Mode.BIT: (14.2, 18.6),
            Mode.WORD: (1.4, 0.3),
            Mode.COLUMN: (1.4, 5.6),
            Mode.ROW: (0.2, 8.2),
            Mode.BANK: (0.8, 10.0),
            Mode.MULTI_BANK: (0.3, 1.4),
            Mode.MULTI_RANK: (0.9, 2.8),
        },
        _JAGUAR,
        "read",
    ),
    "ddr4_a": _ddr4((53.56, 93.78), (1.708, 15.332), (0.618, 1.748), (2.036, 3.553), (0.228, 0.285), (0.228, 0.968)),
    "ddr4_b": _ddr4((9.913, 12.71), (0.398, 1.039), (19.949, 4.367), (10.932, 1.375), (0.081, 0.358), (0.106, 0.854)),
    "ddr4_c": _ddr4((11.95, 11.54), (0.651, 5.095), (5.643, 2.61), (16.332, 7.071), (0.236, 0.203), (0.252, 1.147)),
    "ddr4_avg": _ddr4((25.14, 39.34), (0.919, 7.156), (8.736, 2.909), (9.766, 4.0), (0.182, 0.282), (0.195, 0.989)),
}
"""Rate tables by name: mode -> (transient, permanent). The DDR4 "bank" mode is part of a bank."""

RATE_GENERATIONS: Final = {name: DDR2 if name == "ddr2_jaguar" else DDR4 for name in RATE_TABLES}
"""Generation of the memory that each table is of."""

DDR4_COMPONENTS: Final[dict[str, tuple[float, float]]] = {
    "multiple_single_bit_failures": (25.140, 39.340),
    "local_wordline": (0.919, 6.572),
    "single_csl_bank": (6.700, 0.342),
    "single_sense_amp": (4.391, 0.808),
    "single_csl_column": (3.469, 0.141),
    "lwl_sel": (1.377, 0.279),
    "local_wordline_two_clusters": (0.139, 1.485),
    "multi_rank": (0.184, 0.987),
    "potential_sense_amp": (0.000, 1.147),
    "decoder_single_col": (0.870, 0.008),
    "potential_csl_column": (0.000, 0.797),
    "subarray_row_decoder": (0.206, 0.585),
    "subarray_row_decoder_two_clusters": (0.152, 0.472),
    "consecutive_rows": (0.000, 0.584),
    "row_decoder": (0.176, 0.165),
    "not_clustered_multi_bank": (0.182, 0.157),
    "decoder_multi_col": (0.293, 0.027),
    "multi_csls_column_and_bank": (0.117, 0.198),
    "not_clustered_single_bank": (0.157, 0.152),
    "lwl_sel2": (0.255, 0.024),
    "multi_csls_random_bits": (0.087, 0.068),
    "multi_csls_row_related": (0.043, 0.052),
    "bank_control_bank_8diff": (0.000, 0.084),
    "multi_csls_random_bank_row": (0.043, 0.027),
    "multi_csls_row_and_bits": (0.019, 0.049),
    "multi_csls": (0.000, 0.057),
    "bank_control": (0.000, 0.041),
    "not_clustered_single_column": (0.005, 0.008),
    "multi_rank_random_bits": (0.011, 0.003),
    "lwl_sel2_potential_col": (0.000, 0.011),
    "lwl_sel_column_related": (0.003, 0.005),
    "lwl_sel_random_bit": (0.000, 0.003),
}
"""DDR4 component faults behind ``ddr4_avg`` [FIT/chip]; they locate the defect and add up to the table by mode."""

PINS_PER_FAULT: Final[dict[Mode, tuple[float, float, float, float]]] = {
    Mode.COLUMN: (0.858, 0.033, 0.008, 0.100),
    Mode.ROW: (0.311, 0.668, 0.014, 0.178),
    Mode.BANK: (0.555, 0.230, 0.035, 0.456),
    Mode.MULTI_BANK: (0.175, 0.333, 0.035, 0.456),
    Mode.MULTI_RANK: (0.075, 0.071, 0.018, 0.836),
    Mode.WORD: (0.0, 0.0, 0.0, 1.0),
}
"""Share of faults that touch 1, 2, 3, 4 data pins of an x4 device: scalable-arch/ECC @85a1a92 FaultRateInfo.hh.

The row and bank rows of the code sum to 1.17 and 1.28; users renormalise.
"""
