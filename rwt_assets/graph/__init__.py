"""What Dagster calls the parts of a feed, and the few parts of Dagster that are beta or private.

Rooms that keep Dagster out do not import this one.
"""

from rwt_assets.graph.evaluation_records import forget_evaluations
from rwt_assets.graph.event_texts import described, markdown_metadata
from rwt_assets.graph.feed_graph import FeedGraph, range_in_work
from rwt_assets.graph.loading import refuse_unloadable, refuse_unloaded, unloaded
from rwt_assets.graph.partition_batches import add_partitions, remove_partitions
from rwt_assets.graph.reporting import REPORTED_TOGETHER, report_materializations

__all__ = [
    "REPORTED_TOGETHER",
    "FeedGraph",
    "add_partitions",
    "described",
    "forget_evaluations",
    "markdown_metadata",
    "range_in_work",
    "refuse_unloadable",
    "refuse_unloaded",
    "remove_partitions",
    "report_materializations",
    "unloaded",
]
