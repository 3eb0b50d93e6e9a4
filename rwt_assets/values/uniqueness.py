"""Which rows repeat the values of rows before them, over all parts of a shard.

What belongs here: finding the first row with the same key. What does not: what becomes of
the others (`contract.py`). Rule: keys are equal as in Apache Arrow's compute functions, typed
("Compute Functions", `dictionary_encode`), and null equals null; Python documentation,
"hash()", for where earlier keys are looked for.

Keys are kept exactly, so no row is quarantined because of a hash. The memory is the keys
themselves and, from a shard's second part on, 24 bytes a row; a part then takes some 0.5 s for
a million rows more, about the same however much came before.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def row_keys(columns: Sequence[Any]) -> Any:
    """One array in which two rows are equal if they are in these arrays; null equals null."""
    if len(columns) == 1:
        return columns[0]
    pieces: list[Any] = []
    for column in columns:
        text = _comparable(column).cast(pa.string())
        length = pc.binary_length(text).cast(pa.string())
        # With its length before it no text can be taken for the end of another.
        piece = pc.binary_join_element_wise(length, text, ":")
        pieces.append(pc.fill_null(piece, "-"))
    return pc.binary_join_element_wise(*pieces, "")


def _comparable(column: Any) -> Any:
    """Values of a type in which equal ones have the same bytes and the same text."""
    kind = column.type
    if pa.types.is_floating(kind):  # 0.0 and -0.0 are equal, and differ in both
        return pc.add(column, 0.0)
    if pa.types.is_date32(kind):
        return column.cast(pa.int32())
    return column.cast(pa.int64()) if pa.types.is_temporal(kind) else column


class SeenKeys:
    """The keys of the rows so far, each once, with the ordinal of its first row."""

    def __init__(self) -> None:
        self._keys: list[Any] = []
        self._rows = np.zeros(0, np.int64)
        # Hashes of the keys in rising order, and for each the place of its key.
        self._hashes = np.zeros(0, np.int64)
        self._places = np.zeros(0, np.int64)

    def first_rows(self, keys: Any, row_numbers: np.ndarray) -> np.ndarray:
        """For each key the ordinal of the row that had it first, or -1 if that is its own.

        Args:
            keys: an Arrow array, one key a row.
            row_numbers: the rows' ordinals.
        """
        coded = _comparable(keys).dictionary_encode(null_encoding="encode")
        keys, codes = coded.dictionary, np.asarray(coded.indices)
        # Codes are given in the order of appearance; the last writer here is the first row.
        first = np.zeros(len(keys), np.int64)
        first[codes[::-1]] = np.arange(len(codes))[::-1]
        known = self._find(keys)
        new = known < 0
        known[new] = row_numbers[first[new]]
        self._keys.append(keys.filter(pa.array(new)))
        self._rows = np.concatenate([self._rows, known[new]])
        result: np.ndarray = known[codes]
        result[first[new]] = -1
        return result

    def _find(self, keys: Any) -> np.ndarray:
        """The ordinal of the row that had each key in the parts before, or -1."""
        known = np.full(len(keys), -1, np.int64)
        if not self._keys:
            return known
        self._index_newest()
        if not len(self._hashes):
            return known
        hashes = _hashes(keys)
        order = np.argsort(hashes)  # looked up in order, neighbours lie in the same memory
        spots = np.searchsorted(self._hashes, hashes[order])
        spots[spots == len(self._hashes)] = 0
        hits = self._hashes[spots] == hashes[order]
        wanted, places = order[hits], self._places[spots[hits]]
        if not self._are_at(keys.take(pa.array(wanted)), places):
            return self._find_without_hashes(keys)
        known[wanted] = self._rows[places]
        return known

    def _index_newest(self) -> None:
        """Take the keys of the part before into the index."""
        indexed = len(self._hashes)
        if indexed == len(self._rows):
            return
        places = np.arange(indexed, len(self._rows))
        hashes = np.concatenate([self._hashes, _hashes(self._keys[-1])])
        order = np.argsort(hashes, kind="stable")
        self._hashes = hashes[order]
        self._places = np.concatenate([self._places, places])[order]

    def _are_at(self, keys: Any, places: np.ndarray) -> bool:
        """Whether the key at each place is this one, and not another of the same hash."""
        bounds = np.cumsum([0, *map(len, self._keys)])
        part_of = np.searchsorted(bounds, places, side="right") - 1
        for part in np.unique(part_of).tolist():
            own = np.flatnonzero(part_of == part)
            earlier = self._keys[part].take(pa.array(places[own] - bounds[part]))
            mine = keys.take(pa.array(own))
            same = pc.fill_null(pc.equal(earlier, mine), fill_value=False)
            nulls = pc.and_(pc.is_null(earlier), pc.is_null(mine))
            if not pc.all(pc.or_(same, nulls)).as_py():
                return False
        return True

    def _find_without_hashes(self, keys: Any) -> np.ndarray:
        """The same in time that grows with what came before."""
        known = np.full(len(keys), -1, np.int64)
        start = 0
        for earlier in self._keys:
            found = pc.index_in(earlier, value_set=keys)
            hits = np.flatnonzero(np.asarray(pc.is_valid(found)))
            known[np.asarray(found.take(pa.array(hits)))] = self._rows[start + hits]
            start += len(earlier)
        return known


def _hashes(keys: Any) -> np.ndarray:
    return np.fromiter(map(hash, keys.to_pylist()), np.int64, len(keys))
