# SPDX-License-Identifier: MIT
import asyncio, sys
sys.path.insert(0, __file__.rsplit("/", 3)[0] + "/lib")
import benchutil


async def consumer(q, n):
    total = 0
    for _ in range(n):
        total += await q.get()
    return total


async def producer(q, n):
    for i in range(1, n + 1):
        await q.put(i)


async def main(n):
    q = asyncio.Queue(1)
    benchutil.begin()
    total, _ = await asyncio.gather(consumer(q, n), producer(q, n))
    benchutil.finish(n, total)

benchutil.run(main, int(sys.argv[1]))
