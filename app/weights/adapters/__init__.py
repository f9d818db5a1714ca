"""Files of adapters: LoRA and its kin, in the names of every trainer."""
