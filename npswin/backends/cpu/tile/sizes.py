"""How many tokens, windows or rows make a tile."""

from functools import lru_cache

from npswin.backends.cpu.machine.processor import L2_BYTES, TILE_ROWS, round_up, vector_lanes

TILE_BYTES = L2_BYTES * 5 // 16  # of one map's share in a tile, so that two of them and a piece of weights fit there
HIDDEN_ROWS = (L2_BYTES * 192 >> 20) // TILE_ROWS * TILE_ROWS  # of a tile, for whole register tiles
CROWDED_BYTES = 512  # rows that are multiples of it apart compete for a few places in the L1 cache
CHUNK_BYTES = 4 << 20  # of what a backward pass keeps between its two halves


def tokens_per_tile(channels: int, itemsize: int, tokens: int, threads: int) -> int:
    """Tokens in a tile of an op that takes them in any order: whole vectors, 224 tokens or TILE_BYTES at most.

    Of these sizes, the one that minimizes the work of the busiest thread, each tile costing as much as another
    8 tokens beside its own.
    """
    return _tokens_per_tile(max(TILE_BYTES // (channels * itemsize), 64), itemsize, max(1, tokens), threads)


@lru_cache(maxsize=256)
def _tokens_per_tile(most: int, itemsize: int, tokens: int, threads: int) -> int:
    lanes = vector_lanes(itemsize)
    most = round_up(min(most, 224, -(-tokens // threads)), lanes)

    def work(tile: int) -> int:
        return -(-tokens // tile // threads) * (tile + 8)

    sizes = [tile for tile in range(most, 0, -lanes) if tile * itemsize % CROWDED_BYTES] or [most]
    return min(sizes, key=work)


def tiles_per_chunk(tile_bytes: int, tiles: int, threads: int) -> int:
    """Tiles in a chunk of a backward pass: about what CHUNK_BYTES hold, and the same number for each thread."""
    return max(1, min(tiles, threads * max(1, round(CHUNK_BYTES / (max(1, tile_bytes) * threads)))))


def hidden_rows_per_step(hidden: int) -> int:
    """Rows of the hidden layer that are computed together: so many fit beside the maps' shares in the tile."""
    return min(round_up(hidden, TILE_ROWS), HIDDEN_ROWS)


def splits_by_weight_rows(tokens: int, itemsize: int, threads: int, busiest: int, weight_bytes: int) -> bool:
    """Whether the threads share the rows of weights, with all tokens in one tile, rather than the tokens.

    They do if that leaves fewer lanes empty and fewer threads idle; or if it makes no difference there, but the weights
    are so large that they should be read only once.

    Args:
        tokens: all there are.
        itemsize: bytes of a number.
        threads: that share the work.
        busiest: lanes of the thread that gets most of them where the tokens are shared.
        weight_bytes: of the weights that all tokens need.
    """
    lanes, lanes_otherwise = round_up(tokens, vector_lanes(itemsize)), threads * busiest
    better = lanes < lanes_otherwise or (lanes == lanes_otherwise and weight_bytes > CHUNK_BYTES)
    return better and threads > 1 and tokens <= 256


def single_tile_lanes(tokens: int, itemsize: int) -> int:
    """Lanes of a tile that holds all tokens."""
    lanes = vector_lanes(itemsize)
    tile = round_up(tokens, lanes)
    return tile + lanes if tile * itemsize % CROWDED_BYTES == 0 else tile


def plan_window_tiles(
    tokens_per_window: int, itemsize: int, windows: int, threads: int, heads: int = 0, weight_bytes: int = 0
) -> tuple[int, int, bool]:
    """How many windows make a tile, the lanes it has, and whether the threads share the heads rather than the tiles.

    The lanes hold all windows' tokens side by side and the last one's excess up to a whole vector. Of the numbers that
    give up to 256 tokens, the one that minimizes the work of the busiest thread.

    Args:
        tokens_per_window: tokens.
        itemsize: bytes of a number.
        windows: all there are.
        threads: that share the work.
        heads: that they may share; 0 where they may not.
        weight_bytes: of the weights that all tokens need.
    """
    lanes = vector_lanes(itemsize)

    def work(count: int) -> int:
        tiles = -(-windows // count)
        return -(-tiles // threads) * round_up(count * tokens_per_window, lanes)

    most = max(1, min(256 // tokens_per_window, windows))
    count = min(range(1, most + 1), key=lambda count: (work(count), -count))
    split_by_heads = heads >= threads and splits_by_weight_rows(
        *(windows * tokens_per_window, itemsize, threads),
        *(work(count) * heads // (-(-heads // threads) * threads), weight_bytes),
    )
    if split_by_heads:
        count = windows
    return (
        count,
        single_tile_lanes((count - 1) * tokens_per_window + round_up(tokens_per_window, lanes), itemsize),
        split_by_heads,
    )
