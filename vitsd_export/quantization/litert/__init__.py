"""Quantization of LiteRT files."""
