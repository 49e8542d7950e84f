"""What commands print: simple, json, fields, protobuf and table."""
