"""`comfy.ldm`."""
