"""The HTTP door: memos in, webhooks from Linq in, health and metrics out."""

from workers.web.server import serve

__all__ = ["serve"]
