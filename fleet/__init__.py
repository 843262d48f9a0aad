"""Many servers: scenarios, plans, engines, the aggregator and what they leave on disk."""
