"""Who did what: a line a call, for those who must be able to say so."""
