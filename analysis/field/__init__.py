"""Field studies: what was published of real fleets, beside the same figures of a simulated one."""
