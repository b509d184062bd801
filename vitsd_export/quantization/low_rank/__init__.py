"""Wide layers of a head as products of two narrow ones."""
