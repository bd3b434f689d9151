"""The machine's peak: a square product in float32, large enough to hide everything else."""

from typing import Any

SIDE = 2048
FLOPS = 2 * SIDE**3


def prepare(job: dict[str, Any]) -> dict[str, Any]:
    """A product in NumPy or in PyTorch, into memory that is there already."""
    import numpy as np

    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((SIDE, SIDE), np.float32) for _ in range(2))
    c = np.empty_like(a)

    if job["competitor"] == "numpy-sgemm":

        def call() -> Any:
            return np.matmul(a, b, out=c)
    else:
        import torch

        torch.set_num_threads(job["threads"])
        left, right, product = map(torch.from_numpy, (a, b, c))

        def call() -> Any:
            return torch.matmul(left, right, out=product)

    call()
    exact = a[0].astype(np.float64) @ b.astype(np.float64)
    if not np.abs(c[0] - exact).max() <= 1e-4 * np.abs(exact).max():
        raise ArithmeticError("the product is wrong")
    return {"call": call, "proof": {}, "notes": {"kernel": _kernel() if job["competitor"] == "numpy-sgemm" else ""}}


def _kernel() -> str:
    """Which of its kernels OpenBLAS chose, where that can be known."""
    try:
        from threadpoolctl import threadpool_info
    except ImportError:
        return ""
    names = {
        f"{pool['internal_api']} {pool.get('architecture')}" for pool in threadpool_info() if "blas" in pool["user_api"]
    }
    return ", ".join(sorted(names))
