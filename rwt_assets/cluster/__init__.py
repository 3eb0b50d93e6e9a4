"""What a cluster's dagster.yaml names.

Nothing of this package imports this room.
"""
