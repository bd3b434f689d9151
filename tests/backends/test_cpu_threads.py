"""The backend's threads: the same bits again, from one Python thread or several."""

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
from npswin.backends.cpu.machine.compilation import inner
from npswin.backends.cpu.machine.job_board import BUSY, _add, _pause, _read
from npswin.backends.cpu.machine.memory import empty
from npswin.backends.cpu.machine.threads import PARTS_EACH, run_parallel, thread_count
from tests.backends.comparison import IMPLEMENTED, PAIRS, arguments, bits, called, expected, machine, relative_errors
from tests.backends.op_cases import OPS, drawn
from tests.backends.test_cpu_ops import LIMIT


@pytest.fixture(autouse=True)
def _compiled_dialect():
    before = npswin.get_backend()
    npswin.set_backend("cpu")
    yield
    npswin.set_backend(before)


@pytest.mark.parametrize("op", IMPLEMENTED)
@settings(max_examples=20)
@given(st.data(), st.integers(1, 3), st.sampled_from([None, 1]))
def test_the_same_thread_count_gives_the_same_bits(op, data, threads, chunk_bytes):
    case = OPS[op](data.draw, True)

    def run():
        args, kwargs = arguments(case.args, np.float32), arguments(case.kwargs, np.float32)
        return bits(called(cpu, op, args, kwargs, lambda y: np.ones(np.shape(y), np.float32)))

    with machine(threads, chunk_bytes):
        assert run() == run()


@pytest.mark.parametrize("op", PAIRS)
@settings(max_examples=10)
@given(st.data(), st.permutations([1, 2, 3]))
def test_the_thread_count_may_change_before_the_backward_pass(op, data, threads):
    cases = drawn(op, data.draw, large=True)
    wanted = expected(op, cases, np.float32)
    args, kwargs = arguments(cases[0].args, np.float32), arguments(cases[0].kwargs, np.float32)
    with machine(threads[0]):
        y, cache = getattr(cpu, f"{op}_forward")(*args, **kwargs)
    with machine(threads[1]):
        gradients = getattr(cpu, f"{op}_backward")(arguments(wanted.dy, np.float32), cache)
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


@inner
def note_part(first, stop, part, scratch, done, bounds, room):
    """Counts each piece, and keeps the part's bounds and how much working memory it has to itself."""
    scratch[:] = part
    for piece in range(first, stop):
        done[piece] += 1
    bounds[2 * part], bounds[2 * part + 1] = first, stop
    room[part] = (scratch == part).sum()


@given(st.integers(1, 40), st.integers(1, 5), st.sampled_from([np.float32, np.float64]))
def test_each_piece_of_work_is_done_once_and_in_a_few_parts_for_each_thread(count, threads, dtype):
    parts = min(count, threads * PARTS_EACH if threads > 1 else 1)
    done, bounds, room = np.zeros(count, int), np.zeros(2 * parts, int), np.zeros(parts, int)
    with machine(threads):
        run_parallel(note_part, count, 3, np.dtype(dtype), done, bounds, room)
    assert (done == 1).all()
    assert (room >= 3).all()
    starts, stops = bounds[::2], bounds[1::2]
    assert starts.tolist() == [0, *stops[:-1]]
    assert stops[-1] == count
    assert max(stops - starts) - min(stops - starts) <= 1


@inner
def wait_for_each_other(first, stop, part, scratch, arrived, met):
    _add(arrived, 0, 1)
    for _ in range(500_000_000):  # some ten seconds, which only a test that fails waits for
        met[part] = _read(arrived, 0)
        if met[part] == met.size:
            break
        _pause()


@pytest.mark.parametrize("threads", [2, 3])
def test_parts_are_computed_at_the_same_time(threads):
    with machine(threads):
        # The first call of its types compiles, and the others do not watch the board for that long.
        run_parallel(wait_for_each_other, 1, 1, np.dtype(np.float32), np.zeros(1, int), np.zeros(1, int))
        for pause in (0, 0.001):
            Event().wait(pause)  # the second time they have fallen asleep
            arrived, met = np.zeros(1, int), np.zeros(threads, int)
            run_parallel(wait_for_each_other, threads, 1, np.dtype(np.float32), arrived, met)
            assert (met == threads).all()


def test_an_interrupt_after_a_thread_has_started_does_not_make_two_of_it():
    """As when it comes before the thread is counted: the next job starts one of the same number."""
    with machine(2):
        cpu.gelu_forward(np.ones((1 << 18,), np.float32))
        team = threads_module._team
        team.started -= 1
        cpu.gelu_forward(np.ones((1 << 18,), np.float32))
        assert team.started == 2
        for _ in range(100):
            if len(ours()) == 1:
                break
            Event().wait(0.05)
        assert len(ours()) == 1


def test_a_job_is_done_while_the_board_is_another_thread_s():
    with machine(2):
        wanted = cpu.gelu_forward(np.ones((1 << 18,), np.float32))[0]
        team = threads_module._team
        team.board[BUSY] = 1
        np.testing.assert_array_equal(cpu.gelu_forward(np.ones((1 << 18,), np.float32))[0], wanted)
        assert team.board[BUSY] == 1
        team.board[BUSY] = 0


def ours():
    return [thread for thread in threading.enumerate() if thread.name == "npswin"]


def test_threads_that_are_no_longer_wanted_end():
    counts = [2, 5, 3, 2]
    for count in counts:
        with machine(count):
            for _ in range(3):
                cpu.gelu_forward(np.ones((1 << 18,), np.float32))

    for _ in range(100):
        if len(ours()) < thread_count():
            break
        Event().wait(0.05)  # they end when they are next scheduled, of which nothing tells
    assert len(ours()) < thread_count()


@pytest.mark.parametrize("count", [0, -1, 1.5, True, None])
def test_a_count_that_is_none_is_refused(count):
    with pytest.raises(ValueError, match="count: got"):
        npswin.backends.set_thread_count(count)


@inner
def fail_in_one_part(first, stop, part, scratch, guilty, done):
    if part == guilty:
        raise ArithmeticError
    done[part] = True


@pytest.mark.parametrize("guilty", [0, 1, 2])
def test_an_error_in_any_part_reaches_the_caller_and_the_threads_go_on(guilty):
    done = np.zeros(3, bool)
    with machine(3):
        with pytest.raises(RuntimeError, match="fail_in_one_part"):
            run_parallel(fail_in_one_part, 3, 0, np.dtype(np.float32), guilty, done)
        assert done.sum() == 2
        run_parallel(fail_in_one_part, 3, 0, np.dtype(np.float32), -1, done)
    assert done.all()


@inner
def add_up(first, stop, part, scratch, numbers, sums):
    for piece in range(first, stop):
        sums[part] += numbers[piece]


@given(st.permutations([np.float32(1.5), np.float64(2.5), 3]))
def test_arguments_of_other_types_are_taken_for_what_they_are(kinds):
    for number in kinds:
        numbers, sums = np.full(10, number), np.zeros(1)
        with machine(1):
            run_parallel(add_up, 5, 0, np.dtype(np.float32), numbers[::2], sums)
            run_parallel(add_up, 10, 0, np.dtype(np.float32), numbers, sums)
        assert sums[0] == 15 * number


@pytest.mark.parametrize("threads", [2, 3])
def test_no_part_is_lost_when_threads_fall_asleep_and_wake(threads):
    rng = np.random.default_rng(0)
    with machine(threads):
        for pause in rng.choice([0, 0.0001, 0.0002, 0.001], 300):
            Event().wait(pause)  # about as long as the threads watch for the next job
            done, bounds, room = np.zeros(threads, int), np.zeros(2 * threads, int), np.zeros(threads, int)
            run_parallel(note_part, threads, 1, np.dtype(np.float32), done, bounds, room)
            assert (done == 1).all()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="a platform without fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_has_threads_and_memory_of_its_own():
    with machine(3):
        before = three_steps(0)  # has started the threads
        kept = empty(100_000, np.float32)
        kept[:] = 1
        context = multiprocessing.get_context("fork")
        answers = context.SimpleQueue()

        def compute():
            kept[:] = 2
            answers.put(three_steps(0) == before)

        child = context.Process(target=compute)
        child.start()
        assert three_steps(0) == before  # while the child computes
        child.join(60)
        assert child.exitcode == 0
        assert answers.get()
        assert (kept == 1).all()


def test_the_thread_count_is_what_was_set():
    before = thread_count()
    with machine(2):
        assert thread_count() == 2
    assert thread_count() == before
