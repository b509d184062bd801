"""The suite: our artifacts and the peers, measured side by side, and what is kept of it."""
