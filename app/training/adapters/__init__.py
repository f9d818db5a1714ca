"""Training of adapters: LoRA and its kin for one model, from a few pictures and their descriptions."""
