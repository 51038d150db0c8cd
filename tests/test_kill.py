"""A real SIGKILL in the midst of logging: every call that returned is read back."""

from __future__ import annotations

from pathlib import Path

import pytest
import trials


@pytest.mark.parametrize("seed", range(2))
def test_kill_loses_no_row_of_a_mapped_run(tmp_path: Path, seed: int) -> None:
    """Rows belong to the kernel as soon as a call returns; compaction afterwards keeps each once."""
    rows = trials.kill(tmp_path / "run", seed)

    assert rows > 5000


def test_kill_loses_half_a_second_of_a_staged_run(tmp_path: Path) -> None:
    """What was logged before the last flush is there, and nothing that is there is wrong."""
    rows = trials.kill(tmp_path / "run", 5, storage="staged")

    assert rows > 5000
