"""A server that behaves as the Linq Partner API v3 does, for tests and for a whole stack on one machine.

`docs/linq-sandbox.md` says what it imitates and what it does not.
"""

from .app import create_app
from .config import SandboxConfig
from .server import run

__all__ = ["SandboxConfig", "create_app", "run"]
