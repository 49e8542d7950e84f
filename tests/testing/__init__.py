"""What trioetcd ships for tests of other programs."""
