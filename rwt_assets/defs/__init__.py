"""The declared feeds, one folder each with a `defs.yaml`."""
