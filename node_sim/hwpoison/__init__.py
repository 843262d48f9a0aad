"""The kernel: mm/memory-failure.c as decision tables."""
