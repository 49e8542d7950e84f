"""The write-ahead log: what raft must not forget, in etcd's own files."""
