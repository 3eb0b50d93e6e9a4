"""Tests of rwt_assets; the folders say at which boundary."""
