"""The exporters, one file a format; see `exporters.registry`."""
