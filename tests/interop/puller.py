"""A cairn puller written from PROTOCOL.md alone.

usage: puller.py ENDPOINT TOPIC COUNT [die]

Works until it acked COUNT different messages: nacks each seventh and rejects each hundredth at
their first delivery, and extends the first. `die` keeps what it gets and leaves without a word
when it holds something.
"""

import os
import sys

from cairn_wire import (ACK, ATTACH, ATTACHED, DETACH, EXTEND, JOB_REFUSED, JOBS, NACK, REJECT,
                        WORK_CREDIT, Link, messages)

CHANNEL, MESSAGES, BYTES = 1, 64, 16 << 10


class Puller:
    def __init__(self, link, topic):
        self.link = link
        self.acked, self.rejected, self.redelivered, self.credits = set(), set(), 0, 0
        self.extended = False
        self.used = {}  # source: messages and bytes so far, and those last reported
        link.send(ATTACH, CHANNEL, topic, "python", MESSAGES, BYTES)

    def work(self, frame):
        source, epoch, attempt = frame[3], frame[4], frame[10]
        done = []
        for sequence, _, body in messages(frame):
            assert bytes(body).startswith(b"job %d " % sequence), body[:40]
            self.redelivered += attempt > 1
            if not self.extended:
                self.link.send(EXTEND, CHANNEL, source, epoch, [[sequence, sequence]], 60_000)
                self.extended = True
            if sequence % 100 == 0:
                self.link.send(REJECT, CHANNEL, source, epoch, [[sequence, sequence]],
                               "a hundredth")
                self.rejected.add(sequence)
            elif sequence % 7 == 0 and attempt == 1:
                self.link.send(NACK, CHANNEL, source, epoch, [[sequence, sequence]], 1)
            else:
                done.append([sequence, sequence])
                self.acked.add(sequence)
        for at in range(0, len(done), 1000):
            self.link.send(ACK, CHANNEL, source, epoch, done[at:at + 1000])
        used = self.used.setdefault(source, [0, 0, 0, 0])
        used[0] += frame[6]
        used[1] += len(frame[-1])
        if used[0] - used[2] >= MESSAGES // 4 or used[1] - used[3] >= BYTES // 4:
            used[2:] = used[:2]
            self.credits += 1
            self.link.send(WORK_CREDIT, CHANNEL, source, epoch, used[0] + MESSAGES, used[1] + BYTES)

    def run(self, count):
        while len(self.acked) + len(self.rejected) < count and (frame := self.link.receive(30)):
            if frame[0] == JOBS:
                self.work(frame)
            elif frame[0] == ATTACHED:
                print(f"attached {frame[2]}", flush=True)
            elif frame[0] == JOB_REFUSED:
                raise SystemExit(f"stale: {frame}")


endpoint, topic, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
link = Link(endpoint, "python")
puller = Puller(link, topic)
if "die" in sys.argv[4:]:
    while (frame := link.receive(30)) and frame[0] != JOBS:
        pass
    print(f"holds {frame[6]}", flush=True)
    os._exit(0)
puller.run(count)
link.send(DETACH, CHANNEL)
link.close()
assert len(puller.acked) + len(puller.rejected) == count
assert puller.redelivered > 0 and puller.credits > 0
print(f"acked {len(puller.acked)} rejected {len(puller.rejected)} redelivered {puller.redelivered}")
