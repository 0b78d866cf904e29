"""The jobs: their states, the legal moves between these, and the tables they are kept in."""
