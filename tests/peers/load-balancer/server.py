"""A server behind a load balancer, at 127.0.0.N: `server.py N`. Port 9443 takes connections whatever is wrong; port 9080 answers /ping.

A connection gets the server's name in a line; each line that it sends comes back. While /run/sick-N is there, /ping answers 503.
"""
import asyncio
import os
import sys

NUMBER = sys.argv[1]


async def serve(reader, writer):
    writer.write(f"{NUMBER}\n".encode())
    while line := await reader.readline():
        writer.write(line)
        await writer.drain()
    writer.close()


async def ping(reader, writer):
    await reader.readuntil(b"\r\n\r\n")
    status = "503 Service Unavailable" if os.path.exists(f"/run/sick-{NUMBER}") else "200 OK"
    writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
    await writer.drain()
    writer.close()


def quiet(*_):
    """Clients may go at any moment."""


async def main():
    asyncio.get_running_loop().set_exception_handler(quiet)
    await asyncio.start_server(serve, f"127.0.0.{NUMBER}", 9443, backlog=512)
    async with await asyncio.start_server(ping, f"127.0.0.{NUMBER}", 9080) as server:
        await server.serve_forever()


asyncio.run(main())
