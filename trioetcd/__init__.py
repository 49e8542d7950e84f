"""etcd v3 on Trio: a distributed, strongly consistent key-value store."""
