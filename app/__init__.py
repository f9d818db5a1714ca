"""Latent Loom: a node-graph application for latent diffusion."""

__version__ = "0.1.0"
