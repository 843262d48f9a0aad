"""A server: its memory and how often it fails, and everything an arm may change."""
