"""The benchmark engine: candidates in processes of their own, timed in turn."""
