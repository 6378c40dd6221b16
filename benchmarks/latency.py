"""Latency: a TCP proxy that holds back what a client sends, as a distant server would feel.

`python -m benchmarks.latency PORT UPSTREAM SECONDS`. HTTP without pipelining sends a request and
waits for its answer, so every request waits once.
"""

import asyncio
import contextlib
import sys

CHUNK_BYTES = 1 << 20


async def serve(port: int, upstream: int, seconds: float) -> None:
    """Until it is ended."""

    async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", upstream)
        await asyncio.gather(_pump(reader, back, seconds), _pump(there, writer, 0.0))

    server = await asyncio.start_server(connect, "127.0.0.1", port, backlog=512)
    async with server:
        await server.serve_forever()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, wait: float) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(CHUNK_BYTES):
            if wait:
                await asyncio.sleep(wait)
            writer.write(data)
            await writer.drain()
    writer.close()


if __name__ == "__main__":
    _, own_port, upstream_port, latency = sys.argv
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(int(own_port), int(upstream_port), float(latency)))
