"""A cairn subscriber written from PROTOCOL.md alone.

usage: subscriber.py ENDPOINT PATTERN COUNT [lose SEQUENCE | from-start]

Follows one stream until END and checks that messages 1 to COUNT came in order and once,
"message N" each but those that GONE named. `lose SEQUENCE` throws the first batch with that
message away, as a broken connection would, and has it repaired. `from-start` learns the epoch
and then asks from message 1 on.
"""

import sys

from cairn_wire import (BATCH, DIGEST, END, GONE, HEADS, SUBSCRIBED, Link, Subscription, messages,
                        stream_digest)

LIVE, WINDOW = 0, 64 << 10


class Subscriber:
    def __init__(self, link, pattern, lose, from_start):
        self.link, self.pattern, self.lose, self.from_start = link, pattern, lose, from_start
        self.topic = self.source = self.epoch = None
        self.next, self.got, self.gone, self.repaired, self.digests = 1, 0, 0, 0, 0
        self.here = Subscription(link, 1, WINDOW, pattern, LIVE)

    def restart(self):
        """The same again from message 1, as a new subscription."""
        self.here.end()
        self.next, self.from_start = 1, False
        first = [self.topic, self.source, self.epoch, 1]
        self.here = Subscription(self.link, 2, WINDOW, self.pattern, LIVE, [first])

    def repair(self):
        self.repaired += 1
        self.here.repair([self.topic, self.source, self.epoch, self.next])

    def head(self, topic, source, epoch, first_held, last, upcoming):
        if self.epoch is None:
            self.topic, self.source, self.epoch, self.next = topic, source, epoch, upcoming
            print(f"attached, next {upcoming}", flush=True)
            if self.from_start:
                self.restart()
        elif upcoming > self.next:
            self.repair()

    def batch(self, frame):
        first, count = frame[5], frame[6]
        if self.lose is not None and first <= self.lose < first + count:
            self.lose = None
            return self.here.consume(frame)
        if first > self.next:
            self.repair()
        for sequence, attributes, body in messages(frame):
            if sequence != self.next:
                continue  # a duplicate, or behind a hole
            assert bytes(body).startswith(b"message %d " % sequence), body[:40]
            if sequence % 10 == 0:
                assert attributes[1] == b"key" and attributes[4] == {"n": str(sequence)}, attributes
            self.next += 1
            self.got += 1
        self.here.consume(frame)

    def run(self):
        while frame := self.link.receive(30):
            kind = frame[0]
            if frame[1] != self.here.channel:
                continue  # was under way when the subscription ended
            if kind in (SUBSCRIBED, HEADS):
                for head in frame[3 if kind == SUBSCRIBED else 2]:
                    self.head(*head[:6])
            elif kind == BATCH:
                self.batch(frame)
            elif kind == GONE:
                first, last = frame[5][:2]
                if first <= self.next <= last:
                    self.gone += last - self.next + 1
                    self.next = last + 1
            elif kind == DIGEST:
                want = stream_digest(self.topic, self.source, self.epoch, self.next - 1)
                assert frame[2:4] == [1, want], frame
                self.digests += 1
                print("quiet", flush=True)
            elif kind == END:
                assert frame[5] == self.next - 1, (frame, self.next)
                return self.next - 1
        raise SystemExit("nothing came for 30 s")


endpoint, pattern, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
mode = sys.argv[4] if len(sys.argv) > 4 else ""
link = Link(endpoint, "python")
reader = Subscriber(link, pattern, int(sys.argv[5]) if mode == "lose" else None,
                    mode == "from-start")
last = reader.run()
assert last == count and reader.got + reader.gone == count, (last, reader.got, reader.gone)
assert mode != "lose" or reader.repaired > 0
reader.here.end()
link.close()
print(f"received {reader.got} gone {reader.gone} credits {reader.here.credits} "
      f"digests {reader.digests}")
