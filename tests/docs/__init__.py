"""Documents whose code is run."""
