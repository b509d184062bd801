"""What an artifact is, read without running it."""
