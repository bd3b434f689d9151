"""The training and the evaluation of a dense model in PyTorch, on npswin's batches and by its recipe."""

import json
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from benchmarks.peers.carried_weights import carry_weights
from npswin.data import batch_rng, epoch_batches, steps_per_epoch
from npswin.models.detection import DetectorOutput
from npswin.training import SegmentationTask, TrainConfig, decays
from npswin.training.ema import Ema
from npswin.training.normalization import Normalization
from npswin.training.schedules import Schedule
from npswin.types import Array

TIMED_STEPS = 8  # of each attention implementation, the first two of which are not timed


class DenseRun:
    """A model in PyTorch and its training, step by step as `npswin.Trainer` does it.

    Args:
        model: the npswin model, whose weights it begins with.
        task: what is learned; it loads, augments and pads the batches.
        data: to train on.
        config: the recipe.
        normalization: mean and deviation of each channel.
        attention: transformers' name of an implementation.

    Attributes:
        peer: the model in PyTorch.
        total_steps: of the recipe.
    """

    def __init__(
        self, model: Any, task: Any, data: Any, config: TrainConfig, normalization: Normalization, attention: str
    ) -> None:
        if config.micro_batches > 1 or config.optimizer != "adamw":
            raise ValueError("recipe: has micro-batches or another optimizer than AdamW, which PyTorch's loop has not")
        self.model, self.task, self.data, self.config = model, task, data, config
        self.normalization = normalization
        torch.manual_seed(config.seed)
        if isinstance(task, SegmentationTask):
            from benchmarks.peers.upernet import build_upernet as build
        else:
            from benchmarks.peers.mask_rcnn import TorchvisionMaskRCNN as build
        self.peer = build(model.config, attention)
        official_of = carry_weights(model, self.peer)
        self._parameters = [(official_of[n], p) for n, p in self.peer.named_parameters() if n in official_of]
        groups: dict[bool, list[Any]] = {True: [], False: []}
        for name, parameter in self._parameters:
            groups[decays(name, model.params[name])].append(parameter)
        self._optimizer = torch.optim.AdamW(
            [{"params": ps, "weight_decay": config.weight_decay if decay else 0.0} for decay, ps in groups.items()],
            lr=config.lr,
            fused=True,
        )
        self._schedule = Schedule(config, steps_per_epoch(len(data), config.batch_size))
        self.total_steps, self.step = self._schedule.total_steps, 0
        self._ema = None if config.ema_decay is None else Ema(model, config.ema_decay)
        self._average = [parameter.detach().clone() for _, parameter in self._parameters if self._ema is not None]

    def train(self) -> Iterator[dict[str, float]]:
        """All steps of the recipe; the losses, the rate and the gradients' norm of each."""
        self.peer.train()
        like = next(iter(self.model.params.values()))
        for epoch in range(self.config.epochs):
            index_batches = list(epoch_batches(len(self.data), self.config.batch_size, self.config.seed, epoch))
            loading = self.task.load(self.data, index_batches, like, self.config.seed, epoch)
            with closing(loading) as batches:
                for place, samples in enumerate(batches):
                    rng = batch_rng(self.config.seed, epoch, place)
                    yield self._train_step(*self.task.prepare(samples, self.model, self.normalization, "full", rng))
        if self._ema is not None:
            with torch.no_grad():
                for (_, parameter), average in zip(self._parameters, self._average, strict=True):
                    parameter.copy_(average)

    def _train_step(self, inputs: Array, targets: Any) -> dict[str, float]:
        rate = self._schedule.rate(self.step)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.zero_grad()
        terms = self._losses(torch.from_numpy(inputs), targets)
        loss = sum(terms.values())
        loss.backward()
        largest = np.inf if self.config.clip_norm is None else self.config.clip_norm
        norm = torch.nn.utils.clip_grad_norm_([parameter for _, parameter in self._parameters], largest)
        self._optimizer.step()
        self.step += 1
        if self._ema is not None:
            weights = [parameter.detach() for _, parameter in self._parameters]
            torch._foreach_lerp_(self._average, weights, 1 - self._ema.decay_at(self.step))
        losses = {"loss": loss, **(terms if len(terms) > 1 else {})}
        numbers = {name: value.item() for name, value in losses.items()}
        return {"step": self.step, **numbers, "lr": rate, "gradient_norm": float(norm)}

    def _losses(self, images: torch.Tensor, targets: Any) -> dict[str, Any]:
        if isinstance(self.task, SegmentationTask):
            return {"loss": self.peer(images, labels=torch.from_numpy(targets)).loss}
        from benchmarks.peers.mask_rcnn import as_targets

        return self.peer(images, targets.sizes, as_targets(targets.samples, targets.sizes, images.dtype))

    def trained(self) -> Any:
        """The model as npswin's evaluations and predictions take it."""
        self.peer.eval()
        return (Segmenter if isinstance(self.task, SegmentationTask) else Detector)(self.model, self.peer)


class _Adapter:
    """A model in PyTorch with the attributes of the npswin model that it has the configuration of."""

    def __init__(self, model: Any, peer: Any) -> None:
        self.peer, self.params, self.dtype = peer, model.params, model.dtype
        self.in_chans, self.num_classes = model.in_chans, model.num_classes


class Segmenter(_Adapter):
    """transformers' UPerNet, to be called as npswin's is."""

    def __call__(self, images: Array) -> Array:
        """Logits (B, H, W, K) of images (B, c, H, W)."""
        from benchmarks.peers.upernet import segment

        return segment(self.peer, torch.from_numpy(images)).numpy().transpose(0, 2, 3, 1)


class Detector(_Adapter):
    """torchvision's Mask R-CNN, to be called as npswin's is."""

    def detect(self, images: Array, sizes: Array) -> list[DetectorOutput]:
        """What is found in images (B, c, H, W)."""
        with torch.inference_mode():
            found = self.peer(torch.from_numpy(images), sizes)
        return [
            DetectorOutput(
                one["boxes"].numpy(),
                one["scores"].numpy(),
                one["labels"].numpy() - 1,
                one["masks"].numpy()[:, 0] if "masks" in one else None,
                (int(height), int(width)),
            )
            for one, (height, width) in zip(found, sizes, strict=True)
        ]


def faster_attention(model: Any, task: Any, data: Any, config: TrainConfig, normalization: Normalization) -> str:
    """transformers' implementation of attention with which the first steps take less time."""
    seconds = {}
    for attention in ("sdpa", "eager"):
        steps, times = DenseRun(model, task, data, config, normalization, attention).train(), []
        for _ in range(TIMED_STEPS):
            started = time.perf_counter()
            if next(steps, None) is None:
                break
            times.append(time.perf_counter() - started)
        steps.close()
        seconds[attention] = np.median(times[2:] or times)
    return min(seconds, key=lambda attention: seconds[attention])


def train_and_log(run: DenseRun, path: Path) -> float:
    """Train to the end; a line of JSON for each step. Returns the seconds that it took."""
    started = time.perf_counter()
    with path.open("w", encoding="utf-8") as lines, tqdm(total=run.total_steps, unit="step") as progress:
        for record in run.train():
            lines.write(json.dumps(record) + "\n")
            progress.set_postfix(loss=f"{record['loss']:.3f}", refresh=False)
            progress.update()
    return time.perf_counter() - started
