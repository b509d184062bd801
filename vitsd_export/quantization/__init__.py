"""Fewer bits for weights and activations, with ranges taken from training images."""
