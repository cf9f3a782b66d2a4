# SPDX-License-Identifier: MIT
import asyncio, sys
sys.path.insert(0, __file__.rsplit("/", 3)[0] + "/lib")
import benchutil


class Echo(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.transport.write(data)

    def pause_writing(self):
        self.transport.pause_reading()

    def resume_writing(self):
        self.transport.resume_reading()


async def main():
    server = await asyncio.get_running_loop().create_server(Echo, sys.argv[1], int(sys.argv[2]), backlog=1024)
    print("READY", flush=True)
    await server.serve_forever()

benchutil.run(main)
