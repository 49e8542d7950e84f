"""One member: its storage, its tree of actors, its services."""
