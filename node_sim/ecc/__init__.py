"""What the code of the memory controller makes of faults, alone and where they meet."""
