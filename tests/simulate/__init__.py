"""A deterministic simulator: the real transition code against a simulated world, everything from one seed."""
