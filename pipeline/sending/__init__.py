"""Telling Linq: the call, what its answer means, finding lost sends, pacing rules, webhook events."""
