"""Exports Keras vision transformers for small datasets to files that apps can run, verified."""
