"""The way of an archive as Dagster sees it: assets, checks, sensors and schedules.

What is done with the data is in the rooms below; what Dagster is told of it is here.
"""
