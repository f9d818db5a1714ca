"""Latent diffusion itself: networks, parameterisations, schedules, samplers, guidance, conditioning. Torch only."""
