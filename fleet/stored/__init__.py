"""What a run is on disk: plan, parts, digests, tallies and manifest; all of the fleet that analysis may read."""
