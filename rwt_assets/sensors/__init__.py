"""What notices and what asks: the queue, the dispatch and the sweep (Dagster: "Sensors")."""
