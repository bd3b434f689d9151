"""The backend's threads: results are bitwise reproducible, called from one Python thread or several."""

import multiprocessing
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import npswin
from npswin.backends import cpu
from npswin.backends.cpu.machine import threads as threads_module
from npswin.backends.cpu.machine.compilation import kernel
from npswin.backends.cpu.machine.flat_array import fill
from npswin.backends.cpu.machine.job_board import BUSY, _add, _pause, _read
from npswin.backends.cpu.machine.memory import pooled_empty
from npswin.backends.cpu.machine.threads import PARTS_PER_THREAD, run_parallel, thread_count
from tests.backends.comparison import arguments, as_bytes, call_op, expected, relative_errors
from tests.backends.cpu.settings import IMPLEMENTED, LIMIT, PAIRS, cpu_settings
from tests.backends.op_cases import OPS, draw_cases
from tests.thorough import examples


@pytest.fixture(autouse=True)
def _cpu_backend():
    before = npswin.get_backend()
    npswin.set_backend("cpu")
    yield
    npswin.set_backend(before)


@pytest.mark.parametrize("op", IMPLEMENTED)
@settings(max_examples=examples(20))
@given(st.data(), st.integers(1, 3), st.sampled_from([None, 1]))
def test_results_are_bitwise_identical_with_the_same_thread_count(op, data, threads, chunk_bytes):
    case = OPS[op](data.draw, True)

    def run():
        args, kwargs = arguments(case.args, np.float32), arguments(case.kwargs, np.float32)
        return as_bytes(call_op(cpu, op, args, kwargs, lambda y: np.ones(np.shape(y), np.float32)))

    with cpu_settings(threads, chunk_bytes):
        assert run() == run()


@pytest.mark.parametrize("op", PAIRS)
@settings(max_examples=examples(10))
@given(st.data(), st.permutations([1, 2, 3]))
def test_the_thread_count_may_change_before_the_backward_pass(op, data, threads):
    cases = draw_cases(op, data.draw, large=True)
    wanted = expected(op, cases, np.float32)
    args, kwargs = arguments(cases[0].args, np.float32), arguments(cases[0].kwargs, np.float32)
    with cpu_settings(threads[0]):
        y, cache = getattr(cpu, f"{op}_forward")(*args, **kwargs)
    with cpu_settings(threads[1]):
        gradients = getattr(cpu, f"{op}_backward")(arguments(wanted.dy, np.float32), cache)
    results = [y, *gradients] if isinstance(gradients, tuple) else [y, gradients]
    assert max(relative_errors(results, wanted, np.float32)) < LIMIT


def three_steps(seed, start=None):
    """Three training steps and one inference; returns logits, gradients and parameters as bytes."""
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
    return as_bytes([*outputs, model(images), *model.params.values()])


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_models_in_concurrent_threads_train_as_they_do_alone(threads):
    seeds = range(3)
    with cpu_settings(threads):
        one_by_one = [three_steps(seed) for seed in seeds]
        start = threading.Barrier(len(seeds))
        with ThreadPoolExecutor(len(seeds)) as pool:
            concurrent = list(pool.map(lambda seed: three_steps(seed, start), seeds))
    assert concurrent == one_by_one


@kernel
def note_part(first, stop, part, scratch, done, bounds, scratch_sizes):
    """Counts each piece, and stores the part's bounds and how much of the scratch array is its own."""
    fill(scratch, part)
    for piece in range(first, stop):
        done[piece] += 1
    bounds[2 * part], bounds[2 * part + 1] = first, stop
    for i in range(scratch.size):
        scratch_sizes[part] += scratch[i] == part


@given(st.integers(1, 40), st.integers(1, 5), st.sampled_from([np.float32, np.float64]))
def test_each_piece_of_work_is_done_once_in_a_few_parts_per_thread(count, threads, dtype):
    parts = min(count, threads * PARTS_PER_THREAD if threads > 1 else 1)
    done, bounds, scratch_sizes = np.zeros(count, int), np.zeros(2 * parts, int), np.zeros(parts, int)
    with cpu_settings(threads):
        run_parallel(note_part, count, 3, np.dtype(dtype), done, bounds, scratch_sizes)
    assert (done == 1).all()
    assert (scratch_sizes >= 3).all()
    starts, stops = bounds[::2], bounds[1::2]
    assert starts.tolist() == [0, *stops[:-1]]
    assert stops[-1] == count
    assert max(stops - starts) - min(stops - starts) <= 1


@kernel
def wait_for_each_other(first, stop, part, scratch, arrived, met):
    _add(arrived, 0, 1)
    for _ in range(500_000_000):  # some ten seconds; only a failing test waits that long
        met[part] = _read(arrived, 0)
        if met[part] == met.size:
            break
        _pause()


@pytest.mark.parametrize("threads", [2, 3])
def test_parts_run_concurrently(threads):
    with cpu_settings(threads):
        # The first call compiles, and the other threads do not poll the board for that long.
        run_parallel(wait_for_each_other, 1, 1, np.dtype(np.float32), np.zeros(1, int), np.zeros(1, int))
        for pause in (0, 0.001):
            Event().wait(pause)  # the second time they have fallen asleep
            arrived, met = np.zeros(1, int), np.zeros(threads, int)
            run_parallel(wait_for_each_other, threads, 1, np.dtype(np.float32), arrived, met)
            assert (met == threads).all()


def run_a_job():
    """Run a job that has parts for all threads."""
    count = thread_count() * PARTS_PER_THREAD
    done, bounds, scratch_sizes = np.zeros(count, int), np.zeros(2 * count, int), np.zeros(count, int)
    run_parallel(note_part, count, 1, np.dtype(np.float32), done, bounds, scratch_sizes)
    assert (done == 1).all()


def test_an_interrupt_after_a_thread_has_started_does_not_start_it_twice():
    """If the interrupt comes before the thread is counted, the next job starts one with the same index."""
    with cpu_settings(2):
        run_a_job()
        team = threads_module._team
        team.started -= 1
        run_a_job()
        assert team.started == 2
        for _ in range(100):
            if len(pool_threads()) == 1:
                break
            Event().wait(0.05)
        assert len(pool_threads()) == 1


def test_a_job_is_done_while_another_thread_uses_the_board():
    with cpu_settings(2):
        run_a_job()
        team = threads_module._team
        team.board[BUSY] = 1
        run_a_job()
        assert team.board[BUSY] == 1
        team.board[BUSY] = 0


def pool_threads():
    return [thread for thread in threading.enumerate() if thread.name == "npswin"]


def test_threads_beyond_the_thread_count_end():
    counts = [2, 5, 3, 2]
    for count in counts:
        with cpu_settings(count):
            for _ in range(3):
                run_a_job()

    for _ in range(100):
        if len(pool_threads()) < thread_count():
            break
        Event().wait(0.05)  # they end when they are next scheduled
    assert len(pool_threads()) < thread_count()


@pytest.mark.parametrize("count", [0, -1, 1.5, True, None])
def test_a_bad_thread_count_is_refused(count):
    with pytest.raises(ValueError, match="count: got"):
        npswin.backends.set_thread_count(count)


@kernel
def fail_in_one_part(first, stop, part, scratch, failing, done):
    if part == failing:
        raise ArithmeticError
    done[part] = True


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_an_error_in_any_part_reaches_the_caller_and_the_threads_go_on(failing):
    done = np.zeros(3, bool)
    with cpu_settings(3):
        with pytest.raises(RuntimeError, match="fail_in_one_part"):
            run_parallel(fail_in_one_part, 3, 0, np.dtype(np.float32), failing, done)
        assert done.sum() == 2
        run_parallel(fail_in_one_part, 3, 0, np.dtype(np.float32), -1, done)
    assert done.all()


@kernel
def add_up(first, stop, part, scratch, numbers, sums):
    for piece in range(first, stop):
        sums[part] += numbers[piece]


@given(st.permutations([np.float32(1.5), np.float64(2.5), 3]))
def test_a_kernel_is_compiled_for_each_type_of_its_arguments(kinds):
    for number in kinds:
        numbers, sums = np.full(10, number), np.zeros(1)
        with cpu_settings(1):
            run_parallel(add_up, 10, 0, np.dtype(np.float32), numbers, sums)
        assert sums[0] == 10 * number


@pytest.mark.parametrize("threads", [2, 3])
def test_no_part_is_lost_when_threads_sleep_and_wake(threads):
    rng = np.random.default_rng(0)
    with cpu_settings(threads):
        for pause in rng.choice([0, 0.0001, 0.0002, 0.001], 300):
            Event().wait(pause)  # about as long as the threads poll for the next job
            done, bounds, scratch_sizes = np.zeros(threads, int), np.zeros(2 * threads, int), np.zeros(threads, int)
            run_parallel(note_part, threads, 1, np.dtype(np.float32), done, bounds, scratch_sizes)
            assert (done == 1).all()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a platform without fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_has_threads_and_memory_of_its_own():
    with cpu_settings(3):
        before = three_steps(0)  # starts the threads
        shared = pooled_empty(100_000, np.float32)
        shared[:] = 1
        context = multiprocessing.get_context("fork")
        answers = context.SimpleQueue()

        def compute():
            shared[:] = 2
            answers.put(three_steps(0) == before)

        child = context.Process(target=compute)
        child.start()
        assert three_steps(0) == before  # while the child computes
        child.join(60)
        assert child.exitcode == 0
        assert answers.get()
        assert (shared == 1).all()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a platform without fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_process_that_is_forked_while_the_thread_count_is_set_can_set_its_own():
    child = multiprocessing.get_context("fork").Process(target=npswin.backends.set_thread_count, args=(2,))
    with threads_module._setting:
        child.start()
    child.join(60)
    assert child.exitcode == 0


def test_the_thread_count_is_what_was_set():
    before = thread_count()
    with cpu_settings(2):
        assert thread_count() == 2
    assert thread_count() == before
