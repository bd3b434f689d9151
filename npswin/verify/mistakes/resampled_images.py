"""Images that were resampled: their rows and columns are mixed, by a matrix for each.

The port's image is A x Bᵀ for the right one, x. For each known A the other matrix is found by least squares, and
compared with the known ones.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from npswin.types import Array
from npswin.verify.fits.resampling import resamplings
from npswin.verify.graph import Run
from npswin.verify.graph.operations import constant
from npswin.verify.mistakes.fitted_tensors import Fit
from npswin.verify.mistakes.mistake import change_node, is_output_of

FEW, NEAR = 8, 1e-2  # columns that are tried first, and how near they have to be
MARGIN = 8.0  # times the tolerance
ROWS_PER_COLUMN = 1.5  # equations for each unknown number of a row of the other matrix
SAME = 1e-4  # of two matrices' numbers
TERMS = 64  # pixels of which an interpolated one is a sum, times 4 since the weights are rounded too
MOST_ROWS = 3  # times the columns, of a linear system


def fit_resampling(run: Run, name: str, found: Array, tolerance: float) -> Iterator[Fit]:
    """How the rows and columns of images were mixed.

    Args:
        run: the graph on the port's own inputs.
        name: the symptom.
        found: the port's tensor, (B, c, H, W).
        tolerance: the largest difference of equal numbers.
    """
    node = run.graph.nodes.get(name)
    if node is None or not is_output_of(node, "normalize") or found.ndim != 4:
        return
    operation, right = node.operation, np.asarray(run.compute(name), np.float64)
    assert operation is not None
    if right.shape != found.shape:
        return
    height, width = found.shape[2:]
    known = [("", np.eye(width)), *resamplings(width)]
    for row_words, rows in [("", np.eye(height)), *resamplings(height)]:
        columns = _other_matrix(rows @ right, found, tolerance)
        column_words = None if columns is None else _known(columns, known)
        if columns is None or column_words is None or not (row_words or column_words):
            continue
        columns = dict(known)[column_words]
        if np.abs(rows @ right @ columns.T - found).max() > MARGIN * tolerance:
            continue

        def resampled(pixels: Array, rows: Array = rows, columns: Array = columns, **settings: object) -> Array:
            return rows @ np.asarray(operation.forward(pixels, **settings)[0]) @ columns.T

        parts = [f"along the columns, {row_words}"] * bool(row_words)
        parts += [f"along the rows, {column_words}"] * bool(column_words)
        changed = replace(constant("normalize", resampled), terms=lambda *_: (TERMS, 1))
        yield Fit("; ".join(parts), change_node(node, changed), 0)
        return


def _other_matrix(x: Array, found: Array, tolerance: float) -> Array | None:
    """The matrix B with x Bᵀ = found, from the rows of all images; None where there is none."""
    width = x.shape[-1]
    rows, wanted = x.reshape(-1, width), found.reshape(-1, width)
    if len(rows) < ROWS_PER_COLUMN * width:
        return None
    some = slice(None, None, max(1, len(rows) // (MOST_ROWS * width)))
    rows, wanted = rows[some], wanted[some]
    if not _is_near(rows, wanted[:, :FEW]):
        return None
    solution, _, rank, _ = np.linalg.lstsq(rows, wanted, rcond=None)
    if rank < width or np.abs(rows @ solution - wanted).max() > MARGIN * tolerance:
        return None
    return solution.T


def _is_near(rows: Array, wanted: Array) -> bool:
    """Whether some columns are nearly sums of the rows' numbers, by the normal equations, which are fast."""
    products = rows.T @ rows
    products += NEAR**2 * np.eye(len(products)) * np.trace(products) / len(products)
    left = rows @ np.linalg.solve(products, rows.T @ wanted) - wanted
    return bool(np.abs(left).max() <= NEAR * np.abs(wanted).max())


def _known(matrix: Array, known: list[tuple[str, Array]]) -> str | None:
    """The words for a matrix, or None."""
    return next((words for words, one in known if np.abs(one - matrix).max() <= SAME * max(1, len(matrix) / 16)), None)
