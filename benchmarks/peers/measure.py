# SPDX-License-Identifier: MIT
"""Times things beside one another on a machine that others use too: samples in turns, a gate for noisy ones, medians of ratios."""
import gc
import math
import os
import resource
import statistics
import time

SAMPLE = 0.05       # s that a sample lasts at least
SETTLE = 0.02       # s between samples: OpenMP's threads spin for some milliseconds after their work, on the processors that come next
RETRIES = 3         # noisy samples for each round of an operation that are taken again; when they are spent, noisy samples are accepted


class Moment:
    """Processor time of the machine and of this process since some moment, and the time of day [s]."""

    def __init__(self):
        self.wall = time.perf_counter()
        used = resource.getrusage(resource.RUSAGE_SELF)
        self.own = used.ru_utime + used.ru_stime
        self.all = None
        try:
            with open("/proc/stat") as file:
                user, nice, system, _idle, _wait, irq, soft_irq, stolen = (int(x) for x in file.readline().split()[1:9])
            self.all = (user + nice + system + irq + soft_irq + stolen) / os.sysconf("SC_CLK_TCK")
        except (OSError, ValueError):
            pass    # not a Linux: there is no gate

    def is_noisy_until(self, end):
        """Whether others used more than 20 ms and more than 3 % of the processors' time. The kernel counts in ticks of 10 ms."""
        if self.all is None or end.all is None:
            return False
        others = (end.all - self.all) - (end.own - self.own)
        return others > max(0.020, 0.03 * (end.wall - self.wall) * os.cpu_count())


def wait_for_quiet():
    """Until a tenth of a second was quiet, or one second has gone."""
    for _ in range(10):
        begin = Moment()
        time.sleep(0.1)
        if not begin.is_noisy_until(Moment()):
            return


class Contestant:
    """One way to do an operation: run() returns its results; prepare() restores what run() overwrites and is not timed."""

    def __init__(self, name, run, prepare=None, family="torch"):
        self.name, self.run, self.prepare, self.family = name, run, prepare, family
        self.times, self.noisy, self.rejected, self.repeats = [], 0, 0, 1
        self.error = None           # largest error of its results
        self.unavailable = None     # why it cannot run here

    def seconds(self):
        """Mean time of a run in one sample."""
        if self.prepare is None:
            begin = time.perf_counter()
            for _ in range(self.repeats):
                self.run()
            return (time.perf_counter() - begin) / self.repeats
        total = 0.0
        for _ in range(self.repeats):
            self.prepare()
            begin = time.perf_counter()
            self.run()
            total += time.perf_counter() - begin
        return total / self.repeats

    def warm_up(self, judge):
        """Runs it until its memory is warm; judge(results) gives their error. What fails here is left out, with the reason."""
        try:
            for _ in range(2):
                if self.prepare:
                    self.prepare()
                result = self.run()
            self.error = judge(result)
            del result
            self.repeats = 1
            self.repeats = max(1, math.ceil(SAMPLE / max(self.seconds(), 1e-7)))
            self.seconds()
        except Exception as reason:  # noqa: BLE001  # anything: another version of torch may lack an operation, or a compiler
            self.unavailable = f"{type(reason).__name__}: {str(reason).strip().splitlines()[0][:200] if str(reason).strip() else ''}"

    def take_sample(self, may_reject):
        """Takes a sample, or rejects it as noisy; returns whether it was accepted."""
        time.sleep(SETTLE)
        begin = Moment()
        seconds = self.seconds()
        noisy = begin.is_noisy_until(Moment())
        if noisy and may_reject:
            self.rejected += 1
            return False
        self.times.append(seconds)
        self.noisy += noisy
        return True


def measure(contestants, judge, rounds, gated):
    """Takes `rounds` samples of each contestant, in turns."""
    for c in contestants:
        c.warm_up(judge if c.family != "ceiling" else lambda _: None)
    able = [c for c in contestants if not c.unavailable]
    gc.collect()
    gc.disable()
    retries = RETRIES * rounds if gated else 0
    for _ in range(rounds):
        for c in able:
            while not c.take_sample(may_reject=retries > 0):
                retries -= 1
                wait_for_quiet()
    gc.enable()
    return able


def ratio(slower, faster):
    """Median over the rounds of how much longer the one took than the other."""
    return statistics.median(a / b for a, b in zip(slower.times, faster.times))
