"""The multi-version key-value store: keys, their revisions, transactions, compaction."""
