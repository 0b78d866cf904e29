"""The demonstration: `make demo` sends ten recordings through all three doors of an embedded stack."""
