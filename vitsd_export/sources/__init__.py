"""Where trained models come from: one file a form of source, and what makes a classifier of each."""
