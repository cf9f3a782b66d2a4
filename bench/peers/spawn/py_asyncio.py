# SPDX-License-Identifier: MIT
import asyncio, sys
sys.path.insert(0, __file__.rsplit("/", 3)[0] + "/lib")
import benchutil


async def f(i):
    return i


async def main(n, batch):
    total = 0
    benchutil.begin()
    for base in range(0, n, batch):
        total += sum(await asyncio.gather(*[asyncio.create_task(f(base + i)) for i in range(1, batch + 1)]))
    benchutil.finish(n, total)

benchutil.run(main, int(sys.argv[1]), int(sys.argv[2]))
