"""Noise schedules: falling tensors of sigma, [steps + 1], that end in 0 unless said otherwise."""

from app.diffusion.schedules.catalogue import DEFAULT_SCHEDULE, SCHEDULES, sigmas

__all__ = ["DEFAULT_SCHEDULE", "SCHEDULES", "sigmas"]
