"""What the memory of a server is used for, and by whom."""
