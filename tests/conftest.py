"""What holds for all tests: no example of a property is judged by the time that it takes.

Programs that tests start find modules that are compiled, as installed packages have them: else each start compiles a
hundred, which would be a quarter of the time of all tests.
"""

from __future__ import annotations

import os
import sys

from hypothesis import settings

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

settings.register_profile("skald", deadline=None)
settings.load_profile("skald")
