"""Trains vision transformers for small datasets: `python -m training --help`."""
