"""Evaluates a validated prompt: plan, run, cache, lists, blockers, events. No torch, no HTTP; values are opaque."""
