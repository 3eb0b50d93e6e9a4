"""Metrics of the feeds, for Prometheus.

The numbers are those that `rwt status` shows.
"""

from rwt_assets.monitoring.readings import HEARTBEAT_SECONDS, SETTLES_SECONDS, Readings
from rwt_assets.monitoring.server import Watcher, exposition, health, metrics_server

__all__ = [
    "HEARTBEAT_SECONDS",
    "SETTLES_SECONDS",
    "Readings",
    "Watcher",
    "exposition",
    "health",
    "metrics_server",
]
