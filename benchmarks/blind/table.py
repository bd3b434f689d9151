"""How many mistakes that were listed without sight of the catalogue `npswin diagnose` finds and names.

    python benchmarks/blind/table.py                         all mistakes, in the miniature
    python benchmarks/blind/table.py --sample 20 --seed 1    twenty of them, in another model
    python benchmarks/blind/table.py --only gain-missing     one, with the diagnosis

Needs pip install 'npswin[peers]', and is run from the repository's folder.
"""

import argparse
import json
import random
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.blind.judge import DUMPS, Problem, Verdict, cause_verdict
from benchmarks.blind.mistakes import all_mistakes
from npswin.files import write_atomically


def main(arguments: Sequence[str] | None = None) -> int:
    """Print a line for each mistake, and the totals."""
    options = parser().parse_args(arguments)
    mistakes = all_mistakes()
    for name in options.only:
        if name not in mistakes:
            raise SystemExit(f"--only: got {name}, expected one of {', '.join(mistakes)}")
    chosen = options.only or list(mistakes)
    if options.sample is not None:
        chosen = random.Random(options.seed).sample(chosen, min(options.sample, len(chosen)))
    if options.judge_again:
        return judge_again(options.judge_again)
    problem = Problem(options.seed, options.dumps)
    alarm = not problem.diagnose(problem.correct, options.seconds).ok
    print("the port without a mistake:", "FALSE ALARM" if alarm else "all tensors agree", flush=True)
    verdicts = []
    for number, name in enumerate(chosen, 1):
        verdict = problem.judge(name, mistakes[name], options.seconds)
        verdicts.append(verdict)
        print(line(verdict, number, len(chosen)), flush=True)
        if options.only:
            print(problem.diagnose(problem.dump(mistakes[name]), options.seconds), flush=True)
        if options.json:
            content = json.dumps([asdict(each) for each in verdicts], indent=1, ensure_ascii=False)
            write_atomically(options.json, lambda file, content=content: file.write(content.encode()))
    print(totals(verdicts))
    return int(alarm)


def judge_again(path: Path) -> int:
    """Print the verdicts of a file, by the patterns that the mistakes have now."""
    mistakes = all_mistakes()
    verdicts = [Verdict(**each) for each in json.loads(path.read_text()) if each["id"] in mistakes]
    for number, verdict in enumerate(verdicts, 1):
        verdict.cause = cause_verdict(verdict, mistakes[verdict.id])
        print(line(verdict, number, len(verdicts)))
    print(totals(verdicts))
    return 0


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    result = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    result.add_argument(
        "--only", nargs="+", default=(), metavar="ID", help="these mistakes, with the diagnosis of each"
    )
    result.add_argument("--sample", type=int, metavar="N", help="only N of the mistakes, drawn by the seed")
    result.add_argument("--dumps", choices=DUMPS, default="all", help="which tensors the port dumps (default all)")
    result.add_argument("--seed", type=int, default=0, help="of model, weights, images and sample (default 0)")
    result.add_argument("--seconds", type=float, default=60, help="the time limit of a diagnosis (default 60)")
    result.add_argument("--json", type=Path, metavar="FILE", help="where the verdicts are written")
    result.add_argument(
        "--judge-again", type=Path, metavar="FILE", help="run nothing: judge the causes in such a file again"
    )
    return result


def line(verdict: Verdict, number: int, total: int) -> str:
    """A verdict in a line."""
    count = f"[{number}/{total}] {verdict.id:32}"
    if not verdict.changed:
        return f"{count} changes nothing"
    if not verdict.detected:
        return f"{count} NOT DETECTED"
    first = "" if verdict.first_right else f", first {verdict.first} instead of {verdict.expected}"
    said = f"nothing for {verdict.first}" if verdict.cause == "none" else verdict.causes[0]["says"]
    late = ", time limit" if verdict.timed_out else ""
    return f"{count} {verdict.cause:9} {verdict.seconds:5.1f} s{first}{late}: {said}"


def totals(verdicts: Sequence[Verdict]) -> str:
    """The last lines of the output."""
    planted = [verdict for verdict in verdicts if verdict.changed]
    causes = Counter(verdict.cause for verdict in planted if verdict.detected)
    return (
        f"planted {len(planted)}, detected {sum(verdict.detected for verdict in planted)}, "
        f"first right {sum(verdict.first_right for verdict in planted)}, "
        + ", ".join(f"cause {kind} {causes[kind]}" for kind in ("named", "described", "none", "wrong"))
        + f"; {len(verdicts) - len(planted)} change nothing; time limit reached {sum(v.timed_out for v in planted)}"
    )


if __name__ == "__main__":
    sys.exit(main())
