"""Opening and reading runs."""
