"""Cells whose memory is a matrix for each head."""

from __future__ import annotations

from reference.parts import Entry

CELLS: dict[str, Entry] = {}
