"""Rates, ratios and their intervals; nothing of files."""
