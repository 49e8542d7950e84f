"""Snapshots of the log position: from where on the log is needed."""
