"""The example's training in PyTorch, for as long as one wants to wait: how far does it come in that time?

    python examples/train_cifar.py --epochs 20                   npswin: it takes about 20 minutes on two cores
    python benchmarks/cifar_pytorch.py --minutes 20              PyTorch: as many epochs as 20 minutes allow

Needs pip install 'npswin[train,peers]'. The same model (transformers' Swin) from the same weights, the same recipe,
batches and augmentation, an evaluation after each epoch of the averaged weights. The first steps are timed, with each
of PyTorch's implementations of attention; the faster one is taken, and a schedule of as many epochs as fit. Then it
starts anew.
"""

import argparse
import copy
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import npswin
from benchmarks.training_parity import make_peer
from examples.train_cifar import DEFAULTS, RECIPES
from npswin.data import batch_rng, channel_statistics, epoch_batches, load_cifar10, normalize
from npswin.training import TrainConfig, decays, warmup_cosine
from npswin.training.tasks.classification_inputs import augment

TIMED_STEPS = 60
EVALUATION_BATCH = 100


class Run:
    """A model in PyTorch and its training by the example's recipe.

    Args:
        preset: one of `npswin.CONFIGS`.
        attention: transformers' name of an implementation.
        config: the recipe.
        data_dir: folder of CIFAR-10's files, or None.
    """

    def __init__(self, preset: str, attention: str, config: TrainConfig, data_dir: Path | None) -> None:
        self.config = config
        self.data, self.test = (load_cifar10(data_dir, train=train) for train in (True, False))
        self.mean, self.std = channel_statistics(self.data.images)
        model = npswin.create_model(preset, num_classes=len(self.data.class_names), seed=config.seed)
        self.peer, official_of = make_peer(model, attention, model.config["drop_path_rate"])
        self.peer.train()
        self.average = copy.deepcopy(self.peer).eval()
        groups: dict[bool, list[Any]] = {True: [], False: []}
        for name, parameter in self.peer.named_parameters():
            groups[decays(official_of[name], model.params[official_of[name]])].append(parameter)
        self.optimizer = torch.optim.AdamW(
            [
                {"params": parameters, "weight_decay": config.weight_decay if decay else 0.0}
                for decay, parameters in groups.items()
            ],
            lr=config.lr,
        )
        self.steps = 0
        self.warmup_steps = round(config.warmup_epochs * len(self.batches(0)))

    def batches(self, epoch: int) -> list[np.ndarray]:
        """The images of each step of an epoch."""
        return list(epoch_batches(len(self.data), self.config.batch_size, self.config.seed, epoch))

    def step(self, indices: np.ndarray, epoch: int, within: int, total_steps: int) -> float:
        """One step; returns the loss."""
        config, rng = self.config, batch_rng(self.config.seed, epoch, within)
        images, labels = augment(
            *(self.data.images[indices], self.data.labels[indices], len(self.data.class_names)),
            *(config, self.mean, self.std, "float32", rng),
        )
        warmup_steps = min(self.warmup_steps, total_steps - 1)
        for group in self.optimizer.param_groups:
            group["lr"] = warmup_cosine(self.steps, total_steps, config.lr, warmup_steps)
        self.optimizer.zero_grad()
        logits = self.peer(torch.from_numpy(images)).logits
        loss = torch.nn.functional.cross_entropy(
            logits, torch.from_numpy(labels), label_smoothing=config.label_smoothing
        )
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.peer.parameters(), config.clip_norm)
        self.optimizer.step()
        self.steps += 1
        decay = min(config.ema_decay, (1 + self.steps) / (10 + self.steps))
        with torch.no_grad():
            torch._foreach_lerp_(list(self.average.parameters()), list(self.peer.parameters()), 1 - decay)
        return loss.item()

    def accuracy(self) -> float:
        """Of the averaged weights, on the test images."""
        correct = 0
        with torch.no_grad():
            for start in range(0, len(self.test), EVALUATION_BATCH):
                chosen = slice(start, start + EVALUATION_BATCH)
                images = normalize(self.test.images[chosen], self.mean, self.std, "float32")
                logits = self.average(torch.from_numpy(images)).logits.numpy()
                correct += int((logits.argmax(axis=1) == self.test.labels[chosen]).sum())
        return correct / len(self.test)


def seconds_per_epoch(run: Run) -> float:
    """By the first steps, and one evaluation."""
    batches = run.batches(0)
    for within in range(TIMED_STEPS):
        if within == TIMED_STEPS // 4:
            started = time.perf_counter()
        run.step(batches[within], 0, within, TIMED_STEPS)
    timed = TIMED_STEPS - TIMED_STEPS // 4
    training = (time.perf_counter() - started) / timed * len(batches)
    started = time.perf_counter()
    run.accuracy()
    return training + time.perf_counter() - started


def main() -> None:
    """Time, choose, train, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, help="folder with CIFAR-10's binary files")
    parser.add_argument("--preset", default="swin_mini_patch2_window4_32", help="the model (default: %(default)s)")
    parser.add_argument("--minutes", type=float, default=20, help="of training (default: %(default)s)")
    arguments = parser.parse_args()
    recipe = {**DEFAULTS, **RECIPES["CIFAR-10"]}
    seconds = {}
    for attention in ("eager", "sdpa"):
        run = Run(arguments.preset, attention, TrainConfig(**recipe), arguments.data_dir)
        seconds[attention] = seconds_per_epoch(run)
        print(f"{attention} attention: {seconds[attention]:.0f} s an epoch", flush=True)
    attention = min(seconds, key=seconds.__getitem__)
    epochs = max(1, int(60 * arguments.minutes / seconds[attention]))
    print(f"{arguments.preset} in PyTorch, {attention} attention, {epochs} epochs", flush=True)

    run = Run(arguments.preset, attention, TrainConfig(**{**recipe, "epochs": epochs}), arguments.data_dir)
    started, trained = time.perf_counter(), 0.0
    for epoch in range(epochs):
        batches = run.batches(epoch)
        epoch_started = time.perf_counter()
        for within, indices in enumerate(tqdm(batches, desc=f"epoch {epoch + 1}/{epochs}", leave=False)):
            loss = run.step(indices, epoch, within, epochs * len(batches))
        trained += time.perf_counter() - epoch_started
        print(f"epoch {epoch + 1}/{epochs}: last loss {loss:.3f}, test accuracy {run.accuracy():.2%}", flush=True)
    images = epochs * len(batches) * run.config.batch_size
    print(f"{time.perf_counter() - started:.0f} s in all; {images / trained:.0f} images/s while training")


if __name__ == "__main__":
    main()
