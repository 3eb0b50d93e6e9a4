"""`python -m rwt_assets.cli` is `rwt`."""

from rwt_assets.cli import rwt

rwt()
