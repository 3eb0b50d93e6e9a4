"""Schedules: collection of former generations, and expiry of archives.

Dagster documentation: "Schedules".
"""

from rwt_assets.orchestration.schedules.collection import collection_job, collection_schedule
from rwt_assets.orchestration.schedules.retirement import retirement_job, retirement_schedule

__all__ = ["collection_job", "collection_schedule", "retirement_job", "retirement_schedule"]
