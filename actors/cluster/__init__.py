"""Who belongs to the cluster, and by what name, id and address."""
