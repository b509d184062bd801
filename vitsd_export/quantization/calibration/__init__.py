"""Ranges of activations, from training images."""
