"""Results do not depend on what was compiled when: in this process or an earlier one, before or after what else."""

import random
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.backends.cpu.test_compilation import run

STEP = """
import hashlib
import numpy as np
import npswin

def bits(embed_dim, depths, window_size, dtype):
    model = npswin.SwinTransformer(
        img_size=16, patch_size=2, num_classes=3, embed_dim=embed_dim, depths=depths, num_heads=[2] * len(depths),
        window_size=window_size, drop_path_rate=0.2, dtype=dtype, seed=0,
    )
    optimizer, rng = npswin.AdamW(model, lr=1e-3, weight_decay=0.05), np.random.default_rng(0)
    images, labels = rng.standard_normal((3, 3, 16, 16)).astype(dtype), np.array([0, 2, 1])
    digest = hashlib.sha256()
    for _ in range(2):
        model.zero_grad()
        logits, cache = model.forward(images, rng)
        loss, dlogits = npswin.cross_entropy(logits, labels)
        model.backward(dlogits, cache)
        for name in sorted(model.grads):
            digest.update(model.grads[name].tobytes())
        optimizer.step()
    digest.update(model(images).tobytes())
    return digest.hexdigest()

{before}
print(bits(8, [1, 2], 4, "float32"), bits(8, [1, 2], 4, "float64"))
"""
NORM = """
import hashlib
import numpy as np
from npswin.backends import cpu

rng = np.random.default_rng(0)
digest = hashlib.sha256()
for channels in (5, 24, 96, 100):
    x, dy = rng.standard_normal((2, 7, 70, channels)).astype(np.float32)
    y, cache = cpu.layer_norm_forward(x, x[0, 0], dy[0, 0])
    for array in (y, *cpu.layer_norm_backward(dy, cache)):
        digest.update(array.tobytes())
print(digest.hexdigest())
"""


def remove_some(folder, seed):
    """Remove a part of the compiled code."""
    files = sorted(folder.rglob("*.code"))
    assert files
    for file in random.Random(seed).sample(files, -(-len(files) // 3)):
        file.unlink()


def test_layer_norm_gives_the_same_bits_compiled_or_loaded(tmp_path):
    compiled = run(NORM, tmp_path)
    assert run(NORM, tmp_path) == compiled
    remove_some(tmp_path, 0)
    assert run(NORM, tmp_path) == compiled


@pytest.mark.thorough
def test_a_training_step_gives_the_same_bits_whatever_was_compiled_before(tmp_path):
    step = STEP.replace("{before}", "")
    compiled = run(step, tmp_path / "first")
    assert run(step, tmp_path / "first") == compiled
    for seed in range(4):
        remove_some(tmp_path / "first", seed)
        assert run(step, tmp_path / "first") == compiled
    for number, before in enumerate(
        ('bits(6, [2], 2, "float64")', 'bits(12, [1, 1, 1], 3, "float32")', "npswin.warmup()")
    ):
        folder = tmp_path / f"before_{number}"
        assert run(STEP.replace("{before}", before), folder) == compiled
        assert run(step, folder) == compiled


@pytest.mark.thorough
def test_processes_that_compile_at_once_give_the_same_bits(tmp_path):
    step = STEP.replace("{before}", "")
    with ThreadPoolExecutor(3) as pool:
        answers = set(pool.map(lambda _: run(step, tmp_path / "shared"), range(3)))
    assert answers == {run(step, tmp_path / "shared")}
    assert answers == {run(step, tmp_path / "alone")}
