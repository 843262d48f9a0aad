"""The report of a run: one file that is read without a network."""
