"""The suite: our artifacts and the baselines, measured side by side, and what is kept of it."""
