"""`comfy_execution`: graphs made by nodes."""
