"""Call every public function with wrong arguments, and count what happens.

    python -m tests.tools.misuse                     all; prints a table, exit status 1 if a call ends badly
    python -m tests.tools.misuse --most 1000         a sample
    python -m tests.tools.misuse --only "mixup alpha"   those whose function, argument and value contain this
    python -m tests.tools.misuse --package ops       the ops instead: of `npswin.ops`, and of the backend that is set

A right call of each function (`misuse_examples/`) gets one bad value (`misuse_values.py`) for one argument, sometimes
two. It ends well if it

    refused    raises a ValueError, or an error that the function's docstring mentions, which names the argument. Where
               the value by itself is right, it may not go with another argument, and the error may name that one.
    accepted   takes a value that is right for the argument, by the rules in `misuse_examples/`, and the result is
               that of the plain value: the same for np.int64(3) as for 3, for a view as for a copy.

and badly if it

    error      raises something else, or names no argument,
    garbage    takes a value that is not right, or that does not fit to the other arguments,
    differs    takes a right value and computes something else than for the plain one, or refuses one of the two.
"""

import argparse
import contextlib
import io
import os
import random
import re
import shlex
import signal
import sys
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from npswin import backends
from npswin.data import cifar10
from npswin.data.errors import DataUnavailableError
from tests.tools.misuse_examples import EXAMPLES, KINDS, Example
from tests.tools.misuse_ops import DISPATCH, OPS, op_examples
from tests.tools.misuse_surface import Entry, public_surface
from tests.tools.misuse_values import VALUES, Kind, bad_value, fingerprint, same_but_for_rounding

REFUSED, ACCEPTED, ERROR, GARBAGE, DIFFERS = OUTCOMES = ("refused", "accepted", "error", "garbage", "differs")
BAD = (ERROR, GARBAGE, DIFFERS)
LONGEST_CALL = 30  # seconds
PAIRS = 0.1  # of all misuses, those of two arguments


class Misuse(NamedTuple):
    """A call with bad values: (argument, value's name), one or two."""

    entry: Entry
    changes: tuple[tuple[str, str], ...]

    def __str__(self) -> str:
        return f"{self.entry.name} " + ", ".join(f"{argument} = {value}" for argument, value in self.changes)


class Result(NamedTuple):
    """What happened."""

    outcome: str
    text: str


class _TooLong(BaseException):
    """A call that takes longer than LONGEST_CALL."""


def lacking(surface: list[Entry]) -> list[str]:
    """What `misuse_examples/` lacks, as lines that say what to do."""
    lines = []
    for entry in surface:
        example = EXAMPLES.get(entry.name)
        if example is None:
            lines.append(f"{entry.name}: no right call; add one to a file of tests/tools/misuse_examples")
            continue
        lines += [
            f"{entry.name}: which values are right for {name}? Add a Kind for it to its entry in EXAMPLES"
            for name in arguments_of(entry, example)
            if name not in example.kinds and name not in KINDS
        ]
    unknown = EXAMPLES.keys() - {entry.name for entry in surface}
    return lines + [f"{name}: EXAMPLES has a call of it, but it is not public" for name in sorted(unknown)]


def arguments_of(entry: Entry, example: Example) -> list[str]:
    """The arguments that are replaced: all of the signature, and of `**more` those in the example."""
    fixed = [each.name for each in entry.parameters if each.kind not in (each.VAR_KEYWORD, each.VAR_POSITIONAL)]
    return [name for name in dict.fromkeys([*fixed, *example.arguments()]) if name != "self"]


def misuses(surface: list[Entry], examples: dict[str, Example], seed: int) -> list[Misuse]:
    """Every bad value for every argument, then drawn pairs, in a drawn order."""
    rng = random.Random(seed)
    found, pairs = [], []
    for entry in surface:
        names = arguments_of(entry, examples[entry.name])
        single = [(name, value) for name in names for value in VALUES]
        found += [Misuse(entry, (change,)) for change in single]
        for _ in range(int(PAIRS * len(single)) if len(names) > 1 else 0):
            two = rng.sample(names, 2)
            pairs.append(Misuse(entry, tuple((name, rng.choice(VALUES)) for name in two)))
    found += pairs
    rng.shuffle(found)
    return found


def sample(cases: list[Misuse], most: int) -> list[Misuse]:
    """At most so many, of each function about as many as of the others."""
    number_in_function: Counter[str] = Counter()
    order = []
    for case in cases:
        number_in_function[case.entry.name] += 1
        order.append((number_in_function[case.entry.name], len(order), case))
    return [case for _, _, case in sorted(order)[:most]]


def kind_of(example: Example, argument: str) -> Kind:
    """Which values of an argument are right."""
    return example.kinds.get(argument) or KINDS[argument]


def try_misuse(case: Misuse, example: Example) -> Result:
    """Make the call, and judge it."""
    values: dict[str, Any] = {}
    again: dict[str, Any] = {}  # since a call may change a value, such as a generator
    defaults = {each.name: each.default for each in case.entry.parameters if each.default is not each.empty}
    for argument, value_name in case.changes:
        good = {**defaults, **example.arguments()}[argument]
        values[argument], again[argument] = bad_value(value_name, good), bad_value(value_name, good)
    right = {name: _is_right(value, kind_of(example, name), defaults.get(name, ...)) for name, value in values.items()}
    plain = {
        name: kind_of(example, name).converted(again[name]) if right[name] and again[name] is not None else again[name]
        for name in again
    }
    all_right = all(right.values())
    fits = example.fits is None or (all_right and example.fits({**defaults, **example.arguments(), **plain}))
    ends = _call(case.entry, example, values)
    if isinstance(ends, BaseException):
        may_raise = any(right[name] and kind_of(example, name).is_called for name in values)
        problem = "" if may_raise else _problem_with(ends, case, example, values, any(right.values()))
        if problem:
            return Result(ERROR, problem)
        # An example knows which arguments fit, but not which files can be written.
        knows = example.fits and not isinstance(ends, OSError)
        if all_right and fits and (knows or not isinstance(_call(case.entry, example, plain), BaseException)):
            return Result(DIFFERS, f"refused, though the plain value is right: {_text_of(ends)}")
        return Result(REFUSED, _text_of(ends))
    if not all_right:
        return Result(GARBAGE, f"accepted {', '.join(name for name in values if not right[name])}")
    if not fits:
        return Result(GARBAGE, "accepted, though the arguments do not fit together")
    of_plain = _call(case.entry, example, plain)
    if isinstance(of_plain, BaseException):
        return Result(DIFFERS, f"accepted, though the plain value is not: {_text_of(of_plain)}")
    is_same = same_but_for_rounding(ends, of_plain) if example.rounds else ends == of_plain
    return Result(ACCEPTED, "") if is_same else Result(DIFFERS, "another result than for the plain value")


def _is_right(value: Any, kind: Kind, default: Any) -> bool:
    return (value is default and value is None) or bool(kind.accepts(value))


def _call(entry: Entry, example: Example, changes: dict[str, Any]) -> Any:
    """The fingerprint of what a call returns and changes, or the exception that it raises."""
    arguments = {**example.arguments(), **changes}
    positional = [arguments.pop("self")] if "self" in arguments else []
    # of a signature such as (dy, cache, /), which takes no names
    positional += [arguments.pop(each.name) for each in entry.parameters if each.kind is each.POSITIONAL_ONLY]
    backends.allow_tf32(False)
    backends.allow_bfloat16(False)
    try:
        with _time_limit(), np.errstate(all="ignore"):
            result = entry.function(*positional, **arguments)
            kept = [value for name, value in arguments.items() if name not in changes]
            return fingerprint([result, positional, kept])
    except (Exception, _TooLong) as error:
        return error


@contextlib.contextmanager
def _time_limit() -> Iterator[None]:
    if not hasattr(signal, "SIGALRM"):  # on Windows
        yield
        return

    def stop(*_: Any) -> None:
        raise _TooLong(f"takes more than {LONGEST_CALL} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, LONGEST_CALL)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _problem_with(error: BaseException, case: Misuse, example: Example, values: dict[str, Any], right: bool) -> str:
    """What is wrong with an error, or an empty text."""
    names = {cls.__name__ for cls in type(error).__mro__}
    if not isinstance(error, ValueError) and not names & case.entry.errors:
        return f"raises {_text_of(error)}"
    message = str(error)
    accepted_names = set(values)
    if right:  # one of the values by itself
        accepted_names |= {each.name for each in case.entry.parameters} | set(example.arguments())
    patterns = [rf"\b{re.escape(name)}\b[^:=\s]*[:=]" for name in accepted_names]  # such as "depths[0]:"
    patterns += [rf"\b{re.escape(example.other_names[name])}\b" for name in accepted_names & set(example.other_names)]
    if any(re.search(pattern, message) for pattern in patterns):
        return "" if right or len(message) < 1000 else f"names it in {len(message)} letters"
    if any(isinstance(value, str | os.PathLike) and str(value) and str(value) in message for value in values.values()):
        return ""  # a file
    return f"does not name it: {_text_of(error)}"


def _text_of(error: BaseException) -> str:
    message = " ".join(str(error).split())
    return f"{type(error).__name__}: {message if len(message) < 160 else message[:157] + '...'}"


@contextlib.contextmanager
def surroundings() -> Iterator[None]:
    """A folder of its own, no network, no warnings; settings of the process as they were before."""

    def no_download(*_: Any) -> None:
        raise DataUnavailableError("data_dir, download: no network here")

    settings = backends.get_backend(), backends.thread_count()
    allowed = backends.allow_tf32(False), backends.allow_bfloat16(False)
    folder_before, download, cache = os.getcwd(), cifar10.download_cifar10, os.environ.get("NPSWIN_DATA")
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        os.chdir(folder)
        cifar10.download_cifar10 = no_download
        os.environ["NPSWIN_DATA"] = folder
        try:
            yield
        finally:
            os.chdir(folder_before)
            cifar10.download_cifar10 = download
            os.environ.pop("NPSWIN_DATA")
            if cache is not None:
                os.environ["NPSWIN_DATA"] = cache
            backends.set_backend(settings[0])
            backends.set_thread_count(settings[1])
            backends.allow_tf32(allowed[0])
            backends.allow_bfloat16(allowed[1])


def run(
    cases: list[Misuse], examples: dict[str, Example], progress: Callable[[int], None] = lambda _: None
) -> list[tuple[Misuse, Result]]:
    """Try them one after the other."""
    results = []
    backend, threads = backends.get_backend(), backends.thread_count()
    for number, case in enumerate(cases, 1):
        with contextlib.redirect_stdout(io.StringIO()):
            results.append((case, try_misuse(case, examples[case.entry.name])))
        if backends.get_backend() != backend or backends.thread_count() != threads:
            backends.set_backend(backend)
            backends.set_thread_count(threads)
        progress(number)
    return results


def report(results: list[tuple[Misuse, Result]], seed: int = 0) -> list[str]:
    """A table with a line for each function, and a line for each call that ended badly."""
    counts: dict[str, Counter[str]] = {}
    for case, result in results:
        counts.setdefault(case.entry.name, Counter())[result.outcome] += 1
    width = max(map(len, counts), default=8)
    lines = [f"{'':{width}} " + " ".join(f"{outcome:>8}" for outcome in OUTCOMES)]
    for name in sorted(counts):
        lines.append(f"{name:{width}} " + " ".join(f"{counts[name][outcome] or '':>8}" for outcome in OUTCOMES))
    total = sum(counts.values(), Counter())
    lines.append(f"{f'{len(results)} misuses':{width}} " + " ".join(f"{total[outcome]:>8}" for outcome in OUTCOMES))
    bad = [(case, result) for case, result in results if result.outcome in BAD]
    for case, result in sorted(bad, key=lambda one: str(one[0])):
        again = " --package ops" if case.entry.name.startswith((OPS, DISPATCH)) else f" --seed {seed}" if seed else ""
        lines.append(f"{result.outcome}: {case}: {result.text}")
        lines.append(f"    python -m tests.tools.misuse{again} --only {shlex.quote(str(case))}")
    return lines


def main() -> int:
    """Run it; the exit status is 0 if every call ended well."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=int, help="at most so many misuses, of each function about as many")
    parser.add_argument("--seed", type=int, default=0, help="of the order and the pairs (default: 0)")
    parser.add_argument("--only", default="", metavar="TEXT", help="whose function, argument and value contain it")
    parser.add_argument("--package", choices=("all", "ops"), default="all", help="all but ops, or the ops")
    options = parser.parse_args()
    with surroundings():
        return _main(options)


def _main(options: argparse.Namespace) -> int:
    if options.package == "ops":
        surface, examples = op_examples()
    else:
        surface, examples = public_surface(), EXAMPLES
        if lines := lacking(surface):
            print("\n".join(lines))
            return 1
    cases = [case for case in misuses(surface, examples, options.seed) if options.only in str(case)]
    cases = sample(cases, len(cases) if options.most is None else options.most)
    started = time.perf_counter()

    def progress(number: int) -> None:
        if number % 500 == 0:
            print(f"{number} of {len(cases)} in {time.perf_counter() - started:.0f} s", file=sys.stderr, flush=True)

    lines = report(run(cases, examples, progress), options.seed)
    print("\n".join(lines))
    return any(line.startswith(BAD) for line in lines)


if __name__ == "__main__":
    sys.exit(main())
