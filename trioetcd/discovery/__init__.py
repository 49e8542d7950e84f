"""How a new member finds the others when nobody has listed them: by DNS, or by another etcd."""
