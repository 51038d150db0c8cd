"""Upkeep of runs: compaction on request, verification of every file, repair.

compacting             a run that crashed becomes one metrics file
leftovers              what overwriting a run leaves beside it where it is killed
verification, repair   every file read to its end; what is damaged is put aside
latebar                a progress bar for work that turns out to take a while
"""

from __future__ import annotations
