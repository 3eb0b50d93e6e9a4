"""Connections to the outside: the object store, the queue and the IO manager.

Dagster documentation: "Resources".
"""
