"""What collectors on the hosts of a run would have recorded: databases of rasdaemon, kernel logs, traces."""
