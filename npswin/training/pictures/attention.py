"""The attention of a trained model within its windows."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from npswin.checks import check_instance, check_integer, check_path
from npswin.data import ImageDataset, normalize
from npswin.devices import to_host
from npswin.ops.windows import window_tokens
from npswin.training.inputs import as_input
from npswin.training.pictures.style import ORANGE, SKY, as_colours, new_figure, save_figure, show_image, shown_channels
from npswin.training.trainable import check_model
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
    """One token's attention within its window: in a regular block, in the next, shifted block, and at the border.

    The blocks are the last shifted block and the one before it. The last row is a window that the cyclic shift puts
    together from opposite borders of the map; the mask prevents attention between its parts.

    Args:
        model: a `SwinTransformer`.
        dataset: has the image.
        mean: of each channel, as the training images were normalized with.
        std: the same.
        path: the PNG file to write.
        index: number of the image.

    Raises:
        ValueError: an argument that does not fit, named.
        ImportError: matplotlib is not installed.
        OSError: the file could not be written.
    """
    check_model(model, "attention_maps", "config", "dtype", "params")
    check_instance("dataset", dataset, ImageDataset, "an ImageDataset")
    index, path = check_integer("index", index, 0, len(dataset) - 1), check_path("path", path)
    pixels = dataset.images[index]
    maps = model.attention_maps(as_input(model, normalize(pixels[None], mean, std, model.dtype)))
    image = as_colours(pixels)
    for block in maps:
        block["probabilities"] = to_host(block["probabilities"])
    shifted = max((number for number, block in enumerate(maps) if block["shift_size"]), default=None)
    blocks = [maps[0]] if shifted is None else [maps[shifted - 1], maps[shifted]]
    token_side = model.config["patch_size"] * 2 ** int(blocks[0]["name"].split(".")[1])  # pixels
    query = _token_with_most_contrast(image, token_side, blocks)
    rows = [(f"{'shifted' if block['shift_size'] else 'regular'} windows", block, query) for block in blocks]
    if shifted is not None:
        rows.append(("shifted: a window of\nfour corners, masked", blocks[1], (0, 0)))

    heads = min(_HEADS, blocks[0]["probabilities"].shape[2])
    figure = new_figure(2.35 * (2 + heads) + 1.0, 2.55 * len(rows) + 0.9)
    grid = figure.subplots(len(rows), 2 + heads, squeeze=False)
    for axes_row, (title, block, token) in zip(grid, rows, strict=True):
        window, (row, column) = _locate(block, token)
        attention = block["probabilities"][0, window][:, row * block["window_size"] + column]  # (h, N)
        attention = attention.reshape(len(attention), block["window_size"], block["window_size"])
        _draw_partition(axes_row[0], image, block, token_side, token)
        axes_row[0].set_ylabel(f"{title}\n{block['name']}", fontsize=10)
        _draw_on_image(axes_row[1], image, block, token_side, window, attention.mean(axis=0), token)
        for head in range(heads):
            shown = _draw_window(axes_row[2 + head], attention[head], (row, column), attention[:heads].max())
        bar = figure.colorbar(shown, ax=axes_row[-1], fraction=0.05, pad=0.06)
        bar.set_label("share of attention", fontsize=9)
    grid[0, 0].set_title("image, its windows,\none token (orange)", fontsize=10)
    grid[0, 1].set_title("its attention,\nmean of all heads", fontsize=10)
    for head in range(heads):
        grid[0, 2 + head].set_title(f"within the window,\nhead {head + 1}", fontsize=10)
    name = f"{dataset.name}, {dataset.split} image {index} ({dataset.class_names[dataset.labels[index]]})"
    figure.suptitle(f"{name}: attention within windows{shown_channels(len(pixels))}", weight="bold")
    save_figure(figure, path)


def _token_with_most_contrast(image: Array, token_side: int, blocks: Sequence[dict[str, Any]]) -> tuple[int, int]:
    """Row and column of the token whose pixels have the largest standard deviation.

    Tokens at the border, whose shifted windows have several parts, are left out where the map is large enough.
    """
    grey = image.mean(axis=0)
    rows, columns = grey.shape[0] // token_side, grey.shape[1] // token_side
    tokens = grey[: rows * token_side, : columns * token_side].reshape(rows, token_side, columns, token_side)
    contrast = tokens.std(axis=(1, 3))
    border = blocks[-1]["shift_size"]
    if min(rows, columns) > 2 * border:
        inner = contrast[border : rows - border, border : columns - border]
        row, column = np.unravel_index(inner.argmax(), inner.shape)
        return int(row) + border, int(column) + border
    row, column = np.unravel_index(contrast.argmax(), contrast.shape)
    return int(row), int(column)


def _locate(block: dict[str, Any], token: tuple[int, int]) -> tuple[int, tuple[int, int]]:
    """The number of the window of a token at (row, column) of the map, and the token's row and column in it."""
    rows, columns = _tokens_of_windows(block)
    window, row, column = np.argwhere((rows[:, :, None] == token[0]) & (columns[:, None] == token[1]))[0].tolist()
    return window, (row, column)


def _tokens_of(block: dict[str, Any], window: int) -> tuple[Array, Array]:
    """Rows (M,) and columns (M,) of the map that a window consists of."""
    rows, columns = _tokens_of_windows(block)
    return rows[window], columns[window]


def _tokens_of_windows(block: dict[str, Any]) -> tuple[Array, Array]:
    """Rows and columns (nW, M) of the padded map that each window consists of."""
    side = block["window_size"]
    height, width = (count * side for count in block["grid"])
    tokens = window_tokens(height, width, side, block["shift_size"]).reshape(-1, side, side)
    return tokens[:, :, 0] // width, tokens[:, 0] % width


def _mark_token(axes: Any, row: float, column: float, side: float) -> None:
    """Draw a frame around a token whose upper left corner is at (row, column)."""
    from matplotlib.patches import Rectangle

    axes.add_patch(Rectangle((column, row), side, side, fill=False, edgecolor="black", linewidth=4))
    axes.add_patch(Rectangle((column, row), side, side, fill=False, edgecolor=ORANGE, linewidth=2))


def _draw_partition(axes: Any, image: Array, block: dict[str, Any], token_side: int, token: tuple[int, int]) -> None:
    """Draw the image with its partition into windows."""
    show_image(axes, image)
    side, shift_size, (grid_rows, grid_columns) = block["window_size"], block["shift_size"], block["grid"]
    height, width = image.shape[1:]
    for row in range(grid_rows + 1):
        axes.axhline((row * side + shift_size) * token_side - 0.5, color="white", linewidth=1.6)
    for column in range(grid_columns + 1):
        axes.axvline((column * side + shift_size) * token_side - 0.5, color="white", linewidth=1.6)
    _mark_token(axes, token[0] * token_side - 0.5, token[1] * token_side - 0.5, token_side)
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))


def _draw_on_image(
    axes: Any,
    image: Array,
    block: dict[str, Any],
    token_side: int,
    window: int,
    attention: Array,
    token: tuple[int, int],
) -> None:
    """Draw the image, whiter where the attention (M, M) is smaller, and almost white outside the window."""
    height, width = image.shape[1:]
    side, (grid_rows, grid_columns) = block["window_size"], block["grid"]
    opacity = np.full((grid_rows * side, grid_columns * side), 0.2)
    opacity[np.ix_(*_tokens_of(block, window))] = 0.35 + 0.65 * attention / attention.max()
    opacity = opacity.repeat(token_side, axis=0).repeat(token_side, axis=1)[:height, :width]
    show_image(axes, np.rint(255 + (image.astype(float) - 255) * opacity).astype(np.uint8))
    rows, columns = _tokens_of(block, window)
    _draw_window_frames(axes, rows, columns, token_side)
    _mark_token(axes, token[0] * token_side - 0.5, token[1] * token_side - 0.5, token_side)
    axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5))


def _draw_window_frames(axes: Any, rows: Array, columns: Array, token_side: int) -> None:
    """Draw a frame around each contiguous part of a window."""
    from matplotlib.patches import Rectangle

    for row_part in np.split(rows, np.flatnonzero(np.diff(rows) != 1) + 1):
        for column_part in np.split(columns, np.flatnonzero(np.diff(columns) != 1) + 1):
            corner = (column_part[0] * token_side - 0.5, row_part[0] * token_side - 0.5)
            size = (len(column_part) * token_side, len(row_part) * token_side)
            axes.add_patch(Rectangle(corner, *size, fill=False, edgecolor=SKY, linewidth=1.6))


def _draw_window(axes: Any, attention: Array, token: tuple[int, int], maximum: float) -> Any:
    """Draw one head's attention (M, M) within the window; returns matplotlib's image."""
    shown = axes.imshow(attention, cmap="cividis", vmin=0, vmax=maximum)
    axes.set_xticks([])
    axes.set_yticks([])
    _mark_token(axes, token[0] - 0.5, token[1] - 0.5, 1)
    return shown
