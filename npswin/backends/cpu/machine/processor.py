"""What the processor offers, and the shape of the register tile that follows from it.

A matrix product keeps a tile of its result in registers: `TILE_ROWS` rows of two vectors each. With 32 vector registers
12 × 2 = 24 hold the tile, with 16 registers 6 × 2 = 12; the rest hold the operands. Either way enough independent sums
are on their way to hide the latency of a fused multiply-add (four cycles, two a cycle: eight at least). A result that
is only one vector wide, such as a small window's scores, has `ONE_VECTOR_ROWS`.

The width is not looked up by the processor's name: it follows from the instruction set that Numba compiles for, the
host's or that of NUMBA_CPU_NAME and NUMBA_CPU_FEATURES.
"""

from contextlib import suppress
from pathlib import Path

from numba.core.registry import cpu_target
from numba.extending import register_jitable


def _instruction_sets() -> tuple[str, set[str]]:
    triple, _, features = cpu_target.target_context.codegen().magic_tuple()
    return triple.split("-")[0], {name[1:] for name in features.split(",") if name.startswith("+")}


ARCHITECTURE, FEATURES = _instruction_sets()

# Bytes in a vector register: AVX-512, AVX, and else the 16 that SSE and NEON have.
VECTOR_BYTES = 64 if "avx512f" in FEATURES else 32 if "avx" in FEATURES else 16

# AVX-512 and 64-bit ARM have 32 vector registers, older x86 has 16.
TILE_ROWS = 12 if "avx512f" in FEATURES or ARCHITECTURE in ("aarch64", "arm64") else 6
ONE_VECTOR_ROWS = 16 if TILE_ROWS == 12 else 8
# The last tile's, where that leaves no row over: a window of 7×7 tokens has 49.
LAST_TILE_ROWS = TILE_ROWS + 1 if TILE_ROWS == 12 else TILE_ROWS


def _l2_bytes() -> int:
    """The size of a core's L2 cache, by what Linux says of the first one; 1 MiB elsewhere."""
    with suppress(OSError, ValueError):
        for cache in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
            size = (cache / "size").read_text().strip()
            if (cache / "level").read_text().strip() == "2" and size.endswith("K"):
                return 1024 * int(size[:-1])
    return 1 << 20


L2_BYTES = min(max(_l2_bytes(), 1 << 18), 1 << 22)  # what is not a core's own is not counted on

# Instructions on bfloat16: VDPBF16PS and the conversions of AVX-512, and tiles (AMX), which the system must grant.
HAS_BFLOAT16_VECTORS = "avx512bf16" in FEATURES
HAS_BFLOAT16_TILES = HAS_BFLOAT16_VECTORS and {"amx-tile", "amx-bf16"} <= FEATURES


def vector_lanes(itemsize: int) -> int:
    """How many elements of this many bytes a vector register holds."""
    return VECTOR_BYTES // itemsize


@register_jitable  # kernels call it too
def round_up(count: int, multiple: int) -> int:
    """The smallest multiple of `multiple` that is at least `count`."""
    return -(-count // multiple) * multiple
