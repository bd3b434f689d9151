"""How large a tile is."""

from npswin.backends.cpu.host import TILE_ROWS, round_up, vector_lanes

TILE_BYTES = 320 * 1024  # of one map's share in a tile, so that two of them and a piece of weights fit the second cache
CROWDED_BYTES = 512  # rows that are multiples of it apart compete for a few places in the first cache
CHUNK_BYTES = 4 << 20  # of what a backward pass keeps between its two halves


def token_tile(channels: int, itemsize: int, tokens: int, threads: int) -> int:
    """Tokens in a tile of a word that takes them in any order: whole pairs of vectors, 64 to 192."""
    pair = 2 * vector_lanes(itemsize)
    room = TILE_BYTES // (channels * itemsize)
    fair = round_up(-(-tokens // threads), pair)
    return max(pair, min(max(room // pair * pair, 64), 192, fair))


def chunk_tiles(tile_bytes: int, tiles: int, threads: int) -> int:
    """Tiles in a chunk of a backward pass: what CHUNK_BYTES hold, and one for each thread at least."""
    return max(1, min(tiles, max(threads, CHUNK_BYTES // tile_bytes)))


def hidden_tile(hidden: int) -> int:
    """Rows of a branch's hidden layer that are computed together."""
    return min(round_up(hidden, TILE_ROWS), 16 * TILE_ROWS if TILE_ROWS == 12 else 32 * TILE_ROWS)


def windows_in_tile(per_window: int, itemsize: int, windows: int, threads: int) -> tuple[int, int]:
    """How many windows make a tile, and the lanes it has.

    The lanes hold all windows' tokens side by side and the last one's excess up to a whole vector. Of the numbers that
    give up to 256 tokens and every thread its share, the one that wastes the smallest part of its vectors.
    """
    lanes = vector_lanes(itemsize)

    def width(count: int) -> int:
        return round_up(count * per_window, lanes)

    most = max(1, min(256 // per_window, -(-windows // threads)))
    count = min(range(1, most + 1), key=lambda count: (width(count) / count, -count))
    stride = round_up((count - 1) * per_window + round_up(per_window, lanes), lanes)
    return count, stride + lanes if stride * itemsize % CROWDED_BYTES == 0 else stride
