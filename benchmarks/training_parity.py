"""The same training in npswin and in PyTorch: same initial weights, batches, recipe; how far apart do they end up?

    python benchmarks/training_parity.py curves --data-dir DIR     50 steps in float64: the losses, step by step
    python benchmarks/training_parity.py accuracy --data-dir DIR   3 epochs in float32: the test accuracies

Needs pip install 'npswin[train,peers]'. The peer is transformers' Swin with torch.optim.AdamW. What would be drawn at
random inside the model (drop path) is off; batches and augmentation come from npswin for both.
"""

import argparse
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm
from transformers import SwinForImageClassification

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import npswin
from benchmarks.peers.carried_weights import carry_weights
from benchmarks.peers.swin import swin_config
from npswin.data import (
    CIFAR10_MEAN,
    CIFAR10_STD,
    batch_rng,
    epoch_batches,
    load_cifar10,
    normalize,
    random_crop,
    random_flip,
)
from npswin.training import clip_gradients, decays, warmup_cosine

LR, WEIGHT_DECAY, CLIP_NORM, SMOOTHING, SEED = 1e-3, 0.05, 1.0, 0.1, 0


def make_peer(
    model: npswin.SwinTransformer, attention: str = "sdpa", drop_path_rate: float = 0.0
) -> tuple[torch.nn.Module, dict[str, str]]:
    """transformers' Swin with this model's weights, and the official name of each of its parameters.

    Args:
        model: whose weights and sizes it gets.
        attention: transformers' name of an implementation.
        drop_path_rate: as in the model's constructor.
    """
    config = model.config
    arguments = {**config, "drop_path_rate": drop_path_rate}
    sizes = {"image_size": config["img_size"], "num_labels": config["num_classes"]}
    peer = SwinForImageClassification(swin_config(arguments, attention, **sizes)).to(getattr(torch, config["dtype"]))
    return peer, carry_weights(model, peer)


def batches(
    data: npswin.data.ImageDataset, batch_size: int, dtype: str, steps: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Augmented training batches, `steps` of them."""
    step = epoch = 0
    while True:
        for place, chosen in enumerate(epoch_batches(len(data), batch_size, SEED, epoch)):
            if step == steps:
                return
            rng = batch_rng(SEED, epoch, place)
            images = random_flip(random_crop(data.images[chosen], rng), rng)
            yield normalize(images, CIFAR10_MEAN, CIFAR10_STD, dtype), data.labels[chosen]
            step += 1
        epoch += 1


def train(arguments: argparse.Namespace, dtype: str, steps: int, test: npswin.data.ImageDataset | None) -> None:
    """Both models side by side, one batch after the other; prints what they did."""
    data = load_cifar10(arguments.data_dir, train=True)
    model = npswin.create_model(arguments.preset, dtype=dtype, drop_path_rate=0.0, seed=SEED)
    peer, official_of = make_peer(model)
    optimizer = npswin.AdamW(model, lr=LR, weight_decay=WEIGHT_DECAY)
    decaying = {name for name, param in model.params.items() if decays(name, param)}
    with_decay = [p for n, p in peer.named_parameters() if official_of[n] in decaying]
    without = [p for n, p in peer.named_parameters() if official_of[n] not in decaying]
    groups = [{"params": with_decay, "weight_decay": WEIGHT_DECAY}, {"params": without, "weight_decay": 0.0}]
    peer_optimizer = torch.optim.AdamW(groups, lr=LR)
    cross_entropy = torch.nn.CrossEntropyLoss(label_smoothing=SMOOTHING)

    losses, seconds = [], [0.0, 0.0]
    progress = tqdm(batches(data, arguments.batch_size, dtype, steps), total=steps, unit="step")
    for step, (images, labels) in enumerate(progress):
        lr = warmup_cosine(step, steps, LR, steps // 10)
        started = time.perf_counter()
        logits, cache = model.forward(images)
        loss, dlogits = npswin.cross_entropy(logits, labels, SMOOTHING)
        model.zero_grad()
        model.backward(dlogits, cache)
        clip_gradients(model, CLIP_NORM)
        optimizer.lr = lr
        optimizer.step()
        between = time.perf_counter()
        peer_optimizer.zero_grad()
        peer_loss = cross_entropy(peer(torch.from_numpy(images)).logits, torch.from_numpy(labels))
        peer_loss.backward()
        torch.nn.utils.clip_grad_norm_(peer.parameters(), CLIP_NORM)
        for group in peer_optimizer.param_groups:
            group["lr"] = lr
        peer_optimizer.step()
        seconds[0] += between - started
        seconds[1] += time.perf_counter() - between
        losses.append((loss, peer_loss.item()))
        progress.set_postfix(npswin=f"{loss:.4f}", pytorch=f"{peer_loss.item():.4f}")

    difference = np.abs(np.diff(losses, axis=1)).ravel()
    shown = range(0, steps, max(1, steps // 10))
    print(f"{arguments.preset}, {dtype}, batch {arguments.batch_size}, {steps} steps on CIFAR-10")
    print("| step | npswin | PyTorch | difference |\n| --- | --- | --- | --- |")
    for step in sorted({*shown, steps - 1}):
        print(f"| {step} | {losses[step][0]:.10f} | {losses[step][1]:.10f} | {difference[step]:.1e} |")
    print(f"largest difference of the losses: {difference.max():.2e}")
    print(f"seconds: npswin {seconds[0]:.0f}, PyTorch {seconds[1]:.0f}")
    if test is not None:
        correct = np.zeros(2)
        peer.eval()
        for start in range(0, len(test), 250):
            images = normalize(test.images[start : start + 250], CIFAR10_MEAN, CIFAR10_STD, dtype)
            labels = test.labels[start : start + 250]
            with torch.no_grad():
                peer_logits = peer(torch.from_numpy(images)).logits.numpy()
            correct += [(model(images).argmax(1) == labels).sum(), (peer_logits.argmax(1) == labels).sum()]
        print("test accuracy: npswin {:.2f} %, PyTorch {:.2f} %".format(*(100 * correct / len(test))))


def main() -> None:
    """Read the command line and run one of the two comparisons."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("comparison", choices=["curves", "accuracy"])
    parser.add_argument(
        "--data-dir", help="folder with CIFAR-10's binary files (default: npswin's cache, or a download)"
    )
    parser.add_argument("--preset", default="swin_mini_patch2_window4_32", help="configuration (default: %(default)s)")
    parser.add_argument("--batch-size", type=int, default=64, help="images a step (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=3, help="of `accuracy` (default: %(default)s)")
    parser.add_argument("--steps", type=int, default=50, help="of `curves` (default: %(default)s)")
    arguments = parser.parse_args()
    if arguments.comparison == "curves":
        train(arguments, "float64", arguments.steps, None)
    else:
        steps = arguments.epochs * (50_000 // arguments.batch_size)
        train(arguments, "float32", steps, load_cifar10(arguments.data_dir, train=False))


if __name__ == "__main__":
    main()
