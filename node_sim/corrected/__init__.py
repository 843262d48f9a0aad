"""Corrected errors: when a fault shows them, what counts them, and what counting them takes out of use."""
