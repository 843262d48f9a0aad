"""Scenarios: TOML documents decoded into groups of servers and arms."""
