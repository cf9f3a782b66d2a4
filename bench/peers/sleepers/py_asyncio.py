# SPDX-License-Identifier: MIT
import asyncio, sys
sys.path.insert(0, __file__.rsplit("/", 3)[0] + "/lib")
import benchutil


async def sleeper(d, i):
    await asyncio.sleep(d)
    return i


async def main(n):
    delays = benchutil.delays()
    benchutil.begin()
    total = sum(await asyncio.gather(*[asyncio.create_task(sleeper(next(delays), i)) for i in range(1, n + 1)]))
    benchutil.finish(n, total)

benchutil.run(main, int(sys.argv[1]))
