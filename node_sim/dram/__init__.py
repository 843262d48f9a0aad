"""DRAM faults: where one is, how big, when it starts, and which pins it makes wrong."""
