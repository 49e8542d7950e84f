"""HTTP/2: one connection, owned by h2, with a lane in front of it for unary calls."""
