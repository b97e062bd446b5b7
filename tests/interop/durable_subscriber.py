"""A durable cairn subscriber, written from PROTOCOL.md alone (8.7).

usage: durable_subscriber.py STORE TOPIC GROUP LAST [PUBLISHER] [leave NUMBER]

A member of GROUP that reads from the store, goes live at PUBLISHER when it can, and acks what it
gave. It goes on when a link breaks, when store or publisher start again, and behind what is gone.
Bodies are "message N ...": they come in order, and it stops when N is LAST and all acks are
durable. With `leave` it takes nothing behind NUMBER and goes away without a word. The last line
tells how many came from where.
"""

import sys
import time
from collections import deque

from cairn_wire import (ACK, ACKED, ATTACH_GROUP, BATCH, BATCH_CHARGE, CREDIT, END, FIRST_STORED,
                        GONE, GROUP_ATTACHED, HEADS, HELLO, LOST_BY_SOURCE, REPAIR, SUBSCRIBE,
                        SUBSCRIBED, UNSUBSCRIBE, Link, LinkLost, messages, wait)

GROUP_CHANNEL, WINDOW, EARLIEST, UNCOUNTED_MAX = 1, 256 << 10, 1, 500


class Side:
    """A subscription at the store or at the publisher: its link, channel and credit."""

    def __init__(self, endpoint, name):
        self.endpoint, self.name, self.given = endpoint, name, 0
        self.connect()

    def connect(self):
        self.link = Link(self.endpoint, "python", greeting_s=0)
        self.channel, self.open = GROUP_CHANNEL, False

    def subscribe(self, topic, points, window=WINDOW):
        if self.open:
            self.link.send(UNSUBSCRIBE, self.channel)
        self.channel, self.open = self.channel + 1, True
        self.window, self.consumed, self.reported = window, 0, 0
        self.link.send(SUBSCRIBE, self.channel, topic, EARLIEST, window, False, points)

    def consume(self, frame):
        self.consumed += len(frame[-1]) + BATCH_CHARGE
        if self.window and self.consumed - self.reported >= WINDOW // 4:
            self.reported = self.consumed
            self.link.send(CREDIT, self.channel, self.consumed + WINDOW, self.consumed)


class DurableSubscriber:
    def __init__(self, store, publisher, topic, group, until):
        self.store, self.publisher, self.topic, self.group = store, publisher, topic, group
        self.at = {}  # source: its run and the next sequence of it
        self.done = {}  # (source, epoch): ranges behind that
        self.stored = {}  # (source, epoch): the last that the store told
        self.held = {}  # source: its run and the first sequence that the publisher holds
        self.acks, self.uncounted, self.counted = deque(), deque(), 0
        self.attached = self.live = False
        self.number, self.until, self.gaps, self.repaired = None, until, 0, 0

    def points(self):
        return [[self.topic, source, *position] for source, position in self.at.items()]

    def greeted(self, side):
        if side is self.store:
            side.link.send(ATTACH_GROUP, GROUP_CHANNEL, self.topic, self.group, "python", 0,
                           FIRST_STORED, 0)
        elif self.attached:
            side.subscribe(self.topic, self.points())

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
            self.settle()

    def group_attached(self, frame):
        _, _, _, active, more, points, done = frame
        for source, epoch, upcoming in points:
            self.at[source] = max(self.at.get(source, (0, 0)), (epoch, upcoming))
        for source, epoch, (first, last) in done:
            self.done.setdefault((source, epoch), []).append((first, last))
        if active and not more:
            print(f"attached at {self.at}", flush=True)
            self.attached = True
            self.store.subscribe(self.topic, self.points(), 0 if self.live else WINDOW)
            if self.publisher and self.publisher.link.greeted and not self.publisher.open:
                self.publisher.subscribe(self.topic, self.points())

    def settle(self):
        """The publisher serves while its ring has the next positions, the store if not (13-16)."""
        live = bool(self.at) and all(
            source in self.held and self.held[source][0] == epoch
            and self.held[source][1] <= upcoming for source, (epoch, upcoming) in self.at.items())
        if live == self.live:
            return
        self.live, self.repaired = live, 0
        print(f"live at {self.at}" if live else f"no more live at {self.at}", flush=True)
        for source in self.at if live else ():
            self.repair(source)
        if self.attached:
            self.store.subscribe(self.topic, self.points(), 0 if live else WINDOW)

    def repair(self, source):
        if time.monotonic() - self.repaired > 1:
            self.repaired = time.monotonic()
            self.publisher.link.send(REPAIR, self.publisher.channel,
                                     [self.topic, source, *self.at[source]])

    def head(self, side, head):
        _, source, epoch, first_held, last, sent = head[:6]
        run, upcoming = self.at.setdefault(source, (epoch, 1))
        if side is self.publisher:
            self.held[source] = epoch, first_held
        elif epoch >= run:
            self.stored[source, epoch] = last
        if side is self.store and epoch > run:  # all of the older run was told (9, 18)
            stored = self.stored.get((source, run), upcoming - 1)
            if stored < upcoming - 1:
                print(f"orphaned {stored + 1} to {upcoming - 1}", flush=True)
            print(f"run {epoch} of {source} begins", flush=True)
            self.at[source] = epoch, 1
        self.settle()
        if side is self.publisher and self.live and epoch == run and sent > upcoming:
            self.repair(source)

    def batch(self, side, frame):
        source, epoch, first = frame[3:6]
        run, upcoming = self.at.setdefault(source, (epoch, 1))
        side.consume(frame)
        if epoch != run or first > upcoming:
            if side is self.publisher and self.live:
                self.repair(source)
            return
        for sequence, _, body in messages(frame):
            if sequence < upcoming or self.number == self.until:
                continue
            upcoming = sequence + 1
            if not any(a <= sequence <= b for a, b in self.done.get((source, epoch), ())):
                number = int(bytes(body).split()[1])
                assert self.number in (None, number - 1), f"{number} behind {self.number}"
                self.number = number
                side.given += 1
                self.ack(source, epoch, sequence, sequence)
        self.at[source] = epoch, upcoming
        self.settle()

    def gone(self, side, frame):
        source, epoch, (first, last), cause = frame[3], frame[4], frame[5][:2], frame[6]
        run, upcoming = self.at.setdefault(source, (epoch, 1))
        if epoch != run or not first <= upcoming <= last:
            return
        if side is self.publisher:
            self.held[source] = epoch, last + 1
        else:
            print(f"gap {upcoming} to {last}: {cause}", flush=True)
            self.gaps, self.number = self.gaps + 1, None
            if cause != LOST_BY_SOURCE:
                self.ack(source, epoch, upcoming, last)
            self.at[source] = epoch, last + 1
        self.settle()

    def ack(self, source, epoch, first, last):
        if self.acks and self.acks[-1][:2] == [source, epoch] and self.acks[-1][3] + 1 == first:
            self.acks[-1][3] = last
        else:
            self.acks.append([source, epoch, first, last])

    def send_acks(self):
        while self.attached and self.acks and len(self.uncounted) < UNCOUNTED_MAX:
            source, epoch, first, last = self.acks.popleft()
            self.uncounted.append([source, epoch, first, last])
            self.store.link.send(ACK, GROUP_CHANNEL, source, epoch, [[first, last]])

    def take(self, side, frame):
        kind, channel = frame[:2]
        if kind == HELLO:
            self.greeted(side)
        elif kind == GROUP_ATTACHED:
            self.group_attached(frame)
        elif kind == ACKED:
            for self.counted in range(self.counted + 1, frame[2] + 1):
                self.uncounted.popleft()
        elif not side.open or channel != side.channel:
            return  # was under way when the subscription ended
        elif kind in (SUBSCRIBED, HEADS):
            for head in frame[3 if kind == SUBSCRIBED else 2]:
                self.head(side, head)
        elif kind == BATCH:
            self.batch(side, frame)
        elif kind == GONE:
            self.gone(side, frame)
        elif kind == END and side is self.publisher:
            self.held.pop(frame[3], None)
            self.settle()

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
