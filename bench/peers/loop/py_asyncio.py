# SPDX-License-Identifier: MIT
import asyncio, sys
sys.path.insert(0, __file__.rsplit("/", 3)[0] + "/lib")
import benchutil


async def main(n):
    loop, left = asyncio.get_running_loop(), n
    await asyncio.start_server(lambda r, w: None, "127.0.0.1", 0)
    done = loop.create_future()

    def turn():
        nonlocal left
        left -= 1
        if left:
            loop.call_soon(turn)
        else:
            done.set_result(None)

    benchutil.begin()
    loop.call_soon(turn)
    await done
    benchutil.finish(n, n - left)

benchutil.run(main, int(sys.argv[1]))
