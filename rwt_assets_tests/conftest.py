"""Settings of all tests."""

from hypothesis import settings

# Machines are shared: how long one example takes says nothing about the code.
settings.register_profile("rwt", deadline=None)
settings.load_profile("rwt")
