"""The database under the store: what was applied, on disk in the background."""
