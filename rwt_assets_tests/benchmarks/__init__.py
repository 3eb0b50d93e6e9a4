"""Benchmarks: two things compared in one run, as ratios. `make bench` runs them."""
