"""`comfy`: models, samplers and tools, as packs know them."""
