"""The commands of `rwt`, one module for each group; `cli.py` puts them together."""
