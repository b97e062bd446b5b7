"""A durable cairn subscriber, written from PROTOCOL.md alone (8.7).

usage: durable_subscriber.py STORE TOPIC GROUP LAST [PUBLISHER] [leave SEQUENCE]

A member of GROUP that reads one source's messages from the store, goes live at PUBLISHER when it
can, acks each and stops when all up to LAST are acked durably. Message N is "message N ...". With
`leave` it takes nothing behind SEQUENCE and goes away without a word when all before is acked. The
last line tells how many came from where.
"""

import sys

from cairn_wire import (ACK, ACKED, ATTACH_GROUP, BATCH, BATCH_CHARGE, CREDIT, FIRST_STORED, GONE,
                        GROUP_ATTACHED, HEADS, REPAIR, SUBSCRIBE, SUBSCRIBED, UNSUBSCRIBE, Link,
                        messages, wait)

GROUP_CHANNEL, WINDOW, EARLIEST = 1, 256 << 10, 1


class Side:
    """A subscription at the store or at the publisher: its link, channel and credit."""

    def __init__(self, link, name):
        self.link, self.name, self.channel, self.open = link, name, 1, False
        self.consumed = self.reported = self.given = 0

    def subscribe(self, topic, points, window=WINDOW):
        self.channel += 1
        self.consumed = self.reported = 0
        self.open = True
        self.link.send(SUBSCRIBE, self.channel, topic, EARLIEST, window, False,
                       [[topic, *point] for point in points])

    def unsubscribe(self):
        self.open = False
        self.link.send(UNSUBSCRIBE, self.channel)

    def consume(self, frame):
        self.consumed += len(frame[-1]) + BATCH_CHARGE
        if self.consumed - self.reported >= WINDOW // 4:
            self.reported = self.consumed
            self.link.send(CREDIT, self.channel, self.consumed + WINDOW, self.consumed)


class DurableSubscriber:
    def __init__(self, store, publisher, topic, group):
        self.topic, self.next, self.done = topic, {}, {}  # by (source, epoch)
        self.acks_sent = self.acks_durable = self.until = 0
        self.store = Side(store, "store")
        self.publisher = Side(publisher, "publisher") if publisher else None
        self.held, self.live = {}, False  # the publisher's first_held, by (source, epoch)
        store.send(ATTACH_GROUP, GROUP_CHANNEL, topic, group, "python", 0, FIRST_STORED, 0)

    def points(self):
        return [[source, epoch, upcoming] for (source, epoch), upcoming in self.next.items()]

    def attached(self, frame):
        _, _, _, active, more, points, done = frame
        for source, epoch, upcoming in points:
            self.next[source, epoch] = upcoming
        for source, epoch, (first, last) in done:
            self.done.setdefault((source, epoch), []).append((first, last))
        if active and not more:
            print(f"attached at {self.points()}", flush=True)
            self.store.subscribe(self.topic, self.points())
            if self.publisher:
                self.publisher.subscribe(self.topic, self.points())

    def head(self, side, head):
        _, source, epoch, first_held, _, sent = head[:6]
        upcoming = self.next.setdefault((source, epoch), 1)
        if side is self.publisher:
            self.held[source, epoch] = first_held
            self.go_live_if_held(source, epoch)
            if self.live and sent > upcoming:
                self.repair(source, epoch)

    def go_live_if_held(self, source, epoch):
        """From the moment that the publisher's ring has the next position, it serves."""
        key = source, epoch
        if not self.live and key in self.held and self.held[key] <= self.next[key]:
            self.live = True
            print(f"live at {self.next[key]}", flush=True)
            self.repair(source, epoch)
            self.store.unsubscribe()

    def repair(self, source, epoch):
        self.publisher.link.send(REPAIR, self.publisher.channel,
                                 [self.topic, source, epoch, self.next[source, epoch]])

    def batch(self, side, frame):
        source, epoch, first = frame[3], frame[4], frame[5]
        key = source, epoch
        upcoming = self.next.setdefault(key, 1)
        if first > upcoming:
            side.consume(frame)
            return self.live and self.repair(source, epoch)
        acked = []
        for sequence, _, body in messages(frame):
            if sequence < self.next[key] or sequence > self.until:
                continue
            assert bytes(body).startswith(b"message %d " % sequence), body[:40]
            self.next[key] = sequence + 1
            if not any(a <= sequence <= b for a, b in self.done.get(key, ())):
                acked.append(sequence)
        side.consume(frame)
        if acked:
            side.given += len(acked)
            self.acks_sent += 1
            self.store.link.send(ACK, GROUP_CHANNEL, source, epoch, [[acked[0], acked[-1]]])
        self.go_live_if_held(source, epoch)

    def gone(self, side, frame):
        source, epoch, (first, last) = frame[3], frame[4], frame[5][:2]
        if not first <= self.next.get((source, epoch), 1) <= last:
            return
        if side is self.store:
            raise SystemExit(f"nobody has {first} to {last}")
        self.held[source, epoch] = last + 1
        if self.live:  # left behind: the store has it
            self.live = False
            self.store.subscribe(self.topic, self.points())

    def take(self, side, frame):
        kind, channel = frame[0], frame[1]
        if kind == GROUP_ATTACHED:
            self.attached(frame)
        elif kind == ACKED:
            self.acks_durable = frame[2]
        elif not side.open or channel != side.channel:
            return  # was under way when the subscription ended
        elif kind in (SUBSCRIBED, HEADS):
            for head in frame[3 if kind == SUBSCRIBED else 2]:
                self.head(side, head)
        elif kind == BATCH:
            self.batch(side, frame)
        elif kind == GONE:
            self.gone(side, frame)

    def run(self, last):
        """Until all up to `last` of one source are acked durably."""
        self.until = last
        sides = [side for side in (self.store, self.publisher) if side]
        while max(self.next.values(), default=0) <= last or self.acks_durable < self.acks_sent:
            wait([side.link for side in sides])
            for side in sides:
                if frame := side.link.take():
                    self.take(side, frame)


store, topic, group, last, *rest = sys.argv[1:]
leave = int(rest.pop()) if "leave" in rest else None
rest = [word for word in rest if word != "leave"]
reader = DurableSubscriber(Link(store, "python"), Link(rest[0], "python") if rest else None, topic,
                           group)
reader.run(leave or int(last))
if leave is None:
    for side in filter(None, (reader.store, reader.publisher)):
        side.link.close()
print(f"from the store {reader.store.given} from the publisher "
      f"{reader.publisher.given if reader.publisher else 0} live {reader.live}")
