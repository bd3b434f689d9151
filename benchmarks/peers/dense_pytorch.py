"""transformers' UPerNet and torchvision's Mask R-CNN under PyTorch, with the faster attention implementation."""

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from benchmarks.peers.dense import make_batch, prove
from benchmarks.peers.pytorch import make_optimizer, with_faster_attention

__all__ = ["build", "imports", "make_batch", "prepare"]


def prepare(job: dict[str, Any]) -> dict[str, Any]:
    """A call that can be timed, warm; and what it puts out."""
    return with_faster_attention(job, _prepare)


def _prepare(job: dict[str, Any], attention: str) -> dict[str, Any]:
    import torch

    from benchmarks.peers.carried_weights import carry_weights
    from benchmarks.peers.dense import make_model

    peer = _fresh(job, attention)
    carry_weights(make_model(job), peer)
    batch = _as_tensors(job, make_batch(job))
    if not job["training"]:
        peer.eval()

        def infer() -> Any:
            with torch.inference_mode():
                return peer(*batch[:-1])

        (found,) = infer()
        proof = {name: found[name].numpy() for name in ("boxes", "scores")}
        proof |= {"labels": found["labels"].numpy() - 1, "masks": found["masks"].numpy()[:, 0]}
        return {"call": infer, "proof": proof}
    optimizer = make_optimizer(peer)
    step = _training(job, peer.train(), optimizer, batch)
    with _same_samples(job, peer):
        proof = prove(job, step, lambda: float(torch.nn.utils.clip_grad_norm_(peer.parameters(), math.inf)))
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    return {"call": step, "proof": proof}


def _same_samples(job: dict[str, Any], peer: Any) -> AbstractContextManager[None]:
    if job["config"]["architecture"] == "upernet":
        return nullcontext()
    from benchmarks.peers.same_samples import torchvision_by_rule

    return torchvision_by_rule(peer)


def imports(job: dict[str, Any]) -> None:
    """All that is imported when a model is built."""
    if job["config"]["architecture"] == "upernet":
        import benchmarks.peers.upernet
    else:
        import benchmarks.peers.mask_rcnn  # noqa: F401


def build(job: dict[str, Any], *batch: Any) -> Callable[[], list[float]]:
    """A training step on a fresh model."""
    import torch

    torch.set_num_threads(job["threads"])
    peer = _fresh(job, job["attentions"][0]).train()
    return _training(job, peer, make_optimizer(peer), _as_tensors(job, batch))


def _fresh(job: dict[str, Any], attention: str) -> Any:
    if job["config"]["architecture"] == "upernet":
        from benchmarks.peers.upernet import build_upernet

        return build_upernet(job["config"], attention)
    from benchmarks.peers.mask_rcnn import TorchvisionMaskRCNN

    return TorchvisionMaskRCNN(job["config"], attention)


def _as_tensors(job: dict[str, Any], batch: tuple[Any, ...]) -> tuple[Any, ...]:
    import torch

    if job["config"]["architecture"] == "upernet":
        return tuple(map(torch.from_numpy, batch))
    from benchmarks.peers.mask_rcnn import as_targets

    images, sizes, objects = batch
    return torch.from_numpy(images), sizes, as_targets(objects, sizes, torch.float32)


def _training(job: dict[str, Any], peer: Any, optimizer: Any, batch: tuple[Any, ...]) -> Callable[[], list[float]]:
    """A step; it returns the loss and, of a detector, the terms that it is the sum of."""

    def step() -> list[float]:
        optimizer.zero_grad()
        if job["config"]["architecture"] == "upernet":
            images, labels = batch
            terms = []
            loss = peer(images, labels=labels).loss
        else:
            terms = list(peer(*batch).values())
            loss = sum(terms)
        loss.backward()
        optimizer.step()
        return [loss.item(), *(term.item() for term in terms)]

    return step
