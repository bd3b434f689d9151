"""transformers' Swin under PyTorch, eager or compiled, with whichever attention implementation is faster."""

import time
from collections.abc import Callable
from typing import Any

from benchmarks.peers.workloads import LR, PROOF_STEPS, WEIGHT_DECAY, make_batch, make_model

TRIALS = 4  # of each attention implementation


def prepare(job: dict[str, Any]) -> dict[str, Any]:
    """A call that can be timed, warm, with the faster of the two attention implementations; and what it puts out."""
    ready = with_faster_attention(job, _prepare)
    if job["competitor"] == "compiled":
        ready["notes"] |= _compilation()
    return ready


def with_faster_attention(
    job: dict[str, Any], prepare_one: Callable[[dict[str, Any], str], dict[str, Any]]
) -> dict[str, Any]:
    """What a function makes of the job and an attention implementation, with the implementation that is faster."""
    import torch

    torch.set_num_threads(job["threads"])
    made = {attention: prepare_one(job, attention) for attention in job["attentions"]}
    seconds: dict[str, list[float]] = {attention: [] for attention in made}
    for _ in range(TRIALS):  # in turns, so that a disturbance does not choose
        for attention, candidate in made.items():
            candidate["call"]()
            seconds[attention].append(_timed(candidate["call"]))
    tried = {attention: min(values) for attention, values in seconds.items()}
    best = min(tried, key=lambda attention: tried[attention])
    return {**made[best], "notes": {"attention": best, "tried": tried}}


def _compilation() -> dict[str, int]:
    """How many graphs were compiled, and where they broke. With none, the calls would be eager ones by another name."""
    from torch._dynamo.utils import counters

    graphs = counters["stats"]["unique_graphs"]
    if not graphs:
        raise RuntimeError("torch.compile compiled nothing")
    return {"graphs": graphs, "graph_breaks": sum(counters["graph_break"].values())}


def _timed(call: Callable[[], Any]) -> float:
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def _prepare(job: dict[str, Any], attention: str) -> dict[str, Any]:
    import torch

    from benchmarks.training_parity import make_peer

    images, labels = map(torch.from_numpy, make_batch(job))
    peer, _ = make_peer(make_model(job))
    peer.set_attn_implementation(attention)
    compiled = job["competitor"] == "compiled"
    if not job["training"]:
        peer.eval()
        run = torch.compile(peer) if compiled else peer

        def infer() -> Any:
            with torch.inference_mode():
                return run(images).logits

        logits = infer().numpy()
        infer()
        return {"call": infer, "proof": {"logits": logits}}
    with torch.inference_mode():
        logits = peer.train()(images).logits.numpy()
    step = _training(peer, compiled, images, labels)
    losses = [step() for _ in range(PROOF_STEPS)]
    return {"call": step, "proof": {"logits": logits, "losses": losses}}


def make_optimizer(peer: Any) -> Any:
    """AdamW, the fused one, PyTorch's fastest on a CPU, with decay for what decays in npswin."""
    import torch

    groups: list[dict[str, Any]] = [{"params": [], "weight_decay": decay} for decay in (WEIGHT_DECAY, 0.0)]
    for name, parameter in peer.named_parameters():
        decays = parameter.ndim > 1 and not name.endswith("relative_position_bias_table")
        groups[0 if decays else 1]["params"].append(parameter)
    return torch.optim.AdamW(groups, lr=LR, fused=True)


def _training(peer: Any, compiled: bool, images: Any, labels: Any) -> Callable[[], float]:
    """A training step."""
    import torch

    optimizer = make_optimizer(peer)
    run = torch.compile(peer) if compiled else peer

    def step() -> float:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(run(images).logits, labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def imports(job: dict[str, Any]) -> None:
    """All that is imported by name; what torch.compile imports when it first compiles is not among it."""
    import torch  # noqa: F401
    from transformers import SwinConfig, SwinForImageClassification  # noqa: F401


def build(job: dict[str, Any], images: Any, labels: Any) -> Callable[[], float]:
    """A training step on a fresh model."""
    import torch
    from transformers import SwinForImageClassification

    from benchmarks.peers.swin import swin_config

    torch.set_num_threads(job["threads"])
    config = job["config"]
    sizes = {"image_size": config["img_size"], "num_labels": config["num_classes"]}
    peer = SwinForImageClassification(swin_config(config, job["attentions"][0], **sizes)).train()
    compiled = job["competitor"] == "compiled"
    return _training(peer, compiled, torch.from_numpy(images), torch.from_numpy(labels))


def export(job: dict[str, Any]) -> dict[str, Any]:
    """Write the model with its weights as ONNX, for this batch size.

    The exporter of PyTorch 2.13 fails at scaled_dot_product_attention in this model, so attention is the eager one:
    matrix products and softmax, which the runtimes fuse as they see fit.
    """
    import torch

    from benchmarks.training_parity import make_peer

    class Logits(torch.nn.Module):
        def __init__(self, peer: Any) -> None:
            super().__init__()
            self.peer = peer

        def forward(self, images: Any) -> Any:
            return self.peer(images).logits

    peer, _ = make_peer(make_model(job))
    peer.set_attn_implementation("eager")
    images = torch.from_numpy(make_batch(job)[0])
    torch.onnx.export(
        Logits(peer).eval(),
        (images,),
        job["onnx"],
        dynamo=True,
        external_data=False,
        input_names=["images"],
        output_names=["logits"],
    )
    return {}
