"""npswin as a competitor."""

from collections.abc import Callable
from typing import Any

from benchmarks.peers.workloads import LR, PROOF_STEPS, WEIGHT_DECAY, make_batch, make_model


def prepare(job: dict[str, Any]) -> dict[str, Any]:
    """A call that can be timed, warm; and what it puts out, to be compared with the others."""
    import npswin

    images, labels = make_batch(job)
    model = make_model(job)
    flops = model.flops(training=job["training"]).total * job["batch"]
    notes = {"flops": flops, "backend": npswin.get_backend()}
    logits = model(images)
    if job["competitor"] == "captured":
        infer = npswin.capture(model, images)
        return {"call": lambda: infer(images), "proof": {"logits": infer(images)}, "notes": notes}
    if not job["training"]:
        return {"call": lambda: model(images), "proof": {"logits": logits}, "notes": notes}
    step = _training(model, images, labels)
    losses = [step() for _ in range(PROOF_STEPS)]
    return {"call": step, "proof": {"logits": logits, "losses": losses}, "notes": notes}


def imports(job: dict[str, Any]) -> None:
    """All that is imported when a model first runs."""
    import npswin

    if npswin.get_backend() == "cpu":
        import npswin.backends.cpu


def build(job: dict[str, Any], images: Any, labels: Any) -> Callable[[], float]:
    """A training step on a fresh model."""
    import npswin

    return _training(npswin.SwinTransformer(**job["config"]), images, labels)


def _training(model: Any, images: Any, labels: Any) -> Callable[[], float]:
    import npswin

    optimizer = npswin.AdamW(model, lr=LR, weight_decay=WEIGHT_DECAY)

    def step() -> float:
        model.zero_grad()
        logits, cache = model.forward(images)
        loss, dlogits = npswin.cross_entropy(logits, labels)
        model.backward(dlogits, cache)
        optimizer.step()
        return loss

    return step
