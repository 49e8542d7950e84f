"""`trioetcd util`."""
