"""A durable cairn subscriber, written from PROTOCOL.md alone (8.7).

usage: durable_subscriber.py STORE TOPIC GROUP LAST [PUBLISHER]

A member of GROUP that reads from the store and from PUBLISHER, takes each message from whoever has
it first, and acks it. It goes on when a link breaks, when store or publisher start again, and
behind what is gone. Bodies are "message N ...": they come in order, and it stops when N is LAST and
all acks are durable.
"""

import sys
import time
from collections import Counter, deque

from cairn_wire import (ACK, ACKED, ATTACH_GROUP, BATCH, END, FIRST_STORED, GONE, GROUP_ATTACHED,
                        HEADS, HELLO, LOST_BY_SOURCE, SUBSCRIBED, Link, LinkLost, Subscription,
                        messages, wait)

GROUP_CHANNEL, CHANNEL, WINDOW, EARLIEST, UNCOUNTED_MAX = 1, 2, 256 << 10, 1, 500


class DurableSubscriber:
    def __init__(self, endpoints, topic, group, until):
        self.endpoints, self.topic, self.group, self.until = endpoints, topic, group, until
        self.links, self.streams = {}, {}  # of "store" and "publisher"
        self.at = {}  # source: its run and the next sequence of it
        self.done = {}  # (source, epoch): ranges behind that
        self.held = {}  # source: its run and the first sequence that the publisher holds
        self.acks, self.uncounted, self.counted, self.attached = deque(), deque(), 0, False
        self.number, self.given, self.live, self.mended = None, Counter(), False, 0
        for name in endpoints:
            self.connect(name)

    def connect(self, name):
        self.links[name] = Link(self.endpoints[name], "python", greeting_s=0)
        self.streams.pop(name, None)
        if name == "publisher":
            self.held.clear()
        else:  # what it did not count is acked again (22)
            self.acks.extendleft(reversed(self.uncounted))
            self.uncounted.clear()
            self.counted, self.attached = 0, False

    def subscribe(self, name):
        """From where it is, as soon as it knows and is greeted."""
        if self.attached and self.links[name].greeted and name not in self.streams:
            points = [[self.topic, source, *at] for source, at in self.at.items()]
            self.streams[name] = Subscription(self.links[name], CHANNEL, WINDOW, self.topic,
                                              EARLIEST, points)

    def group_attached(self, active, more, points, done):
        for source, epoch, upcoming in points:
            self.at[source] = max(self.at.get(source, (0, 0)), (epoch, upcoming))
        for source, epoch, (first, last) in done:
            self.done.setdefault((source, epoch), []).append((first, last))
        if active and not more:
            print(f"attached at {self.at}", flush=True)
            self.attached = True

    def head(self, name, source, epoch, first_held, _, sent):
        run, upcoming = self.at.setdefault(source, (epoch, 1))
        if name == "publisher":
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
            self.streams["publisher"].repair([self.topic, source, *self.at[source]])

    def batch(self, name, frame):
        source, epoch, first = frame[3:6]
        run, upcoming = self.at.setdefault(source, (epoch, 1))
        self.streams[name].consume(frame)
        if epoch == run and first > upcoming:
            self.mend(source)
        elif epoch == run:
            for sequence, _, body in messages(frame):
                if sequence == self.at[source][1] and self.number != self.until:
                    self.at[source] = epoch, sequence + 1
                    self.give(name, source, epoch, sequence, body)

    def give(self, name, source, epoch, sequence, body):
        if any(a <= sequence <= b for a, b in self.done.get((source, epoch), ())):
            return
        number = int(bytes(body).split()[1])
        assert self.number in (None, number - 1), f"{number} behind {self.number}"
        self.number = number
        self.given[name] += 1
        self.acks.append((source, epoch, [[sequence, sequence]]))

    def gone(self, name, source, epoch, lost, cause):
        run, upcoming = self.at.setdefault(source, (epoch, 1))
        first, last = lost
        if epoch != run or not first <= upcoming <= last:
            return
        if name == "publisher":  # the store may have it (14)
            self.held[source] = epoch, last + 1
            return
        print(f"gap {upcoming} to {last}: {cause}", flush=True)
        self.given["gaps"] += 1
        self.number = None
        self.at[source] = epoch, last + 1
        if cause != LOST_BY_SOURCE:
            self.acks.append((source, epoch, [[upcoming, last]]))

    def take(self, name, frame):
        kind = frame[0]
        if kind == HELLO and name == "store":
            self.links[name].send(ATTACH_GROUP, GROUP_CHANNEL, self.topic, self.group, "python", 0,
                                  FIRST_STORED, 0)
        elif kind == GROUP_ATTACHED:
            self.group_attached(*frame[3:7])
        elif kind == ACKED:
            for self.counted in range(self.counted + 1, frame[2] + 1):
                self.uncounted.popleft()
        elif kind in (SUBSCRIBED, HEADS):
            for head in frame[3 if kind == SUBSCRIBED else 2]:
                self.head(name, *head[1:6])
        elif kind == BATCH:
            self.batch(name, frame)
        elif kind == GONE:
            self.gone(name, *frame[3:7])
        elif kind == END:
            self.held.pop(frame[3], None)

    def run(self):
        """Until the message with the last number is given, and every ack is durable."""
        while self.number != self.until or self.acks or self.uncounted:
            wait(self.links.values())
            for name in self.endpoints:
                try:
                    while frame := self.links[name].take():
                        self.take(name, frame)
                    self.subscribe(name)
                except LinkLost as why:
                    print(f"lost the {name}: {why}", flush=True)
                    self.links[name].drop()
                    self.connect(name)
            while self.attached and self.acks and len(self.uncounted) < UNCOUNTED_MAX:
                self.uncounted.append(self.acks.popleft())
                self.links["store"].send(ACK, GROUP_CHANNEL, *self.uncounted[-1])
            live = bool(self.at) and all(map(self.held_live, self.at))
            if live != self.live:
                print("live at" if live else "no more live at", self.at, flush=True)
            self.live = live


store, topic, group, last, *publisher = sys.argv[1:]
endpoints = dict(zip(("store", "publisher"), (store, *publisher)))
reader = DurableSubscriber(endpoints, topic, group, int(last))
reader.run()
for link in reader.links.values():
    link.close()
given = reader.given
print(f"from the store {given['store']} from the publisher {given['publisher']} "
      f"live {reader.live} gaps {given['gaps']}")
