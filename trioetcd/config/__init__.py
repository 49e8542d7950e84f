"""The server's configuration: flags, environment, file."""
