"""Devices, threads and which weights are where; knows bytes, not architectures."""
