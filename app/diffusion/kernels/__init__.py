"""Exact faster ways to compute what a network's layers define, for the devices where they pay."""
