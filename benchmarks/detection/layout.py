"""The layout of a Swin for images of one size: names, sizes of maps, windows, shifts."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Size = tuple[int, int]

OFFICIAL: dict[str, Any] = {
    "img_size": 224,
    "patch_size": 4,
    "in_chans": 3,
    "num_classes": 1000,
    "embed_dim": 96,
    "depths": (2, 2, 6, 2),
    "num_heads": (3, 6, 12, 24),
    "window_size": 7,
    "head_dim": None,
    "qkv_bias": True,
    "ape": False,
    "patch_norm": True,
}
ONLY = {
    "position_bias": "per_head",
    "mask_value": -100.0,
    "merge_norm": True,
    "merge_bias": False,
    "norm_after_pool": False,
}


@dataclass(frozen=True)
class Block:
    """A transformer block.

    Attributes:
        name: "layers.S.blocks.J".
        reads: name of the tensor that goes in.
        height, width: H and W of the map.
        side: M, the window's.
        shift_size: rows and columns of the shift, 0 where windows are not shifted.
        heads: h.
        head_dim: d.
        channels: C.
        more: rows and columns of windows that a mistake adds to the padded map.
    """

    name: str
    reads: str
    height: int
    width: int
    side: int
    shift_size: int
    heads: int
    head_dim: int
    channels: int
    more: Size = (0, 0)

    @property
    def padded(self) -> Size:
        """(Hp, Wp)."""
        rows, columns = self.windows
        return rows * self.side, columns * self.side

    @property
    def windows(self) -> Size:
        """Rows and columns of windows."""
        return _ceil(self.height, self.side) + self.more[0], _ceil(self.width, self.side) + self.more[1]

    @property
    def pads(self) -> bool:
        """Whether windows do not divide the map."""
        return self.padded != (self.height, self.width)

    @property
    def tokens(self) -> int:
        """N, of a window."""
        return self.side**2

    @property
    def rolled(self) -> str:
        """Name of the tensor that is rolled in a shifted block."""
        return f"{self.name}.attn.padded" if self.pads else f"{self.name}.norm1"

    @property
    def scored(self) -> str:
        """Name of the softmax's input."""
        return f"{self.name}.attn.{'masked' if self.shift_size else 'biased'}_scores"


@dataclass(frozen=True)
class Merging:
    """Patch merging at a stage's end, of a map of height × width."""

    name: str
    reads: str
    height: int
    width: int


@dataclass(frozen=True)
class Layout:
    """The whole model.

    Attributes:
        patch: p.
        image_channels: c, the images' channels.
        patch_norm: whether patches are normalized.
        position_grid: (H, W) of the absolute position embedding; None where there is none.
        steps: blocks and mergings in order.
        last: name of the last block.
        final: (H, W) of the last map.
        batch: B.
        qkv_bias: whether qkv has a bias.
        whole_patches: whether patches divide the images in both directions.
    """

    patch: int
    image_channels: int
    patch_norm: bool
    position_grid: Size | None
    steps: tuple[Block | Merging, ...]
    last: str
    final: Size
    batch: int
    qkv_bias: bool
    whole_patches: bool

    @property
    def blocks(self) -> list[Block]:
        return [step for step in self.steps if isinstance(step, Block)]

    @property
    def mergings(self) -> list[Merging]:
        return [step for step in self.steps if isinstance(step, Merging)]


def layout(config: Mapping[str, Any], image_size: Size, batch: int = 2) -> Layout:
    """The layout of a model for a batch of images of (H, W) pixels.

    Where `img_size` makes a stage's map no larger than the window, that stage's window shrinks to the map's shorter
    side and is not shifted; images of another size do not change that.

    Raises:
        ValueError: an argument that is not the official model's, or fewer than two classes, whose loss is always zero.
    """
    for argument, value in ONLY.items():
        if config.get(argument, value) != value:
            raise ValueError(f"{argument}: got {config[argument]!r}, expected {value!r}: the official model alone")
    c = OFFICIAL | dict(config)
    if c["num_classes"] < 2:
        raise ValueError(f"num_classes: got {c['num_classes']}, expected at least 2")
    patch = c["patch_size"]
    pixels = (c["img_size"],) * 2 if isinstance(c["img_size"], int) else c["img_size"]
    grid = None if pixels is None else tuple(_ceil(length, patch) for length in pixels)
    position_grid = grid if c["ape"] else None
    height, width = (_ceil(length, patch) for length in image_size)
    reads = "pos_drop" if position_grid else "patch_embed.norm" if c["patch_norm"] else "patch_embed.proj"
    steps: list[Block | Merging] = []
    for stage, (depth, heads) in enumerate(zip(c["depths"], c["num_heads"], strict=True)):
        channels = c["embed_dim"] * 2**stage
        side = min(c["window_size"], *grid) if grid else c["window_size"]
        shifts = not grid or min(grid) > c["window_size"]
        for number in range(depth):
            name = f"layers.{stage}.blocks.{number}"
            shift_size = side // 2 if shifts and number % 2 else 0
            head_dim = c["head_dim"] or channels // heads
            steps.append(Block(name, reads, height, width, side, shift_size, heads, head_dim, channels))
            reads = name
        if stage < len(c["depths"]) - 1:
            name = f"layers.{stage}.downsample"
            steps.append(Merging(name, reads, height, width))
            reads = f"{name}.reduction"
            height, width = _ceil(height, 2), _ceil(width, 2)
            grid = grid and tuple(_ceil(length, 2) for length in grid)
    final, qkv_bias = (height, width), c["qkv_bias"]
    whole = not any(length % patch for length in image_size)
    return Layout(
        patch, c["in_chans"], c["patch_norm"], position_grid, tuple(steps), reads, final, batch, qkv_bias, whole
    )


def _ceil(length: int, part: int) -> int:
    return -(-length // part)
