"""Settings of all tests."""

import os

from hypothesis import HealthCheck, settings

# Machines are shared: how long one example takes says nothing about the code.
settings.register_profile("rwt", deadline=None, derandomize=True, max_examples=25)
settings.register_profile(
    "fuzz", deadline=None, max_examples=150_000, suppress_health_check=list(HealthCheck)
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "rwt"))
