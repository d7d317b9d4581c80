"""Clients of a load balancer: `load.py ADDRESS:PORT RATE STREAMS SECONDS FILE [NAME AUTHORITY CLIENT]`.

RATE new connections a second, and STREAMS that stay open. They speak lines with server.py. With a NAME they speak HTTPS with the host of that
name: the file AUTHORITY has to vouch for its certificate, and the application (tests/peers/go/echo) has to see the address CLIENT.

Each connection asks once, and is a line of FILE: `C BEGAN SERVER MILLISECONDS`, or `C BEGAN - WHY`. A stream asks every half a second;
`T WHEN SERVER` tells of one that was opened, `S WHEN SERVER WHY` of one that ended by itself, which is then opened anew.
"""
import asyncio
import ssl
import sys
import time

(HOST, PORT), (RATE, STREAMS, SECONDS) = sys.argv[1].rsplit(":", 1), map(int, sys.argv[2:5])
OUT = open(sys.argv[5], "w", buffering=1, encoding="utf-8")
LIMIT_S = 10


async def line(reader):
    text = await asyncio.wait_for(reader.readline(), LIMIT_S)
    if not text:
        raise ConnectionError("it ended")
    return text.decode().strip()


class Lines:
    """A server says its name, and sends back each line."""

    options = {}

    async def first(self, reader, writer):
        server = await line(reader)
        await self.again(reader, writer)
        return server

    async def again(self, reader, writer):
        writer.write(b"hello\n")
        if await line(reader) != "hello":
            raise ConnectionError("another answer")


class Https:
    """An application that answers with its name in a line, and with the headers that reached it."""

    def __init__(self, name, authority, client):
        self.request = f"GET / HTTP/1.1\r\nHost: {name}\r\n\r\n".encode()
        self.seen = f"X-Forwarded-For: {client}"
        self.options = {"ssl": ssl.create_default_context(cafile=authority), "server_hostname": name}

    async def first(self, reader, writer):
        writer.write(self.request)
        status, length = await line(reader), 0
        while header := await line(reader):
            name, _, value = header.partition(":")
            length = int(value) if name.lower() == "content-length" else length
        body = (await asyncio.wait_for(reader.readexactly(length), LIMIT_S)).decode().splitlines()
        if status != "HTTP/1.1 200 OK":
            raise ConnectionError(f"{status}: {body}")
        if self.seen not in body:
            raise ConnectionError(f"the application sees another client: {body}")
        return body[0]

    again = first


SPEAK = Https(*sys.argv[6:]) if sys.argv[6:] else Lines()


async def open_one():
    return await asyncio.wait_for(asyncio.open_connection(HOST, int(PORT), **SPEAK.options), LIMIT_S)


async def connection():
    began = time.time()
    writer = None
    try:
        reader, writer = await open_one()
        server = await SPEAK.first(reader, writer)
        print("C", f"{began:.3f}", server, f"{(time.time() - began) * 1000:.0f}", file=OUT)
    except Exception as error:  # whatever it is, a connection was lost
        print("C", f"{began:.3f}", "-", repr(error), file=OUT)
    finally:
        if writer:
            writer.close()


async def stream(opened):
    while True:
        server = "-"
        try:
            reader, writer = await open_one()
            server = await SPEAK.first(reader, writer)
            print("T", f"{time.time():.3f}", server, "", file=OUT)
            opened.set()
            while True:
                await asyncio.sleep(0.5)
                await SPEAK.again(reader, writer)
        except Exception as error:  # as above
            print("S", f"{time.time():.3f}", server, repr(error), file=OUT)
            await asyncio.sleep(0.5)


async def main():
    opened = [asyncio.Event() for _ in range(STREAMS)]
    tasks = {asyncio.create_task(stream(event)) for event in opened}
    # As many on each server: until NGINX reloads, it gives new connections to the one that has the fewest.
    for event in opened:
        await event.wait()
    began = time.monotonic()
    for number in range(RATE * SECONDS):
        await asyncio.sleep(max(0, began + number / RATE - time.monotonic()))
        task = asyncio.create_task(connection())
        tasks.add(task)
        task.add_done_callback(tasks.discard)


asyncio.run(main())
