# SPDX-License-Identifier: MIT
import asyncio, sys
sys.path.insert(0, __file__.rsplit("/", 3)[0] + "/lib")
import benchutil

count = 0


async def task(each):
    global count
    for _ in range(each):
        await asyncio.sleep(0)
        count += 1


async def main(tasks, total):
    benchutil.begin()
    await asyncio.gather(*[asyncio.create_task(task(total // tasks)) for _ in range(tasks)])
    benchutil.finish(total, count)

benchutil.run(main, int(sys.argv[1]), int(sys.argv[2]))
