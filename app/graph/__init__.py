"""The prompt: types, specs, parsing, validation, order and fingerprints. Standard library only."""
