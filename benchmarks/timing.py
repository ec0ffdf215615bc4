"""Timing that all benchmarks share: alternatives in turn, medians, the machine's own peak, tables."""

import argparse
import json
import math
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

ROOT = Path(__file__).resolve().parents[1]
Row = dict[str, Any]
Function = Callable[[], object]
# Side of the square matrices of `compute_peak`: large enough for the peak, 0.1 s in single precision on one core.
_GEMM_SIDE = 1024


@dataclass(frozen=True)
class Times:
    """Seconds of several functions that were timed in turn.

    Args:
        wall (`dict[str, list[float]]`): Time by the clock, one value per round.
        processor (`dict[str, list[float]]`): Processor time of this process, which other programs lengthen less.
    """

    wall: dict[str, list[float]]
    processor: dict[str, list[float]]

    def median(self, name: str) -> float:
        """Median seconds by the clock (`float`)."""
        return statistics.median(self.wall[name])

    def processor_median(self, name: str) -> float:
        """Median processor seconds (`float`)."""
        return statistics.median(self.processor[name])

    def speedup(self, name: str, over: str) -> float:
        """Median over the rounds of how many times faster than another function, by the clock (`float`)."""
        return _median_ratio(self.wall[over], self.wall[name])

    def processor_speedup(self, name: str, over: str) -> float:
        """The same by processor time (`float`)."""
        return _median_ratio(self.processor[over], self.processor[name])

    def costs(self, name: str, over: str, clips: int, options: argparse.Namespace) -> Row:
        """Columns of a table (`dict`): milliseconds, clips per second, times faster than another function.

        By processor time, or by the clock on a card and with `--clock`.
        """
        if by_clock(options):
            median, speedup, unit = self.median(name), self.speedup(name, over), ""
        else:
            median, speedup, unit = self.processor_median(name), self.processor_speedup(name, over), "processor "
        return {f"{unit}ms": median * 1e3, f"clips per {unit}s": clips / median, f"times {over}": speedup}

    def core_seconds(self, name: str, options: argparse.Namespace) -> float:
        """Processor seconds per thread, or seconds of a card (`float`); `compute_peak` counts by the same seconds."""
        return self.median(name) if by_clock(options) else self.processor_median(name) / torch.get_num_threads()


def by_clock(options: argparse.Namespace) -> bool:
    """Whether a benchmark reports time by the clock (`bool`): on a card, and where the command line asks for it."""
    return bool(options.clock) or options.device != "cpu"


def _median_ratio(slow: Sequence[float], fast: Sequence[float]) -> float:
    return statistics.median(one / max(other, 1e-9) for one, other in zip(slow, fast, strict=True))


def take_turns(functions: Mapping[str, Function], rounds: int, device: str = "cpu", warm_up: int = 1) -> Times:
    """Time functions in turn, so that a busy machine slows them alike.

    Args:
        functions (`Mapping[str, Callable]`): Functions by name.
        rounds (`int`): Calls of each that count.
        device (`str`, *optional*, defaults to `"cpu"`): Device that is synchronised before the clock is read.
        warm_up (`int`, *optional*, defaults to 1): Calls of each before the first one that counts.
    """
    for _ in range(warm_up):
        for function in functions.values():
            function()
    times = Times({name: [] for name in functions}, {name: [] for name in functions})
    for _ in range(rounds):
        for name, function in functions.items():
            _wait_for(device)
            wall, processor = time.perf_counter(), time.process_time()
            function()
            _wait_for(device)
            times.wall[name].append(time.perf_counter() - wall)
            times.processor[name].append(time.process_time() - processor)
    return times


def seconds(function: Function) -> float:
    """Seconds of one call by the clock (`float`)."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def processor_seconds() -> float:
    """Processor time of this process and its finished children, which other programs affect less than wall time."""
    # Not os.times(), which counts in steps of 10 ms: more than a second run from the cache takes.
    used = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


def both_seconds(function: Function) -> tuple[float, float]:
    """Seconds of one call by the clock and of the processor."""
    used = processor_seconds()
    wall = seconds(function)
    return wall, processor_seconds() - used


def time_command(command: Sequence[str], environment: Mapping[str, str] | None = None) -> tuple[float, float]:
    """Run a command in the repository's root; seconds by the clock, and of the processor with all its processes."""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", **(environment or {})}
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    subprocess.run(command, cwd=ROOT, env=environment, check=True, capture_output=True)
    wall, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def _wait_for(device: str) -> None:
    if device != "cpu":
        torch.accelerator.synchronize()


def compute_peak(dtype: torch.dtype, device: str = "cpu", rounds: int = 3) -> float:
    """Floating-point operations per second of the machine (`float`): a matrix product, or one inside a convolution.

    The higher of both, because PyTorch's library for matrix products is slow in single precision on AMD's processors.
    By processor time over the threads of this process, because other programs may run on the same cores; on a card by
    the clock.
    """
    left, right = (torch.rand(_GEMM_SIDE, _GEMM_SIDE, device=device).to(dtype) for _ in range(2))
    clips, channels, side = 4, 256, 32
    maps = torch.rand(clips, channels, side, side, device=device).to(dtype, memory_format=torch.channels_last)
    weight = torch.rand(channels, channels, 3, 3, device=device).to(dtype, memory_format=torch.channels_last)
    operations = {"product": 2 * _GEMM_SIDE**3, "convolution": 2 * clips * side**2 * channels**2 * 9}
    ways: dict[str, Function] = {
        "product": lambda: left @ right,
        "convolution": lambda: F.conv2d(maps, weight, padding=1),
    }
    with torch.inference_mode():
        times = take_turns(ways, rounds, device)
    if device != "cpu":
        return max(count / min(times.wall[way]) for way, count in operations.items())
    return max(count * torch.get_num_threads() / min(times.processor[way]) for way, count in operations.items())


def exponent(sizes: Sequence[float], costs: Sequence[float]) -> float:
    """Exponent of a power law from sizes to costs, by least squares of the logarithms (`float`): 1 is proportional."""
    return statistics.linear_regression([math.log(size) for size in sizes], [math.log(cost) for cost in costs]).slope


def peak_resident_bytes() -> int:
    """Return the highest resident set of this process so far, in bytes."""
    # Linux counts in KiB, macOS in bytes.
    unit = 1 if platform.system() == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def machine(device: str = "cpu") -> Row:
    """Facts on which figures depend (`dict`): processor, cores, threads, load, library versions."""
    name = torch.cuda.get_device_name() if device.startswith("cuda") else _processor_name()
    return {
        "processor": name,
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "load": round(os.getloadavg()[0], 1),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def _processor_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.machine()


def parser(description: str, rounds: int) -> argparse.ArgumentParser:
    """Return a parser with the options of all benchmarks: `--json`, `--rounds`, `--threads`, `--device`, `--clock`."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--json", action="store_true", help="print JSON, as `python -m benchmarks page` reads it")
    made.add_argument("--rounds", type=int, default=rounds, help="rounds that count (%(default)s)")
    made.add_argument("--threads", type=int, help="CPU threads; PyTorch's own choice by default")
    made.add_argument("--device", default="cpu", help="cpu or cuda (cpu)")
    made.add_argument(
        "--clock",
        action="store_true",
        help="time by the clock on a CPU too, where nothing else runs; processor time by default",
    )
    return made


def parse(made: argparse.ArgumentParser) -> argparse.Namespace:
    """Parse the command line and set the number of threads."""
    options = made.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    return options


def report(name: str, tables: Mapping[str, Sequence[Row]], options: argparse.Namespace) -> None:
    """Print the results of a benchmark as tables, or with `--json` as one document.

    Args:
        name (`str`): The benchmark.
        tables (`Mapping[str, Sequence[dict]]`): Rows by title; all rows of a title have the same columns.
        options (`argparse.Namespace`): As `parse` returned them.
    """
    document = {
        "benchmark": name,
        "command": " ".join(["python -m benchmarks", name, *sys.argv[1:]]).replace(" --json", ""),
        "machine": machine(options.device),
        "tables": tables,
    }
    print(json.dumps(document, indent=1) if options.json else as_markdown(document))


def as_markdown(document: Mapping[str, Any]) -> str:
    """Return a document of `report` as Markdown: command, machine, one table per title."""
    found = document["machine"]
    facts = f"{found['processor']}, {found['cores']} cores, {found['threads']} threads, torch {found['torch']}"
    lines = [f"`{document['command']}` ({facts})"]
    for title, rows in document["tables"].items():
        lines += ["", f"{title}:", "", *_table(rows)]
    return "\n".join(lines)


def _table(rows: Sequence[Row]) -> list[str]:
    names = list(rows[0])
    lines = ["| " + " | ".join(names) + " |", "|" + "---|" * len(names)]
    return lines + ["| " + " | ".join(_cell(row[name]) for name in names) + " |" for row in rows]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 100 else f"{value:,.0f}"
    return str(value)
