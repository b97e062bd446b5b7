"""A durable cairn subscriber, written from PROTOCOL.md alone (8.7).

usage: durable_subscriber.py STORE TOPIC GROUP LAST [PUBLISHER] [leave NUMBER]

A member of GROUP that reads from the store and from PUBLISHER, takes each message from whoever has
it first, and acks it. It goes on when a link breaks, when store or publisher start again, and
behind what is gone. Bodies are "message N ...": they come in order, and it stops when N is LAST and
all acks are durable. With `leave` it takes nothing behind NUMBER and goes away without a word.
"""

import sys
import time
from collections import deque

from cairn_wire import (ACK, ACKED, ATTACH_GROUP, BATCH, END, FIRST_STORED, GONE, GROUP_ATTACHED,
                        HEADS, HELLO, LOST_BY_SOURCE, SUBSCRIBED, Link, LinkLost, Subscription,
                        messages, wait)

GROUP_CHANNEL, CHANNEL, WINDOW, EARLIEST, UNCOUNTED_MAX = 1, 2, 256 << 10, 1, 500


class Side:
    """The store or the publisher: the link, and the subscription there."""

    def __init__(self, endpoint, name):
        self.endpoint, self.name, self.given = endpoint, name, 0
        self.connect()

    def connect(self):
        self.link, self.stream = Link(self.endpoint, "python", greeting_s=0), None


class DurableSubscriber:
    def __init__(self, store, publisher, topic, group, until):
        self.store, self.publisher, self.topic, self.group = store, publisher, topic, group
        self.at = {}  # source: its run and the next sequence of it
        self.done = {}  # (source, epoch): ranges behind that
        self.held = {}  # source: its run and the first sequence that the publisher holds
        self.acks, self.uncounted, self.counted, self.attached = deque(), deque(), 0, False
        self.number, self.until, self.gaps, self.live, self.mended = None, until, 0, False, 0

    def subscribe(self, side):
        if side and side.link.greeted and self.attached and not side.stream:
            points = [[self.topic, source, *at] for source, at in self.at.items()]
            side.stream = Subscription(side.link, CHANNEL, WINDOW, self.topic, EARLIEST, points)

    def lost(self, side, why):
        print(f"lost the {side.name}: {why}", flush=True)
        side.link.drop()
        side.connect()
        if side is self.store:  # what it did not count is acked again (21)
            self.acks.extendleft(reversed(self.uncounted))
            self.uncounted.clear()
            self.counted, self.attached = 0, False
        else:
            self.held.clear()

    def group_attached(self, frame):
        _, _, _, active, more, points, done = frame
        for source, epoch, upcoming in points:
            self.at[source] = max(self.at.get(source, (0, 0)), (epoch, upcoming))
        for source, epoch, (first, last) in done:
            self.done.setdefault((source, epoch), []).append((first, last))
        if active and not more:
            print(f"attached at {self.at}", flush=True)
            self.attached = True
            self.subscribe(self.store)
            self.subscribe(self.publisher)

    def head(self, side, source, epoch, first_held, _, sent):
        run, upcoming = self.at.setdefault(source, (epoch, 1))
        if side is self.publisher:
            self.held[source] = epoch, first_held
            if sent > upcoming:
                self.mend(source)
        elif epoch > run:  # all that the store has of the older run was sent (9, 18)
            print(f"run {epoch} of {source} begins", flush=True)
            self.at[source] = epoch, 1

    def held_live(self, source):
        """Whether the publisher holds what comes next (13)."""
        epoch, first_held = self.held.get(source, (0, 0))
        return epoch == self.at[source][0] and first_held <= self.at[source][1]

    def mend(self, source):
        """Lets the publisher go on from here (15)."""
        if self.held_live(source) and time.monotonic() - self.mended > 1:
            self.mended = time.monotonic()
            self.publisher.stream.repair([self.topic, source, *self.at[source]])

    def batch(self, side, frame):
        source, epoch, first = frame[3:6]
        run, upcoming = self.at.setdefault(source, (epoch, 1))
        side.stream.consume(frame)
        if epoch == run and first > upcoming:
            self.mend(source)
        elif epoch == run:
            for sequence, _, body in messages(frame):
                if sequence == upcoming and self.number != self.until:
                    upcoming += 1
                    self.at[source] = epoch, upcoming
                    self.give(side, source, epoch, sequence, body)

    def give(self, side, source, epoch, sequence, body):
        if any(a <= sequence <= b for a, b in self.done.get((source, epoch), ())):
            return
        number = int(bytes(body).split()[1])
        assert self.number in (None, number - 1), f"{number} behind {self.number}"
        self.number = number
        side.given += 1
        self.ack(source, epoch, sequence, sequence)

    def gone(self, side, frame):
        source, epoch, (first, last), cause = frame[3], frame[4], frame[5][:2], frame[6]
        run, upcoming = self.at.setdefault(source, (epoch, 1))
        if epoch != run or not first <= upcoming <= last:
            return
        if side is self.publisher:
            self.held[source] = epoch, last + 1
            return
        print(f"gap {upcoming} to {last}: {cause}", flush=True)
        self.gaps, self.number = self.gaps + 1, None
        if cause != LOST_BY_SOURCE:
            self.ack(source, epoch, upcoming, last)
        self.at[source] = epoch, last + 1

    def ack(self, source, epoch, first, last):
        self.acks.append((source, epoch, [[first, last]]))

    def send_acks(self):
        while self.attached and self.acks and len(self.uncounted) < UNCOUNTED_MAX:
            self.uncounted.append(self.acks.popleft())
            self.store.link.send(ACK, GROUP_CHANNEL, *self.uncounted[-1])

    def take(self, side, frame):
        kind = frame[0]
        if kind == HELLO and side is self.store:
            side.link.send(ATTACH_GROUP, GROUP_CHANNEL, self.topic, self.group, "python", 0,
                           FIRST_STORED, 0)
        elif kind == HELLO:
            self.subscribe(side)
        elif kind == GROUP_ATTACHED:
            self.group_attached(frame)
        elif kind == ACKED:
            for self.counted in range(self.counted + 1, frame[2] + 1):
                self.uncounted.popleft()
        elif kind in (SUBSCRIBED, HEADS):
            for head in frame[3 if kind == SUBSCRIBED else 2]:
                self.head(side, *head[1:6])
        elif kind == BATCH:
            self.batch(side, frame)
        elif kind == GONE:
            self.gone(side, frame)
        elif kind == END:
            self.held.pop(frame[3], None)

    def run(self):
        """Until the message with the last number is given, and every ack is durable."""
        sides = [side for side in (self.store, self.publisher) if side]
        while self.number != self.until or self.acks or self.uncounted:
            wait([side.link for side in sides])
            for side in sides:
                try:
                    while frame := side.link.take():
                        self.take(side, frame)
                except LinkLost as why:
                    self.lost(side, why)
            self.send_acks()
            live = bool(self.at) and all(map(self.held_live, self.at))
            if live != self.live:
                self.live = live
                print(f"live at {self.at}" if live else f"no more live at {self.at}", flush=True)


store, topic, group, last, *rest = sys.argv[1:]
leave = int(rest.pop()) if "leave" in rest else None
rest = [word for word in rest if word != "leave"]
reader = DurableSubscriber(Side(store, "store"), Side(rest[0], "publisher") if rest else None,
                           topic, group, leave or int(last))
reader.run()
if leave is None:
    for side in filter(None, (reader.store, reader.publisher)):
        side.link.close()
print(f"from the store {reader.store.given} from the publisher "
      f"{reader.publisher.given if reader.publisher else 0} live {reader.live} gaps {reader.gaps}")
