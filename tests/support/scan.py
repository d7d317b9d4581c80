"""Says which TCP ports of an address take connections, and which UDP ports do not say that nobody is there.

  scan.py ADDRESS              every TCP port, one a line
  scan.py ADDRESS PORT…        these UDP ports
"""
import errno
import resource
import select
import socket
import sys
import time

AT_ONCE = 8000
SECONDS = 1.0


def tcp(address):
    resource.setrlimit(resource.RLIMIT_NOFILE, (AT_ONCE + 100, max(AT_ONCE + 100, resource.getrlimit(resource.RLIMIT_NOFILE)[1])))
    for first in range(1, 65536, AT_ONCE):
        poll, asked = select.poll(), {}
        for port in range(first, min(first + AT_ONCE, 65536)):
            asking = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            asking.setblocking(False)
            began = asking.connect_ex((address, port))
            if began not in (0, errno.EINPROGRESS):
                asking.close()
                continue
            asked[asking.fileno()] = (port, asking)
            poll.register(asking, select.POLLOUT)
        until = time.monotonic() + SECONDS
        while asked and time.monotonic() < until:
            for number, _ in poll.poll(100):
                port, asking = asked.pop(number)
                poll.unregister(number)
                if asking.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                    print(port, flush=True)
                asking.close()
        for _, asking in asked.values():
            asking.close()


def udp(address, ports):
    for port in ports:
        asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        asking.settimeout(SECONDS)
        asking.connect((address, port))
        try:
            asking.send(b"?")
            asking.recv(1)
            print(port, flush=True)
        except ConnectionRefusedError:
            pass
        except OSError:
            print(port, flush=True)


if len(sys.argv) > 2:
    udp(sys.argv[1], [int(port) for port in sys.argv[2:]])
else:
    tcp(sys.argv[1])
