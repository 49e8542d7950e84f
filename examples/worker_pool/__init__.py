"""A pool of workers on etcd: one leads, all work, and the settings may change meanwhile."""
