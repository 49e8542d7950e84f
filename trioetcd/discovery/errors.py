"""What may go wrong while looking for the others."""


class DiscoveryError(Exception):
    """The first members cannot be found; the message is etcd's."""
