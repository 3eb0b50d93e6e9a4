"""What a consumer sees who looks at every delivery of a feed all the time.

What belongs here: following `delivery.json` of all archives, and what must hold of each that was
ever seen. What does not: what happens to the archives meanwhile (`soak.py`).

Deliveries between two looks are not missed: each document names those before it, whose documents
are kept. Every object that one of them names is remembered with its ETag.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import Event, Lock

from botocore.exceptions import BotoCoreError, ClientError

from rwt_assets.delivery.deliveries import named_keys
from rwt_assets.documents.layout import Layout
from rwt_assets.documents.manifest import Delivery
from rwt_assets.feed.feed import Feed
from rwt_assets.runtime.errors import ArchiveMissingError
from rwt_assets.storage.object_store import ObjectStore

PAUSE_SECONDS = 1.0

Judge = Callable[[Delivery], str]


class DeliveryWatch:
    """Every delivery of a feed since the watch began.

    Args:
        store: a client that no fault is injected into; the server may be away for a while.
        feed: whose deliveries are followed.
        uploads: the ETags of what was uploaded under an object key so far, or is being uploaded.
        judge: what is wrong with a delivery, "" if nothing is.
    """

    def __init__(
        self, store: ObjectStore, feed: Feed, uploads: Callable[[str], Sequence[str]], judge: Judge
    ) -> None:
        self._store = store
        self._bucket = feed.target.bucket
        self._prefix = feed.target.prefix
        self._uploads = uploads
        self._judge = judge
        self._documents: dict[str, str] = {}  # ETag of each document when it was read last
        self._newest: dict[str, Delivery] = {}
        self._positions: Counter[str] = Counter()  # in the uploads of each archive
        self._lock = Lock()
        self._over = Event()
        self.named: dict[str, str] = {}
        self.seen: Counter[str] = Counter()  # deliveries by their enrichment
        self.problems: list[str] = []

    def run(self) -> None:
        """Look until `end`."""
        while not self._over.wait(PAUSE_SECONDS):
            with suppress(ClientError, BotoCoreError):  # the server is away
                self.look()

    def end(self) -> None:
        self._over.set()

    def newest(self, archive: str) -> Delivery | None:
        """The delivery of an archive that was seen last."""
        return self._newest.get(archive)

    def look(self) -> None:
        """Read what has changed since the last look."""
        with self._lock:
            folder = Layout(self._prefix).deliveries()
            for head in self._store.list(self._bucket, folder):
                if self._documents.get(head.key) != head.etag:
                    body, etag = self._store.read_tagged(self._bucket, head.key)
                    self._follow(Delivery.model_validate_json(body))
                    self._documents[head.key] = etag

    def compare(self) -> None:
        """Everything that was ever named must be there as it was; none of it has expired yet."""
        found = {
            head.key: head.etag
            for folder in ("enriched", "quarantine", "former")
            for head in self._store.list(self._bucket, f"{self._prefix}/{folder}/")
        }
        for key, etag in self.named.items():
            if found.get(key) != etag:
                what = "was changed" if key in found else "is gone"
                self.problems.append(f"{key}: named by a delivery, {what}")

    def _follow(self, document: Delivery) -> None:
        """The deliveries of an archive that follow on the one that was seen last, in order."""
        before = self._newest.get(document.key)
        if before is not None and document.delivered_at < before.delivered_at:
            self.problems.append(f"{document.key}: an earlier delivery is current again")
        for former in reversed(document.former):
            if former.document not in self.named:
                body, etag = self._store.read_tagged(self._bucket, former.document)
                one = Delivery.model_validate_json(body)
                if before is None or one.delivered_at > before.delivered_at:
                    self._take(one)
                self.named[former.document] = etag
        self._take(document)
        self._newest[document.key] = document

    def _take(self, delivery: Delivery) -> None:
        for key in sorted(named_keys(delivery)):
            try:
                etag = self._store.head(self._bucket, key).etag
            except ArchiveMissingError:
                etag = ""
                self.problems.append(f"{key}: a delivery names it, and it is not there")
            if self.named.setdefault(key, etag) != etag:
                self.problems.append(f"{key}: changed since a delivery named it")
        self.seen[delivery.generation.rpartition("-")[2]] += 1
        if wrong := self._judge(delivery):
            self.problems.append(f"{delivery.key}: {wrong}")
        self._advance(delivery)

    def _advance(self, delivery: Delivery) -> None:
        """A delivery is of the same upload as the one before it, or of a later one."""
        uploads, archive = self._uploads(delivery.key), delivery.key
        position = self._positions[archive]
        if delivery.revision in uploads[position:]:
            self._positions[archive] = uploads.index(delivery.revision, position)
        elif delivery.revision in uploads:
            self.problems.append(f"{archive}: went back to an older upload")
        else:
            self.problems.append(f"{archive}: delivered what was never uploaded")
