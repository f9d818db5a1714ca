"""Settings of all tests."""

from __future__ import annotations

from hypothesis import settings

# A busy machine is no failure: only what an example does counts, not how long it took.
settings.register_profile("any machine", deadline=None, max_examples=60)
settings.load_profile("any machine")
