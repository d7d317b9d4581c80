"""When connections begin, answered or not: `opened.py CARD PORT FILE`. Each one to PORT whose first packet CARD receives is a line: `WHEN ADDRESS`."""
import ctypes
import socket
import struct
import sys
import time

CARD, PORT = sys.argv[1], int(sys.argv[2])
# A card of a bridge gives packets away before those who want one protocol see them.
EVERY_PROTOCOL = 0x0003
ATTACH_FILTER = 26
# Of TCP in IPv4 the packets that begin a connection (SYN without ACK); linux/filter.h has the instructions.
FIRST_PACKETS = [
    (0x28, 0, 0, 12), (0x15, 0, 7, 0x0800),  # the frame's protocol
    (0x30, 0, 0, 23), (0x15, 0, 5, 6),  # the packet's protocol
    (0xB1, 0, 0, 14),  # the length of the packet's head
    (0x50, 0, 0, 14 + 13), (0x54, 0, 0, 0x12), (0x15, 0, 1, 0x02),  # flags
    (0x06, 0, 0, 0xFFFF), (0x06, 0, 0, 0),
]

heard = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(EVERY_PROTOCOL))
program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *instruction) for instruction in FIRST_PACKETS))
heard.setsockopt(socket.SOL_SOCKET, ATTACH_FILTER, struct.pack("HL", len(FIRST_PACKETS), ctypes.addressof(program)))
heard.bind((CARD, EVERY_PROTOCOL))
known = set()
with open(sys.argv[3], "w", buffering=1, encoding="utf-8") as out:
    while True:
        try:
            frame, (_, _, kind, *_) = heard.recvfrom(2048)
        except OSError as error:  # the cable is taken out when the world ends
            sys.exit(f"{CARD}: {error.strerror}")
        packet = frame[14:]
        source, target, number = struct.unpack("!HHI", packet[(packet[0] & 15) * 4:][:8])
        # A packet that is sent again has its number again.
        if kind != socket.PACKET_OUTGOING and target == PORT and (source, number) not in known:
            known.add((source, number))
            print(f"{time.time():.3f}", socket.inet_ntoa(packet[16:20]), file=out)
