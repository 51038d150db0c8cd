"""A reader beside a process that writes as fast as it can: new names, strings, id sets and rolls."""

from __future__ import annotations

from pathlib import Path

import pytest
import trials


@pytest.mark.parametrize("storage", ["mapped", "staged"])
def test_live_reader_sees_every_row_right(tmp_path: Path, storage: str) -> None:
    """No row is wrong, none is missing that was logged before the read, and none goes away again."""
    judged = trials.live(tmp_path / "run", 1, storage=storage, secs=2)

    assert judged > 500
