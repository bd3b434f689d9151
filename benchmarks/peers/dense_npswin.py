"""npswin's dense models as a competitor."""

import math
from collections.abc import Callable
from typing import Any

from benchmarks.peers.dense import fresh_model, make_batch, make_model, prove
from benchmarks.peers.same_samples import npswin_by_rule
from benchmarks.peers.workloads import LR, WEIGHT_DECAY

__all__ = ["build", "imports", "make_batch", "prepare"]


def prepare(job: dict[str, Any]) -> dict[str, Any]:
    """A call that can be timed, warm; and what it puts out, to be compared with the others."""
    import npswin
    from npswin.training import clip_gradients

    model, batch = make_model(job), make_batch(job)
    notes = {"flops": 0, "backend": npswin.get_backend()}
    if not job["training"]:
        (found,) = model.detect(*batch[:-1])
        proof = {"boxes": found.boxes, "scores": found.scores, "labels": found.labels}
        proof["masks"] = found.mask_probabilities
        return {"call": lambda: model.detect(*batch[:-1]), "proof": proof, "notes": notes}
    optimizer = npswin.AdamW(model, lr=LR, weight_decay=WEIGHT_DECAY)
    step = _training(job, model, optimizer, batch)
    with npswin_by_rule():
        proof = prove(job, step, lambda: clip_gradients(model, math.inf))
    optimizer.lr = 0.0
    return {"call": step, "proof": proof, "notes": notes}


def imports(job: dict[str, Any]) -> None:
    """All that is imported when a model first runs."""
    import npswin

    if npswin.get_backend() == "cpu":
        import npswin.backends.cpu


def build(job: dict[str, Any], *batch: Any) -> Callable[[], list[float]]:
    """A training step on a fresh model."""
    import npswin

    model = fresh_model(job)
    return _training(job, model, npswin.AdamW(model, lr=LR, weight_decay=WEIGHT_DECAY), batch)


def _training(job: dict[str, Any], model: Any, optimizer: Any, batch: tuple[Any, ...]) -> Callable[[], list[float]]:
    """A step; it returns the loss and, of a detector, the terms that it is the sum of."""

    def step() -> list[float]:
        model.zero_grad()
        losses, cache = model.loss_forward(*batch)
        model.loss_backward(cache)
        optimizer.step()
        terms = [float(loss) for loss in losses.values()]
        return [sum(terms), *(terms if job["config"]["architecture"] == "mask_rcnn" else [])]

    return step
