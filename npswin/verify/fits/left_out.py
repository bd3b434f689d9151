"""Words for which keys a query does not attend to: by their places, or by how small their numbers are."""

import math

import numpy as np

from npswin.types import Array

MOST_LISTED = 6


def left_out_words(hidden: Array, scores: Array) -> tuple[str, int]:
    """Which pairs of query and key are left out.

    Args:
        hidden: (B, nW, heads, query, key), true where a pair is left out.
        scores: of the same shape, those of the right softmax.

    Returns:
        The words, and how many numbers tell which pairs they are.
    """
    flat = hidden.reshape(-1, *hidden.shape[-2:])
    pairs = flat[0]
    if (flat == pairs).all():
        named = _pairs_words(pairs)
        return (named, 0) if named else (f"the same {pairs.sum()} pairs of each window", int(pairs.sum()))
    kept = (~hidden).sum(axis=-1)
    largest_hidden = np.where(hidden, scores, -np.inf).max(axis=-1)
    if (largest_hidden <= np.where(hidden, np.inf, scores).min(axis=-1)).all():
        if np.ptp(kept) == 0:
            return f"all but the {int(kept.flat[0])} keys with the largest scores", 1
        shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
        shares = shares / shares.sum(axis=-1, keepdims=True)
        low, high = shares[hidden].max(), shares[~hidden].min()
        if low <= high:
            return f"keys with a probability below {(low + high) / 2:.4g}", 1
        shares = scores - scores.max(axis=-1, keepdims=True)
        low, high = shares[hidden].max(), shares[~hidden].min()
        if low <= high:
            return f"keys whose score is more than {-(low + high) / 2:.4g} below the largest", 1
    if hidden.any() and scores[hidden].max() <= scores[~hidden].min():
        return f"keys with a score below {(scores[hidden].max() + scores[~hidden].min()) / 2:.4g}", 1
    return "", 0


def _pairs_words(pairs: Array) -> str:
    """Which pairs of one window, in words; empty without a rule."""
    tokens = len(pairs)
    query, key = np.indices(pairs.shape)
    if (pairs == pairs[0]).all():
        return keys_words(np.flatnonzero(pairs[0]), tokens)
    rules = {
        "the query's own key": query == key,
        "keys other than the query's own": query != key,
        "keys after the query": key > query,
        "keys before the query": key < query,
        "the query's own key and those after it": key >= query,
        "the query's own key and those before it": key <= query,
    }
    side = math.isqrt(tokens)
    for far in range(1, tokens - 1):
        rules[f"keys more than {far} places before or after the query"] = np.abs(query - key) > far
    if side * side == tokens:
        rows, columns = np.abs(query // side - key // side), np.abs(query % side - key % side)
        rules |= {"keys in another row": rows > 0, "keys in another column": columns > 0}
        for far in range(1, side - 1):
            rules[f"keys more than {far} rows or columns away"] = np.maximum(rows, columns) > far
    return next((words for words, rule in rules.items() if np.array_equal(rule, pairs)), "")


def keys_words(keys: Array, count: int) -> str:
    """The keys of a list, of so many: "the last key", "keys 8 to 15"."""
    first, last = int(keys[0]), int(keys[-1])
    if len(keys) == 1:
        return "the last key" if first == count - 1 else "the first key" if first == 0 else f"key {first}"
    if last - first + 1 == len(keys):
        return f"keys {first} to {last}"
    return f"keys {', '.join(map(str, keys[:MOST_LISTED]))}{', ...' if len(keys) > MOST_LISTED else ''}"
