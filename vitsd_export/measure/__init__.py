"""Figures about runners: parity with a reference, accuracy, latency."""
