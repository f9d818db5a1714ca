"""The built-in nodes, one subject per file."""
