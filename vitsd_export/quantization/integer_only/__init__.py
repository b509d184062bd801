"""LiteRT files that compute in integers alone."""
