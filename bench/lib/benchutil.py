# SPDX-License-Identifier: MIT
"""begin() ... finish(count, check): measures what lies between and prints one line of JSON for bench/run.lua."""
import asyncio, json, sys, time

_s = {}


def _status(key):
    with open("/proc/self/status") as f:
        for line in f:
            if line.startswith(key):
                return int(line.split()[1]) * 1024


def begin():
    _s["rss"] = _status("VmRSS:")
    _s["cpu"], _s["wall"] = time.process_time_ns(), time.monotonic_ns()


def finish(count, check):
    wall, cpu = time.monotonic_ns() - _s["wall"], time.process_time_ns() - _s["cpu"]
    print(json.dumps(dict(count=count, check=check, wall_ns=wall, cpu_ns=cpu, rss0=_s["rss"],
                          peak=_status("VmHWM:"))), flush=True)


def delays():
    x = 1
    while True:
        x = (x * 1103515245 + 12345) & 0x7FFFFFFF
        yield x / 2147483648


def run(main, *args):
    """asyncio.run, on uvloop when the last word of argv is 'uvloop'."""
    if sys.argv[-1] == "uvloop":
        import uvloop
        uvloop.install()
    asyncio.run(main(*args))
