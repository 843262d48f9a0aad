"""Lives of many nodes under all arms, from faults to event tables."""
