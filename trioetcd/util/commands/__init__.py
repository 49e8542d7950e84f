"""What `trioetcd util` can do, a module a subject."""
