"""The measurements as Markdown, and as plain data for JSON."""

from dataclasses import dataclass, field
from typing import Any

from benchmarks.peers.fresh import Table
from benchmarks.peers.rounds import Peak, Row, Settings
from benchmarks.peers.workloads import OWN, TITLES, Workload


@dataclass
class Measurements:
    """All that was measured.

    Attributes:
        settings: how.
        quick: whether batches or images were cut, so that the figures are for trying only.
        machine: see `machine.describe`.
        versions: see `machine.versions`.
        steering: see `machine.steering`.
        peak: of a large matrix product, by library.
        rows: a workload each.
        first_step_workload: what the first step was measured with.
        memory: for each workload that it was measured with, see `fresh.measure_memory`.
        first_step: see `fresh.measure_first_step`.
        left_out: for each peer, or package of a peer, that took no part at all, why.
        source_changed: whether npswin's source changed meanwhile.
    """

    settings: Settings
    quick: bool
    machine: dict[str, str]
    versions: dict[str, str]
    steering: dict[str, str]
    first_step_workload: Workload
    peak: dict[str, Peak] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    memory: list[tuple[Workload, Table]] = field(default_factory=list)
    first_step: Table = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    source_changed: bool = False

    @property
    def highest(self) -> float:
        """FLOP/s that are 100 %."""
        return max(peak.speed for peak in self.peak.values())


def markdown(found: Measurements) -> str:
    """Everything, to be read or pasted into a page."""
    parts = [_heading(found), _speed(found), _memory(found), _first_step(found), _remarks(found)]
    return "\n\n".join(part for part in parts if part)


def _table(header: str, lines: list[list[str]], left: int) -> str:
    """Rows under a header; `left` columns of text, then columns of numbers."""
    columns = header.count("|") + 1
    rule = ["---"] * left + ["--:"] * (columns - left)
    return "\n".join(f"| {' | '.join(line)} |" for line in [header.split("|"), rule, *lines])


def _heading(found: Measurements) -> str:
    rounds = found.settings.rounds
    peak = ", ".join(
        f"{TITLES[name]} {peak.speed / 1e9:.0f}" + (f" ({peak.kernel})" if peak.kernel else "")
        for name, peak in found.peak.items()
    )
    machine = {**found.machine, "threads": found.settings.threads}
    steering = ", ".join(f"{name}={value}" for name, value in found.steering.items())
    lines = [
        f"- machine: {', '.join(f'{name} {value}' for name, value in machine.items())}",
        f"- versions: {', '.join(f'{name} {version}' for name, version in found.versions.items())}",
        f"- peak: {peak} GFLOP/s in a float32 product of 2048×2048 matrices; the higher one is 100 %",
        f"- float32, the same weights and inputs; median of {rounds} interleaved rounds, lowest to highest in brackets",
    ]
    if steering:
        lines.append(f"- set in the environment, and may slow some: {steering}")
    warnings = ["**A quick try with small batches or images: not for quoting.**"] * found.quick
    warnings += ["**npswin's source changed during the run: not for quoting.**"] * found.source_changed
    return "\n\n".join([*warnings, "\n".join(lines)])


def _speed(found: Measurements) -> str:
    lines = []
    for row in found.rows:
        for competitor in row.seconds:
            lines.append([row.workload.full_title if competitor == "npswin" else "", *_figures(found, row, competitor)])
    header = "workload|implementation|ms|images/s|GFLOP/s|of peak|npswin is"
    return _table(header, lines, 2) if lines else ""


def _figures(found: Measurements, row: Row, competitor: str) -> list[str]:
    seconds, turns = row.median(competitor), row.seconds[competitor]
    speed = row.flops / seconds
    best = best_peer(row)
    if competitor in OWN:
        ratio = f"**{row.median(best) / seconds:.2f} × the best peer**" if best else ""
    else:
        ratio = f"{seconds / row.median('npswin'):.2f} ×"
    return [
        TITLES[competitor] + (" (best peer)" if competitor == best else ""),
        f"{_ms(seconds)} ({_ms(min(turns))}–{_ms(max(turns))})",
        f"{row.workload.batch / seconds:.1f}",
        f"{speed / 1e9:.0f}" if row.flops else "",
        f"{100 * speed / found.highest:.0f} %" if row.flops else "",
        ratio,
    ]


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.{0 if seconds >= 1 else 1 if seconds >= 0.01 else 2}f}"


def best_peer(row: Row) -> str | None:
    """The fastest competitor beside npswin, if there is one."""
    peers = [competitor for competitor in row.seconds if competitor not in OWN]
    return min(peers, key=row.median) if peers else None


def _memory(found: Measurements) -> str:
    return "\n\n".join(_memory_of(workload, table) for workload, table in found.memory)


def _memory_of(workload: Workload, table: Table) -> str:
    own = table["npswin"]
    lines = []
    for competitor, sizes in table.items():
        if "left_out" in sizes:
            continue
        line = [TITLES[competitor]]
        for above in ("bytes", "after_imports"):
            ratio = "" if competitor == "npswin" else f"{own[above] / sizes[above]:.2f} ×"
            line += [f"{sizes[above] / 2**20:.0f}", ratio]
        lines.append(line)
    title = f"Peak resident memory of the training step ({workload.full_title}):"
    header = "implementation|MiB above the process's start|npswin takes|MiB above the imports|npswin takes"
    return f"{title}\n\n" + _table(header, lines, 1)


def _first_step(found: Measurements) -> str:
    if not found.first_step:
        return ""
    lines = []
    for competitor, answers in found.first_step.items():
        if "left_out" in answers:
            continue
        filled: dict[str, float] = answers["filled"]
        caches: tuple[dict[str, float], ...] = (answers.get("empty", filled), filled)  # eager PyTorch has none
        figures = [f"{answer[key]:.1f}" for answer in caches for key in ("seconds", "with_imports")]
        lines.append([TITLES[competitor], *figures])
    title = (
        "Seconds from before the model is built to the end of the first training step "
        f"({found.first_step_workload.full_title}), in a fresh process:"
    )
    header = "implementation|nothing compiled yet|and with imports|compiled code on disk|and with imports"
    return f"{title}\n\n" + _table(header, lines, 1)


def _remarks(found: Measurements) -> str:
    lines = [f"- left out: {TITLES.get(peer, peer)}: {why}" for peer, why in found.left_out.items()]
    for row in found.rows:
        lines += [
            f"- left out: {TITLES[peer]} in {row.workload.full_title}: {why}" for peer, why in row.left_out.items()
        ]
    fresh = [(f"the memory of {workload.full_title}", table) for workload, table in found.memory]
    for what, table in [*fresh, ("the first step", found.first_step)]:
        lines += [
            f"- left out: {TITLES[peer]} in {what}: {answers['left_out']}"
            for peer, answers in table.items()
            if "left_out" in answers
        ]
    for row in found.rows:
        chosen = {TITLES[name]: notes["attention"] for name, notes in row.notes.items() if "attention" in notes}
        if chosen:
            text = ", ".join(f"{attention} in {name}" for name, attention in chosen.items())
            lines.append(f"- {row.workload.full_title}: the faster attention was {text}")
    if any(row.flops / row.median(name) > found.highest for row in found.rows for name in row.seconds):
        lines.append(
            "- some shares are above 100 %: of a convolution, since Winograd's algorithm takes fewer products than are "
            "counted; else the libraries' matrix product falls short of this machine's peak: take them as relative"
        )
    if found.rows:
        most = {who: max(row.disturbance[who] for row in found.rows) for who in found.rows[0].disturbance}
        text = ", ".join(f"{who} {100 * share:.1f} %" for who, share in most.items())
        lines.append(f"- used by others while one had its turn, of the cores' time in the worst workload: {text}")
    return "\n".join(lines)


def plain(found: Measurements) -> dict[str, Any]:
    """Everything as JSON can hold it, turn by turn."""
    rows = []
    for row in found.rows:
        best = best_peer(row)
        competitors = {
            name: {
                "seconds": turns,
                "median_seconds": row.median(name),
                "images_per_second": row.workload.batch / row.median(name),
                "flops_per_second": row.flops / row.median(name) if row.flops else None,
                "share_of_peak": row.flops / row.median(name) / found.highest if row.flops else None,
                "npswin_speed_ratio": row.median(name) / row.median("npswin"),
                "notes": row.notes[name],
            }
            for name, turns in row.seconds.items()
        }
        rows.append(
            {
                "name": row.workload.name,
                "title": row.workload.full_title,
                "batch": row.workload.batch,
                "flops": row.flops or None,
                "best_peer": best,
                "npswin_speed_ratio": row.median(best) / row.median("npswin") if best else None,
                "competitors": competitors,
                "left_out": row.left_out,
                "disturbance": row.disturbance,
            }
        )
    return {
        "quick": found.quick,
        "source_changed": found.source_changed,
        "rounds": found.settings.rounds,
        "threads": found.settings.threads,
        "machine": found.machine,
        "versions": found.versions,
        "environment": found.steering,
        "peak": {name: {"flops_per_second": peak.speed, "kernel": peak.kernel} for name, peak in found.peak.items()},
        "workloads": rows,
        "memory": [{"title": workload.full_title, "competitors": table} for workload, table in found.memory],
        "first_step_workload": found.first_step_workload.full_title,
        "first_step": found.first_step,
        "left_out": found.left_out,
    }
