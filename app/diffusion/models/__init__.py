"""The networks, with the module names of the published checkpoints."""
