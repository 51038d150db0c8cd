"""The record: the other files of a run, each with its own module."""

from __future__ import annotations
