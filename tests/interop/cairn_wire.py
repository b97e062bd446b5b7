"""The part of PROTOCOL.md that a reader in another language needs, on pyzmq and msgpack."""

import os
import time

import msgpack
import xxhash
import zmq

(HELLO, BYE, HEARTBEAT, PING, PONG, ERROR) = range(1, 7)
(SUBSCRIBE, SUBSCRIBED, HEADS, DIGEST, BATCH, GONE, CREDIT, UNSUBSCRIBE, FENCED, REPAIR,
 END) = range(10, 21)
(ATTACH, ATTACHED, JOBS, ACK, NACK, REJECT, EXTEND, RELEASE, WORK_CREDIT, DETACH,
 JOB_REFUSED, BEGUN) = range(30, 42)
(OPEN_SOURCE, SOURCE_OPENED, APPEND, CONFIRM, APPEND_REFUSED, LOST, CLOSE_SOURCE, LOCATE, LOCATED,
 ATTACH_GROUP, GROUP_ATTACHED, ACKED) = range(50, 62)
FIRST_STORED = 1  # where a new group begins
CLOSED = 1  # of ERROR: the node is about to say BYE
LOST_BY_SOURCE = 515  # cause of a GONE: never appended
BATCH_CHARGE = 512
SILENCE_MAX_S, GREETING_MAX_S = 3.5, 10
CREDIT_REPORT = 256 << 10


class LinkLost(SystemExit):
    """The link is over. Who goes on makes a new one; for others it is the end."""


class Link:
    """One connection to a node (section 3, 8.1, 8.6). Without `greeting_s` the node's HELLO comes
    out of take(), and before it nothing but HELLO may be sent."""

    def __init__(self, endpoint, name, greeting_s=GREETING_MAX_S):
        self.socket = zmq.Context.instance().socket(zmq.DEALER)
        self.socket.linger = 1000
        self.socket.connect(endpoint)
        self.sent = self.heard = time.monotonic()
        self.greeted = False
        self.send(HELLO, 1, 1, os.urandom(16), name, 64 << 20, False)
        if greeting_s:
            assert self.receive(greeting_s)[0] == HELLO

    def send(self, *frame):
        self.socket.send(msgpack.packb(frame, use_bin_type=True))
        self.sent = time.monotonic()

    def receive(self, seconds):
        """The next frame, waited for; None when the time is over."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            wait([self], left)
            if frame := self.take():
                return frame
        return None

    def take(self):
        """The next frame that has come and is not the link's own business: a list, for BATCH and
        JOBS with body as its last item. None when there is none."""
        if self.greeted and time.monotonic() - self.sent > 0.5:
            self.send(HEARTBEAT)
        patience = SILENCE_MAX_S if self.greeted else GREETING_MAX_S
        if not self.socket.poll(0) and time.monotonic() - self.heard > patience:
            raise LinkLost("it is silent")
        while self.socket.poll(0):
            parts = self.socket.recv_multipart()
            self.heard = time.monotonic()
            unpacker = msgpack.Unpacker(raw=False, max_buffer_size=len(parts[0]))
            unpacker.feed(parts[0])
            frame = unpacker.unpack()
            if frame[0] in (BATCH, JOBS):
                frame.append(parts[1] if len(parts) == 2 else parts[0][unpacker.tell():])
            if frame[0] == PING:
                self.send(PONG, frame[1])
            elif frame[0] == HELLO:
                assert frame[2] <= 1 <= frame[1], frame
                self.greeted = True
                return frame
            elif frame[0] == BYE:
                raise LinkLost(f"the node says BYE {frame[1]}: {frame[2]}")
            elif frame[0] == ERROR:
                why = LinkLost if frame[2] == CLOSED else SystemExit
                raise why(f"the node says ERROR {frame[2]}: {frame[3]}")
            elif frame[0] != HEARTBEAT:
                return frame
        return None

    def close(self):
        self.send(BYE, 1, "done")
        self.socket.close()

    def drop(self):
        self.socket.close(linger=0)


class Subscription:
    """A subscription on a link, with credit for `window` bytes ahead of its reader (8.2, 8.3)."""

    def __init__(self, link, channel, window, pattern, start, points=()):
        self.link, self.channel, self.window = link, channel, window
        self.consumed = self.reported = self.credits = 0
        link.send(SUBSCRIBE, channel, pattern, start, window, False, points)

    def consume(self, frame):
        self.consumed += len(frame[-1]) + BATCH_CHARGE
        if self.consumed - self.reported >= min(self.window // 4, CREDIT_REPORT):
            self.reported = self.consumed
            self.credits += 1
            self.link.send(CREDIT, self.channel, self.consumed + self.window, self.consumed)

    def repair(self, point):
        self.link.send(REPAIR, self.channel, point)

    def end(self):
        self.link.send(UNSUBSCRIBE, self.channel)


def wait(links, seconds=0.25):
    """Until a frame has come on one of the links, at most for a heartbeat's time."""
    poller = zmq.Poller()
    for link in links:
        poller.register(link.socket, zmq.POLLIN)
    poller.poll(min(seconds, 0.25) * 1000)


def messages(frame):
    """The (sequence, attributes, body) of a BATCH or JOBS (section 7)."""
    body, first, count = frame[-1], frame[5], frame[6]
    assert xxhash.xxh3_64_intdigest(body) == frame[9], "checksum"
    at = 0
    for sequence in range(first, first + count):
        word = int.from_bytes(body[at:at + 4], "little")
        record = body[at + 4:at + 4 + (word & 0x7FFFFFFF)]
        at += 4 + len(record)
        attributes = {}
        if word >> 31:
            unpacker = msgpack.Unpacker(raw=False, strict_map_key=False)
            unpacker.feed(record)
            attributes = unpacker.unpack()
            record = record[unpacker.tell():]
        yield sequence, attributes, record
    assert at == len(body), "records"


def stream_digest(topic, source, epoch, last):
    return xxhash.xxh3_64_intdigest(topic.encode() + b"\0" + source.encode() + b"\0" +
                                    epoch.to_bytes(8, "little") + last.to_bytes(8, "little"))
