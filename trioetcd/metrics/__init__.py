"""Numbers about a member, for Prometheus: read when they are asked for, counted elsewhere."""
