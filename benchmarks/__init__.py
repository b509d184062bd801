"""Measurements of what README and docs claim: `python -m benchmarks --help`."""
