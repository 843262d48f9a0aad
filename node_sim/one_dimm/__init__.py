"""One DIMM design, without a kernel: how many of its lifetimes have faults and errors."""
