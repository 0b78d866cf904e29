"""The demonstration: `make demo` sends a dozen recordings through all three doors of an embedded stack."""
