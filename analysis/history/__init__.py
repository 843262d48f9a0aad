"""The past of a run for Prometheus: its counters, or what its hosts showed, sample by sample."""
