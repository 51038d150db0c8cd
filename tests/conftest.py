"""What holds for all tests: no example of a property is judged by the time that it takes."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("skald", deadline=None)
settings.load_profile("skald")
