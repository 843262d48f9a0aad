"""Published numbers with their source and assumptions with their range."""
