"""Help for anyone who writes a feed: infer a declaration from an archive, preview what it gives.

A preview goes the same way as the pipeline, without a store.
"""

from rwt_assets.authoring.inference import Inference, Sample, infer_feed
from rwt_assets.authoring.preview import ColumnPreview, MemberPreview, Preview, preview_archive

__all__ = [
    "ColumnPreview",
    "Inference",
    "MemberPreview",
    "Preview",
    "Sample",
    "infer_feed",
    "preview_archive",
]
