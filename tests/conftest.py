"""What holds for all tests: no example of a property is judged by the time that it takes.

Programs that tests start find modules that are compiled, as installed packages have them: else each start compiles a
hundred, which would be a quarter of the time of all tests. And no test begins inside a repository, of which each
logger would ask git. A program that forks says nothing of Arrow's threads, as Python 3.12 does on its stderr.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

import pytest
from hypothesis import settings

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False
os.environ["PYTHONWARNINGS"] = "ignore:This process:DeprecationWarning"

settings.register_profile("skald", deadline=None)
settings.load_profile("skald")


@pytest.fixture(autouse=True, scope="session")
def _outside_of_a_repository(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Work in an empty folder; what a test writes without a thought is not in the checkout either."""
    with contextlib.chdir(tmp_path_factory.mktemp("elsewhere")):
        yield
