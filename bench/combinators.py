# SPDX-License-Identifier: MIT
"""The Python side of bench/combinators.lua: the same operations with the same sizes."""
import asyncio
import sys
import time


def nothing():
    pass


async def nothing_async():
    pass


def tasks(n, f, *args):
    return [asyncio.create_task(f(*args)) for _ in range(n)]


async def measure(name, n, f):
    times = []
    for _ in range(3):
        begin = time.process_time_ns()
        await f()
        times.append((time.process_time_ns() - begin) / n)
    print(f"{name}\t{sorted(times)[1]:.1f}", flush=True)


async def gather_at_once():
    for _ in range(20):
        await asyncio.gather(*tasks(1000, nothing_async))


async def gather_sleep():
    for _ in range(20):
        await asyncio.gather(*tasks(1000, asyncio.sleep, 0.001))


async def wait_at_once():
    for _ in range(20):
        await asyncio.wait(tasks(1000, nothing_async))


async def wait_sleep():
    for _ in range(20):
        await asyncio.wait(tasks(1000, asyncio.sleep, 0.001))


async def as_completed():
    for _ in range(20):
        for task in asyncio.as_completed(tasks(1000, nothing_async)):
            await task


async def wait_for():
    for _ in range(10000):
        await asyncio.wait_for(nothing_async(), 10)


async def once():
    await asyncio.sleep(0)


async def wait_for_waits():
    for _ in range(10000):
        await asyncio.wait_for(once(), 10)


async def timeout():
    for _ in range(10000):
        async with asyncio.timeout(10):
            await asyncio.sleep(0)


async def task_group():
    for _ in range(200):
        async with asyncio.TaskGroup() as group:
            for _ in range(100):
                group.create_task(nothing_async())


async def lock_free():
    lock = asyncio.Lock()
    for _ in range(100000):
        await lock.acquire()
        lock.release()


async def contend(lock):
    for _ in range(2000):
        await lock.acquire()
        await asyncio.sleep(0)
        lock.release()


async def lock_contended():
    await asyncio.gather(*tasks(10, contend, asyncio.Lock()))


async def semaphore():
    await asyncio.gather(*tasks(10, contend, asyncio.Semaphore(3)))


async def event():
    e = asyncio.Event()
    waiting = tasks(10000, e.wait)
    await asyncio.sleep(0)
    e.set()
    await asyncio.gather(*waiting)


async def call_soon():
    loop = asyncio.get_running_loop()
    for _ in range(100):
        for _ in range(1000):
            loop.call_soon(nothing)
        await asyncio.sleep(0)


async def call_later():
    loop = asyncio.get_running_loop()
    for _ in range(100000):
        loop.call_later(60, nothing).cancel()


async def main():
    await measure("gather, 1,000 that end at once", 20000, gather_at_once)
    await measure("gather, 1,000 that sleep", 20000, gather_sleep)
    await measure("wait, 1,000 that end at once", 20000, wait_at_once)
    await measure("wait, 1,000 that sleep", 20000, wait_sleep)
    await measure("as_completed, 1,000", 20000, as_completed)
    await measure("wait_for", 10000, wait_for)
    await measure("wait_for that waits", 10000, wait_for_waits)
    await measure("timeout", 10000, timeout)
    await measure("TaskGroup of 100", 20000, task_group)
    await measure("Lock, free", 100000, lock_free)
    await measure("Lock, 10 contend", 20000, lock_contended)
    await measure("Semaphore(3), 10 contend", 20000, semaphore)
    await measure("Event, 10,000 waiters", 10000, event)
    await measure("call_soon", 100000, call_soon)
    await measure("call_later and cancel", 100000, call_later)

if sys.argv[-1] == "uvloop":
    import uvloop

    uvloop.install()
asyncio.run(main())
