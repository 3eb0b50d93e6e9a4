"""Edges between the two partition sets: drawn in the UI, asked about by nobody.

Dagster's daemon can map partitions only by its own mappings, and takes two different dynamic
partition sets for identical. An edge that claims to depend on no partition at all is the one
built-in mapping that is true here: the crossing itself is done by events and by
`dispatch.py`. Dagster API documentation: `SpecificPartitionsPartitionMapping`.
"""

import dagster as dg


def lineage_only(upstream: dg.AssetKey) -> dg.AssetDep:
    """An edge to an asset of the other partition set."""
    return dg.AssetDep(
        upstream, partition_mapping=dg.SpecificPartitionsPartitionMapping(partition_keys=[])
    )
