"""`trioetcd util`: work on files, without a server."""
