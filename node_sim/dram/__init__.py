"""DRAM: where a fault is, how big, when it starts, and what the code word says."""
