"""Where the windows of a trained model look."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from npswin.data import ImageDataset, normalize
from npswin.devices import to_host
from npswin.training.pictures.style import ORANGE, SKY, new_figure, save_figure, show_image
from npswin.training.trainable import as_input
from npswin.types import Array

_HEADS = 3


def draw_attention(
    model: Any,
    dataset: ImageDataset,
    mean: Sequence[float],
    std: Sequence[float],
    path: str | os.PathLike[str],
    index: int = 0,
) -> None:
    """What one token looks at within its window: in a regular block, in the shifted one behind it, and at the border.

    The blocks are those of the last stage that has a shifted one. The last row is a window that the cyclic shift has
    put together from opposite borders of the map; the mask keeps its pieces from looking at each other.

    Args:
        model: a `SwinTransformer`.
        dataset: where the image comes from.
        mean: of each channel, as the training images were normalized with.
        std: the same.
        path: the PNG file to write.
        index: number of the image.

    Raises:
        ImportError: matplotlib is not installed.
        OSError: the file could not be written.
    """
    image = dataset.images[index]
    maps = model.attention_maps(as_input(model, normalize(image[None], mean, std, model.dtype)))
    for block in maps:
        block["probabilities"] = to_host(block["probabilities"])
    shifted = max((place for place, found in enumerate(maps) if found["shift"]), default=None)
    blocks = [maps[0]] if shifted is None else [maps[shifted - 1], maps[shifted]]
    patch = model.config["patch_size"] * 2 ** int(blocks[0]["name"].split(".")[1])  # pixels to a token
    query = _busiest_token(image, patch, blocks)
    rows = [(f"{'shifted' if block['shift'] else 'regular'} windows", block, query) for block in blocks]
    if shifted is not None:
        rows.append(("shifted: a window of\nfour corners, masked", blocks[1], (0, 0)))

    heads = min(_HEADS, blocks[0]["probabilities"].shape[2])
    figure = new_figure(2.35 * (2 + heads) + 1.0, 2.55 * len(rows) + 0.9)
    grid = figure.subplots(len(rows), 2 + heads, squeeze=False)
    for axes_row, (title, block, place) in zip(grid, rows, strict=True):
        window, (row, column) = _locate(block, place)
        looks = block["probabilities"][0, window][:, row * block["window_size"] + column]  # (h, N)
        looks = looks.reshape(len(looks), block["window_size"], block["window_size"])
        _draw_partition(axes_row[0], image, block, patch, place)
        axes_row[0].set_ylabel(f"{title}\n{block['name']}", fontsize=10)
        _draw_on_image(axes_row[1], image, block, patch, window, looks.mean(axis=0), place)
        for head in range(heads):
            shown = _draw_window(axes_row[2 + head], block, looks[head], (row, column), looks[:heads].max())
        bar = figure.colorbar(shown, ax=axes_row[-1], fraction=0.05, pad=0.06)
        bar.set_label("share of attention", fontsize=9)
    grid[0, 0].set_title("image, its windows,\none token (orange)", fontsize=10)
    grid[0, 1].set_title("where it looks,\nmean of all heads", fontsize=10)
    for head in range(heads):
        grid[0, 2 + head].set_title(f"within the window,\nhead {head + 1}", fontsize=10)
    name = f"{dataset.name}, {dataset.split} image {index} ({dataset.class_names[dataset.labels[index]]})"
    figure.suptitle(f"{name}: where a window looks", weight="bold")
    save_figure(figure, path)


def _busiest_token(image: Array, patch: int, blocks: Sequence[dict[str, Any]]) -> tuple[int, int]:
    """The token with the strongest contrast among those that a regular and a shifted window both hold unbroken."""
    grey = image.mean(axis=0)
    rows, columns = grey.shape[0] // patch, grey.shape[1] // patch
    contrast = grey[: rows * patch, : columns * patch].reshape(rows, patch, columns, patch).std(axis=(1, 3))
    border = blocks[-1]["shift"]
    if min(rows, columns) > 2 * border:
        inner = contrast[border : rows - border, border : columns - border]
        row, column = np.unravel_index(inner.argmax(), inner.shape)
        return int(row) + border, int(column) + border
    row, column = np.unravel_index(contrast.argmax(), contrast.shape)
    return int(row), int(column)


def _locate(block: dict[str, Any], place: tuple[int, int]) -> tuple[int, tuple[int, int]]:
    """The number of the window that holds the token at (row, column) of the map, and its place in that window."""
    side, (grid_rows, grid_columns) = block["window_size"], block["grid"]
    row = (place[0] - block["shift"]) % (grid_rows * side)
    column = (place[1] - block["shift"]) % (grid_columns * side)
    return row // side * grid_columns + column // side, (row % side, column % side)


def _tokens_of(block: dict[str, Any], window: int) -> tuple[Array, Array]:
    """Rows (M,) and columns (M,) of the map that a window is made of."""
    side, (grid_rows, grid_columns) = block["window_size"], block["grid"]
    rows = (window // grid_columns * side + np.arange(side) + block["shift"]) % (grid_rows * side)
    columns = (window % grid_columns * side + np.arange(side) + block["shift"]) % (grid_columns * side)
    return rows, columns


def _mark(axes: Any, row: float, column: float, side: float) -> None:
    """Frame one token whose upper left corner is at (row, column)."""
    from matplotlib.patches import Rectangle

    axes.add_patch(Rectangle((column, row), side, side, fill=False, edgecolor="black", linewidth=4))
    axes.add_patch(Rectangle((column, row), side, side, fill=False, edgecolor=ORANGE, linewidth=2))


def _draw_partition(axes: Any, image: Array, block: dict[str, Any], patch: int, place: tuple[int, int]) -> None:
    """The image cut into windows."""
    show_image(axes, image)
    side, shift, (grid_rows, grid_columns) = block["window_size"], block["shift"], block["grid"]
    height, width = image.shape[1:]
    for row in range(grid_rows + 1):
        axes.axhline((row * side + shift) * patch - 0.5, color="white", linewidth=1.6)
    for column in range(grid_columns + 1):
        axes.axvline((column * side + shift) * patch - 0.5, color="white", linewidth=1.6)
    _mark(axes, place[0] * patch - 0.5, place[1] * patch - 0.5, patch)
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))


def _draw_on_image(
    axes: Any, image: Array, block: dict[str, Any], patch: int, window: int, looks: Array, place: tuple[int, int]
) -> None:
    """The image, as clear as it is looked at: the rest fades to white."""
    height, width = image.shape[1:]
    side, (grid_rows, grid_columns) = block["window_size"], block["grid"]
    clear = np.full((grid_rows * side, grid_columns * side), 0.2)
    clear[np.ix_(*_tokens_of(block, window))] = 0.35 + 0.65 * looks / looks.max()
    clear = clear.repeat(patch, axis=0).repeat(patch, axis=1)[:height, :width]
    show_image(axes, np.rint(255 + (image.astype(float) - 255) * clear).astype(np.uint8))
    rows, columns = _tokens_of(block, window)
    _outline(axes, rows, columns, patch)
    _mark(axes, place[0] * patch - 0.5, place[1] * patch - 0.5, patch)
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))


def _outline(axes: Any, rows: Array, columns: Array, patch: int) -> None:
    """A frame around each unbroken piece of a window."""
    from matplotlib.patches import Rectangle

    for row_piece in np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1):
        for column_piece in np.split(columns, np.flatnonzero(np.diff(columns) != 1) + 1):
            corner = (column_piece[0] * patch - 0.5, row_piece[0] * patch - 0.5)
            size = (len(column_piece) * patch, len(row_piece) * patch)
            axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor=SKY, linewidth=1.6))


def _draw_window(axes: Any, block: dict[str, Any], looks: Array, place: tuple[int, int], highest: float) -> Any:
    """One head's probabilities (M, M), in the window as the block sees it."""
    shown = axes.imshow(looks, cmap="cividis", vmin=0, vmax=highest)
    axes.set_xticks([])
    axes.set_yticks([])
    _mark(axes, place[0] - 0.5, place[1] - 0.5, 1)
    return shown
