"""Updates of parameters and averages, and the norm of gradients."""

import numpy as np
from hypothesis import strategies as st

from tests.backends.op_cases.case import FEW, Case, generator


def _parameters(draw, large, count):
    rng, shape = generator(draw), draw(st.lists(FEW, max_size=4))
    shape = (1 << 15, 3) if large else tuple(shape)
    return rng, [np.asarray(rng.standard_normal(shape)) for _ in range(count)]


def adamw_update(draw, large):
    rng, (param, grad, m, v) = _parameters(draw, large, 4)
    step = draw(st.sampled_from([1, 7, 5000]))
    hyper = [draw(st.sampled_from([0.0, 1e-3, 0.1])), 0.9, 0.999, 1e-8, draw(st.sampled_from([0.0, 0.05])), step]
    moments = [np.zeros_like(m), np.zeros_like(v)] if step == 1 else [m, np.square(v, out=v)]
    return Case([param, grad, *moments, *hyper], rng)


def adamw_update_all(draw, large):
    cases = [adamw_update(draw, large and place == 1) for place in range(draw(st.integers(1, 3)))]
    columns = [list(column) for column in zip(*(case.args[:4] for case in cases), strict=True)]
    step = draw(st.sampled_from([1, 7]))
    if step == 1:
        columns[2:] = [[np.zeros_like(array) for array in column] for column in columns[2:]]
    decays = [draw(st.sampled_from([0.0, 0.05])) for _ in cases]
    hyper = [draw(st.sampled_from([1e-3, 0.1])), 0.9, 0.999, 1e-8, decays, step]
    return Case([*columns, *hyper, *draw(st.sampled_from([[], [0.3], [float("nan")]]))], generator(draw))


def sgd_update(draw, large):
    rng, arrays = _parameters(draw, large, 3)
    return Case([*arrays, 0.1, draw(st.sampled_from([0.0, 0.9])), draw(st.sampled_from([0.0, 0.05]))], rng)


def sgd_update_all(draw, large):
    cases = [sgd_update(draw, large and place == 1) for place in range(draw(st.integers(1, 3)))]
    columns = [list(column) for column in zip(*(case.args[:3] for case in cases), strict=True)]
    decays = [draw(st.sampled_from([0.0, 0.05])) for _ in cases]
    scale = draw(st.sampled_from([[], [0.3], [float("nan")]]))
    return Case([*columns, 0.1, draw(st.sampled_from([0.0, 0.9])), decays, *scale], generator(draw))


def ema_update(draw, large):
    rng, arrays = _parameters(draw, large, 2)
    return Case([*arrays, draw(st.sampled_from([0.0, 0.9, 1.0]))], rng)


def ema_update_all(draw, large):
    cases = [ema_update(draw, large and place == 1) for place in range(draw(st.integers(1, 3)))]
    columns = [list(column) for column in zip(*(case.args[:2] for case in cases), strict=True)]
    return Case([*columns, draw(st.sampled_from([0.0, 0.9, 1.0]))], generator(draw))


def global_norm(draw, large):
    rng, arrays = _parameters(draw, large, draw(st.integers(0, 3)))
    return Case([arrays], rng, length=max([1, *(array.size for array in arrays)]))


CASES = (
    adamw_update,
    adamw_update_all,
    ema_update,
    ema_update_all,
    global_norm,
    sgd_update,
    sgd_update_all,
)
