"""A cluster on one machine: PostgreSQL, RabbitMQ, Dagster's processes and Celery workers.

It runs the settings of `docs/deploy/celery/` as they stand. `make cluster` is its front door.
"""
