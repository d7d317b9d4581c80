"""Clients of a load balancer: `load.py PORT RATE STREAMS SECONDS FILE`. RATE new connections a second, and STREAMS that stay open.

Each connection asks for one line to come back, and is a line of FILE: `C BEGAN SERVER MILLISECONDS`, or `C BEGAN - WHY`. A stream asks
every half a second; `S WHEN SERVER WHY` tells of one that ended by itself, which is then opened anew.
"""
import asyncio
import sys
import time

PORT, RATE, STREAMS, SECONDS = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
OUT = open(sys.argv[5], "w", buffering=1, encoding="utf-8")
LIMIT_S = 10


async def line(reader):
    text = await asyncio.wait_for(reader.readline(), LIMIT_S)
    if not text:
        raise ConnectionError("it ended")
    return text.decode().strip()


async def asked(reader, writer):
    writer.write(b"hello\n")
    if await line(reader) != "hello":
        raise ConnectionError("another answer")


async def connection():
    began = time.time()
    writer = None
    try:
        reader, writer = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", PORT), LIMIT_S)
        server = await line(reader)
        await asked(reader, writer)
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
            reader, writer = await asyncio.wait_for(asyncio.open_connection("127.0.0.1", PORT), LIMIT_S)
            server = await line(reader)
            opened.set()
            while True:
                await asked(reader, writer)
                await asyncio.sleep(0.5)
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
