"""The cloud stack: its templates checked, and really deployed to a local emulator."""
