"""The JSON gateway: etcd's services for whoever speaks HTTP and JSON."""
