"""System metrics: what the machine does while a run is written, as metrics `system/...`."""

from __future__ import annotations
