"""Rules for the places along an axis from which entries are taken: halved, strided, wrapped, limited, packed.

A map p takes entry i from place p(i). It is told by a formula where one of these gives all its places:

- i // k, the heads of k queries that share one key, and i % k, a buffer of k entries that is read again and again;
- k (i // k), the first of each group of k, and k (i // k) + k - 1 - i % k, each group backward;
- a i + b, with what is beyond the ends taken from the end, or counted from the other one;
- (i % a) b + i // a, a matrix of b columns that is read as its transpose.
"""

from collections.abc import Iterator

import numpy as np

from npswin.types import Array

MOST_ENTRIES = 4096  # along an axis
LARGER = (2, 4, 8)  # groups that may be larger than the whole axis


def index_rules(source: Array, size: int, letter: str = "i") -> list[str]:
    """The formulas that give a map, the simplest first; none for entries that stay, or a map without a rule.

    Args:
        source: for each entry the place from which it is taken.
        size: how many places there are.
        letter: that stands for the entry.
    """
    index = np.arange(len(source))
    if not 1 < len(source) <= MOST_ENTRIES or (source < 0).any() or np.array_equal(source, index):
        return []
    found = (words for words, places in _formulas(source, index, size, letter) if np.array_equal(places, source))
    return list(dict.fromkeys(found))


def _formulas(source: Array, index: Array, size: int, i: str) -> Iterator[tuple[str, Array]]:
    count, is_other = len(index), source != source[0]
    same = int(is_other.argmax()) or count  # how many entries in the beginning are taken from one place
    for k in [same] if is_other.any() else sorted({k for k in LARGER if k >= count} | {count}):
        yield f"{i} // {k}", index // k
    yield f"{same} ({i} // {same})", index // same * same
    again = np.flatnonzero(source[1:] == source[0]) + 1
    for k in again[again > 1][:1]:
        yield f"{i} % {k}", index % k
    k = int(source[0]) + 1
    backward = index // k * k + k - 1 - index % k
    limited = ", at most the last" if backward[-1] >= size and k > 1 else ""
    yield f"{k} ({i} // {k}) + {k - 1} - {i} % {k}{limited}", backward.clip(0, size - 1)
    yield from _lines(source, index, size, i)
    for a in range(2, count // 2 + 1):
        if count % a == 0:
            yield f"{count // a} ({i} % {a}) + {i} // {a}", index % a * (count // a) + index // a


def _lines(source: Array, index: Array, size: int, i: str) -> Iterator[tuple[str, Array]]:
    """a i + b, by the most frequent steps."""
    steps, counts = np.unique(np.diff(source), return_counts=True)
    for a in steps[np.argsort(-counts)][:2]:
        offsets, counts = np.unique(source - a * index, return_counts=True)
        for b in dict.fromkeys((int(offsets[counts.argmax()]), int(source[0]))):
            line, words = a * index + b, linear_words([(int(a), i)], b)
            if line.min() >= 0 and line.max() < size:
                yield words, line
                continue
            yield f"{words}, at {'most the last' if line.max() >= size else 'least 0'}", line.clip(0, size - 1)
            short = linear_words([((int(a) + size // 2) % size - size // 2, i)], b % size)
            yield f"({short}) % {size}", line % size


def linear_words(terms: list[tuple[int, str]], constant: int = 0) -> str:
    """A sum of multiples of letters, such as "2 i - 1"."""
    words = ""
    for factor, letter in [*terms, (constant, "")]:
        if factor:
            sign = ("-" if factor < 0 else "") if not words else " - " if factor < 0 else " + "
            number = str(abs(factor)) if abs(factor) != 1 or not letter else ""
            words += sign + " ".join(filter(None, (number, letter)))
    return words or "0"
