"""The compiled dialect's threads: the same bits again, from one Python thread or several."""

import multiprocessing
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import npswin
from npswin.backends import cpu
from npswin.backends.cpu.threads import run_parallel, thread_count
from tests.backends.comparison import PAIRS, SPOKEN, arguments, bits, called, expected, machine, relative_errors
from tests.backends.drawn_words import WORDS, drawn
from tests.backends.test_cpu_words import LIMIT


@pytest.fixture(autouse=True)
def _compiled_dialect():
    before = npswin.get_backend()
    npswin.set_backend("cpu")
    yield
    npswin.set_backend(before)


@pytest.mark.parametrize("word", SPOKEN)
@settings(max_examples=20)
@given(st.data(), st.integers(1, 3), st.sampled_from([None, 1]))
def test_the_same_thread_count_gives_the_same_bits(word, data, threads, chunk_bytes):
    case = WORDS[word](data.draw, True)

    def run():
        args, kwargs = arguments(case.args, np.float32), arguments(case.kwargs, np.float32)
        return bits(called(cpu, word, args, kwargs, lambda y: np.ones(np.shape(y), np.float32)))

    with machine(threads, chunk_bytes):
        assert run() == run()


@pytest.mark.parametrize("word", PAIRS)
@settings(max_examples=10)
@given(st.data(), st.permutations([1, 2, 3]))
def test_the_thread_count_may_change_before_the_backward_pass(word, data, threads):
    cases = drawn(word, data.draw, large=True)
    wanted = expected(word, cases, np.float32)
    args, kwargs = arguments(cases[0].args, np.float32), arguments(cases[0].kwargs, np.float32)
    with machine(threads[0]):
        y, cache = getattr(cpu, f"{word}_forward")(*args, **kwargs)
    with machine(threads[1]):
        gradients = getattr(cpu, f"{word}_backward")(arguments(wanted.dy, np.float32), cache)
    results = [y, *gradients] if isinstance(gradients, tuple) else [y, gradients]
    assert max(relative_errors(results, wanted, np.float32)) < LIMIT


def three_steps(seed, start=None):
    """Three steps of training and one of inference, as bits of logits and parameters."""
    model = npswin.SwinTransformer(
        img_size=30,
        patch_size=2,
        embed_dim=12,
        depths=(2, 2),
        num_heads=(2, 3),
        window_size=4,
        num_classes=7,
        drop_path_rate=0.2,
        seed=seed,
    )
    rng = np.random.default_rng(seed)
    optimizer = npswin.AdamW(model, lr=1e-2)
    images, labels = rng.standard_normal((4, 3, 30, 30)).astype(np.float32), rng.integers(7, size=4)
    if start is not None:
        start.wait()
    outputs = []
    for _ in range(3):
        logits, cache = model.forward(images, rng=rng)
        _, dlogits = npswin.cross_entropy(logits, labels)
        model.zero_grad()
        outputs += [logits, model.backward(dlogits, cache)]
        optimizer.step()
    return bits([*outputs, model(images), *model.params.values()])


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_models_that_train_at_the_same_time_do_not_disturb_each_other(threads):
    seeds = range(3)
    with machine(threads):
        one_by_one = [three_steps(seed) for seed in seeds]
        start = threading.Barrier(len(seeds))
        with ThreadPoolExecutor(len(seeds)) as pool:
            together = list(pool.map(lambda seed: three_steps(seed, start), seeds))
    assert together == one_by_one


@given(st.integers(1, 40), st.integers(1, 5))
def test_each_piece_of_work_is_done_once_and_in_as_many_parts_as_threads(count, threads):
    done = np.zeros(count, int)
    parts = []

    def kernel(first, stop, part, scratch, done, parts):
        assert len(scratch) >= 3
        done[first:stop] += 1
        parts.append((part, first, stop))

    with machine(threads):
        run_parallel(kernel, count, 3, np.dtype(np.float32), done, parts)
    assert (done == 1).all()
    assert len(parts) == min(count, threads)
    bounds = [0, *(stop for _, _, stop in sorted(parts))]
    assert [first for _, first, _ in sorted(parts)] == bounds[:-1]
    assert bounds[-1] == count
    assert max(np.diff(bounds)) - min(np.diff(bounds)) <= 1


@pytest.mark.parametrize("guilty", [0, 1, 2])
def test_an_error_in_any_part_reaches_the_caller_and_the_threads_go_on(guilty):
    def kernel(first, stop, part, scratch, done):
        if part == guilty:
            raise ArithmeticError(f"part {part}")
        done[part] = True

    done = np.zeros(3, bool)
    with machine(3):
        with pytest.raises(ArithmeticError, match=f"part {guilty}"):
            run_parallel(kernel, 3, 0, np.dtype(np.float32), done)
        assert done.sum() == 2
        run_parallel(lambda first, stop, part, scratch, done: done.__setitem__(part, True), 3, 0, np.float32, done)
    assert done.all()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a platform without fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_has_threads_of_its_own():
    with machine(3):
        before = three_steps(0)  # has started the threads
        context = multiprocessing.get_context("fork")
        answers = context.SimpleQueue()
        child = context.Process(target=lambda: answers.put(three_steps(0) == before))
        child.start()
        child.join(60)
        assert child.exitcode == 0
        assert answers.get()


def test_the_thread_count_is_what_was_set():
    before = thread_count()
    with machine(2):
        assert thread_count() == 2
    assert thread_count() == before
