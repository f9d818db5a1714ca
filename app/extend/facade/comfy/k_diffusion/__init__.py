"""`comfy.k_diffusion`."""
