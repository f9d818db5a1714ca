"""`comfy_api`: the second interface for nodes, with schemas."""
