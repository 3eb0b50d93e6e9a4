"""Where the archive lies and where its contenders write: one place for all of them."""

SOURCE, TARGET, ARCHIVE = "incoming", "results", "bench/archive.zip"
SPLIT, KEY = "station", "ticket"
