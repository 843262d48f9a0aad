"""Arms against each other, paired node by node."""
