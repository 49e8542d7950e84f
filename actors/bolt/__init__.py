"""bbolt database files: what etcd's snapshots are made of, read and written without bbolt."""
