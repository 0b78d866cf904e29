"""Signals as a person at a terminal has them."""

from __future__ import annotations

import sys

HEEDS_INTERRUPTS = ("env", "--default-signal=INT", sys.executable)
"""Python as a child that SIGINT ends: a shell's background jobs ignore it, and so does all that they start."""
