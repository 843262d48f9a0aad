"""Figures of runs: each a function that draws, and the tidy table it drew."""
