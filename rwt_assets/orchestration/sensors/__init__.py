"""Sensors: arrivals from the queue, a sweep over the bucket, and the next step of each archive.

Dagster documentation: "Sensors".
"""

from rwt_assets.orchestration.sensors.dispatch import dispatch_sensor, plan, step_jobs
from rwt_assets.orchestration.sensors.queue import queue_sensor, queue_sensor_name
from rwt_assets.orchestration.sensors.sweep import sweep_sensor

__all__ = [
    "dispatch_sensor",
    "plan",
    "queue_sensor",
    "queue_sensor_name",
    "step_jobs",
    "sweep_sensor",
]
