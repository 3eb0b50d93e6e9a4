"""What an installation of several machines needs beyond Dagster's own settings."""
