"""`make fuzz`: recordings damaged and forged by the thousand go through the audio step; a seed reproduces each."""
