"""`python -m rwt_assets.cli` is `rwt`."""

import sys

from rwt_assets.cli.main import app

sys.exit(app())
