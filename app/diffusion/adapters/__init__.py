"""Changes of weights: low rank and its kin, merges of models, and networks that are edited without touching others."""
