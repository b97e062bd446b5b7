#include "stream_simulation.hpp"

#include "values.hpp"

#include <cairn/protocol/credit.hpp>
#include <cairn/protocol/epochs.hpp>
#include <cairn/protocol/heads.hpp>
#include <cairn/protocol/ring.hpp>
#include <cairn/protocol/tracker.hpp>

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <sstream>
#include <utility>
#include <vector>

namespace cairn::test {
namespace {

using namespace protocol;
using ring_type = ring<plain_batch>;

struct frame {
    enum class kind : std::uint8_t {
        subscribe,
        subscribed,
        heads,
        digest,
        batch,
        gone,
        end,
        credit,
        repair,
    };

    frame::kind what;
    std::uint32_t channel = 0;
    cairn::epoch epoch{};
    sequence next{};         // subscribe, repair
    bool known = false;      // subscribe: epoch and next count
    stream_head head{};      // subscribed, heads
    sequence_range range{};  // batch, gone; last: digest, end
    std::uint64_t bytes = 0;
    grant credit{};
};

struct faults {
    std::uint64_t lose = 0;  // percent
    std::uint64_t repeat = 0;
    std::uint64_t overtake = 0;
    std::uint64_t delay_ms_max = 1;
};

/// One direction of a link.
class pipe {
public:
    void send(const frame& f, time_point now, const faults& how, dice& random) {
        const int times = random.chance(how.lose) ? 0 : random.chance(how.repeat) ? 2 : 1;
        for (int i = 0; i < times; ++i) {
            time_point arrives = now + std::chrono::milliseconds(random.below(how.delay_ms_max));
            if (!random.chance(how.overtake)) arrives = last_ = std::max(arrives, last_);
            frames_.emplace(arrives, f);
        }
    }
    std::optional<frame> receive(time_point now) {
        if (frames_.empty() || frames_.begin()->first > now) return std::nullopt;
        return frames_.extract(frames_.begin()).mapped();
    }
    void cut() { frames_.clear(); }
    bool empty() const { return frames_.empty(); }

private:
    std::multimap<time_point, frame> frames_;
    time_point last_;
};

struct reader_side {
    stream_tracker tracker;
    credit_reader credit{0};
    std::uint32_t channel = 0;
    bool answered = false;
    time_point asked_at;
    time_point stuck_until;
    std::deque<std::uint64_t> queue;  // bytes of batches that wait for the application
    std::uint64_t queue_bytes = 0;

    // What the application knows from what it was given and told.
    epoch at_run;
    sequence at_next;
    sequence heard_of;  // highest of at_run that a frame spoke of
};

struct subscription {
    std::uint32_t channel = 0;
    std::optional<reader> cursor;  // none: not subscribed
    credit_sender credit;
    head_schedule heads{time_point{}};
    scheduled_stream stream{};
};

struct link {
    pipe up;
    pipe down;
    bool connected = false;
    time_point connects_at;
    subscription publisher;
    reader_side reader;
};

class simulation {
public:
    simulation(std::uint64_t seed, sabotage bug) : random_(seed), bug_(bug) {
        earliest_ = random_.chance(50);
        digests_ = random_.chance(50);
        if (random_.chance(60)) {
            faults_ = {.lose = random_.below(30),
                       .repeat = random_.below(20),
                       .overtake = random_.below(30),
                       .delay_ms_max = random_.between(1, 80)};
            window_ = 1 << 30;  // a lost batch takes its credit with it
        } else {
            faults_.delay_ms_max = random_.between(1, 80);
            window_ = random_.between(1, 300);
        }
        bytes_max_ = random_.between(10, 500);
        patience_ = std::chrono::milliseconds(random_.chance(30) ? 0 : random_.between(1, 150));
        if (random_.chance(20)) patience_ = std::chrono::milliseconds::max();
        links_.resize(random_.between(1, 3));
        start_publisher();
    }

    std::optional<std::string> run() {
        const std::uint64_t steps = random_.between(20, 90);
        for (std::uint64_t i = 0; i < steps && failure_.empty(); ++i) {
            now_ += std::chrono::milliseconds(random_.chance(3) ? 1'200 : random_.below(50));
            disturb();
            turn();
        }
        calm_down();
        const time_point deadline = now_ + 20s;
        while (failure_.empty() && !settled()) {
            if (now_ > deadline)
                fail("the network is quiet, and something is neither here nor told");
            now_ += 20ms;
            turn();
        }
        if (failure_.empty()) return std::nullopt;
        return failure_;
    }

private:
    template <typename... Parts>
    void fail(const Parts&... parts) {
        if (!failure_.empty()) return;
        std::ostringstream text;
        (text << ... << parts);
        failure_ = text.str();
    }

    // --- What happens to everybody ----------------------------------------------------------

    void disturb() {
        if (random_.chance(60)) wish_to_publish();
        link& any = links_[random_.below(links_.size())];
        if (random_.chance(4)) cut(any);
        if (random_.chance(6)) {
            any.reader.stuck_until = now_ + std::chrono::milliseconds(random_.below(600));
        }
        if (random_.chance(4)) send_from_an_older_run(any.reader);
        if (random_.chance(3)) restart_reader(any);
        if (!running_) {
            if (random_.chance(30)) start_publisher();
        } else if (random_.chance(2)) {
            if (random_.chance(50)) send_end();
            running_ = false;
            wish_ = 0;
            if (random_.chance(50)) {
                for (link& l : links_) cut(l);
            }
        }
    }

    void calm_down() {
        if (faults_.lose != 0 && random_.chance(30)) {
            for (link& l : links_) l.down.cut();  // the very last messages are lost too
        }
        faults_ = {};
        if (!running_) start_publisher();
        for (link& l : links_) l.reader.stuck_until = now_;
        if (!digests_ && wish_ == 0) wish_to_publish();
    }

    bool settled() const {
        return wish_ == 0 && std::ranges::all_of(links_, [&](const link& l) {
                   const reader_side& r = l.reader;
                   return l.connected && r.answered && r.queue.empty() && l.up.empty() &&
                          l.down.empty() && r.tracker.epoch() == epoch_ &&
                          r.tracker.next() == ring_->last() + 1;
               });
    }

    void turn() {
        for (link& l : links_) {
            if (!l.connected && running_ && now_ >= l.connects_at) connect(l);
            while (const auto f = l.up.receive(now_)) {
                if (running_) publisher_takes(l, *f);
            }
        }
        if (running_) publish_and_serve();
        for (link& l : links_) {
            while (const auto f = l.down.receive(now_)) reader_takes(l, *f);
            reader_turn(l);
        }
    }

    void connect(link& l) {
        l.connected = true;
        resubscribe(l);
    }

    void cut(link& l) {
        l.up.cut();
        l.down.cut();
        l.connected = false;
        l.connects_at = now_ + std::chrono::milliseconds(random_.below(100));
        if (l.publisher.cursor) ring_->remove(*std::exchange(l.publisher.cursor, std::nullopt));
    }

    // --- Publisher --------------------------------------------------------------------------

    void start_publisher() {
        for (link& l : links_) cut(l);
        const bool keeps = bug_ == sabotage::publisher_keeps_its_epoch && epoch_.value != 0;
        if (!keeps) epoch_ = *choose_epoch(epoch_, std::nullopt, wall_time{});
        ring_ = std::make_unique<ring_type>(bytes_max_, patience_);
        running_ = true;
    }

    void wish_to_publish() {
        if (wish_ == 0) wish_ = random_.between(1, 40);
    }

    void publish_and_serve() {
        for (std::uint64_t more = random_.below(4); wish_ != 0; --more) {
            if (!ring_->admit(wish_, now_)) break;
            const sequence first = ring_->last() + 1;
            ring_->push({first, first + random_.below(4), wish_});
            wish_ = more != 0 ? random_.between(1, 40) : 0;
            published_[epoch_] = ring_->last();
            for (link& l : links_) {
                if (l.publisher.cursor) l.publisher.heads.changed(l.publisher.stream, now_);
            }
            if (ring_->bytes() > bytes_max_ && ring_->batches() > 1) fail("the ring is too large");
        }
        for (link& l : links_) {
            if (l.publisher.cursor) serve(l);
        }
    }

    void serve(link& l) {
        subscription& s = l.publisher;
        const auto may_send = [&] {
            return s.credit.may_send() || bug_ == sabotage::publisher_ignores_credit;
        };
        while (may_send() && ring_->pending(*s.cursor)) send_step(l);
        while (s.heads.take_due(now_)) {
            send_down(l, {.what = frame::kind::heads, .head = head_of(s)});
        }
        if (s.heads.take_digest(now_) && digests_ && !ring_->pending(*s.cursor)) {
            send_down(l,
                      {.what = frame::kind::digest, .epoch = epoch_, .range = {{}, ring_->last()}});
        }
    }

    void send_step(link& l) {
        const ring_type::step step = ring_->next(*l.publisher.cursor);
        if (step.what == ring_type::step::kind::gone) {
            send_down(l, {.what = frame::kind::gone, .epoch = epoch_, .range = step.gone});
        } else {
            send_down(l, {.what = frame::kind::batch,
                          .epoch = epoch_,
                          .range = {step.batch->first(), step.batch->last()},
                          .bytes = step.batch->bytes()});
            l.publisher.credit.spend(step.batch->bytes());
        }
        ring_->passed(*l.publisher.cursor, now_);
    }

    void send_down(link& l, frame f) {
        f.channel = l.publisher.channel;
        l.down.send(f, now_, faults_, random_);
    }

    void send_end() {
        for (link& l : links_) {
            if (!l.publisher.cursor) continue;
            send_down(l, {.what = frame::kind::end, .epoch = epoch_, .range = {{}, ring_->last()}});
        }
    }

    stream_head head_of(const subscription& s) const {
        return {.epoch = epoch_,
                .first_held = ring_->first_held(),
                .last = ring_->last(),
                .next = ring_->wanted(*s.cursor)};
    }

    void publisher_takes(link& l, const frame& f) {
        subscription& s = l.publisher;
        if (f.what == frame::kind::subscribe) {
            if (f.channel <= s.channel) return;
            if (s.cursor) ring_->remove(*s.cursor);
            subscribe(l, f);
        } else if (s.cursor && f.channel == s.channel) {
            if (f.what == frame::kind::credit && s.credit.raise(f.credit)) {
                ring_->note_progress(*s.cursor, now_);
            }
            if (f.what == frame::kind::repair && f.epoch == epoch_ &&
                bug_ != sabotage::publisher_ignores_repair) {
                ring_->rewind(*s.cursor, f.next, now_);
            }
        }
    }

    void subscribe(link& l, const frame& f) {
        sequence next = earliest_ ? ring_->first_held() : ring_->last() + 1;
        if (f.known) next = f.epoch == epoch_ ? f.next : sequence{1};
        l.publisher = {.channel = f.channel,
                       .cursor = ring_->add(next, now_),
                       .credit = credit_sender(f.credit.granted),
                       .heads = head_schedule(now_)};
        l.publisher.stream = l.publisher.heads.add();
        send_down(l, {.what = frame::kind::subscribed, .head = head_of(l.publisher)});
    }

    // --- Readers ----------------------------------------------------------------------------

    void send_up(link& l, frame f) {
        f.channel = l.reader.channel;
        l.up.send(f, now_, faults_, random_);
    }

    void resubscribe(link& l) {
        reader_side& r = l.reader;
        ++r.channel;
        r.answered = false;
        r.asked_at = now_;
        r.tracker.resubscribed();
        r.credit = credit_reader(window_, r.queue_bytes);
        send_up(l, {.what = frame::kind::subscribe,
                    .epoch = r.tracker.epoch(),
                    .next = r.tracker.next(),
                    .known = r.tracker.known(),
                    .credit = {.granted = r.credit.initial()}});
    }

    /// Its process starts again at a position that was saved, anywhere in a batch.
    void restart_reader(link& l) {
        reader_side& r = l.reader;
        if (!r.tracker.known()) return;
        cut(l);
        r.at_next = r.at_next - std::min(random_.below(6), r.at_next.value - 1);
        r.tracker = stream_tracker(r.at_run, r.at_next);
        r.heard_of = {};
        r.queue.clear();
        r.queue_bytes = 0;
    }

    void reader_turn(link& l) {
        reader_side& r = l.reader;
        if (l.connected && !r.answered && now_ >= r.asked_at + 1s) resubscribe(l);
        if (now_ >= r.stuck_until) {
            for (std::uint64_t n = random_.between(1, 6); n != 0 && !r.queue.empty(); --n) {
                r.credit.consumed(r.queue.front());
                r.queue_bytes -= r.queue.front();
                r.queue.pop_front();
            }
        }
        const auto due = r.credit.due();
        if (due && l.connected && bug_ != sabotage::reader_grants_nothing) {
            send_up(l, {.what = frame::kind::credit, .credit = *due});
        }
        repair(l);
    }

    void repair(link& l) {
        if (bug_ == sabotage::reader_never_repairs || !l.connected) return;
        if (const auto next = l.reader.tracker.take_repair(now_)) {
            send_up(
                l, {.what = frame::kind::repair, .epoch = l.reader.tracker.epoch(), .next = *next});
        }
    }

    void reader_takes(link& l, const frame& f) {
        reader_side& r = l.reader;
        if (f.channel != r.channel) return;
        if (f.what == frame::kind::subscribed) r.answered = true;
        if (!r.answered) return;
        if (ignores(r, f)) return;
        switch (f.what) {
            case frame::kind::subscribed:
            case frame::kind::heads:
                tell(r, r.tracker.on_head(f.head));
                r.heard_of = std::max(r.heard_of, f.head.last);
                break;
            case frame::kind::gone:
                tell(r, r.tracker.on_gone(f.epoch, f.range));
                break;
            case frame::kind::end:
                tell(r, r.tracker.on_end(f.epoch, f.range.last));
                if (r.at_next <= f.range.last) fail("a run ended well, and its end was not told");
                break;
            case frame::kind::batch:
                take_batch(r, f);
                break;
            case frame::kind::digest:
                if (f.epoch != r.tracker.epoch() || f.range.last + 1 != r.tracker.next()) {
                    resubscribe(l);
                }
                break;
            default:
                fail("a frame for publishers came to a reader");
        }
        repair(l);
    }

    bool ignores(const reader_side& r, const frame& f) const {
        const bool head = f.what == frame::kind::heads || f.what == frame::kind::subscribed;
        switch (bug_) {
            case sabotage::reader_ignores_heads:
                return f.what == frame::kind::heads || f.what == frame::kind::digest;
            case sabotage::reader_ignores_gone:
                return f.what == frame::kind::gone ||
                       (head && f.head.first_held > r.tracker.next() && r.tracker.known());
            default:
                return false;
        }
    }

    void take_batch(reader_side& r, const frame& f) {
        if (!r.credit.received(f.bytes)) fail("more was sent than granted");
        const auto count = static_cast<std::uint32_t>(f.range.size());
        const verdict v = r.tracker.on_batch(f.epoch, f.range.first, count);
        tell(r, v);
        r.heard_of = std::max(r.heard_of, f.range.last);
        if (v.what != verdict::kind::deliver) return r.credit.consumed(f.bytes);

        const bool all = bug_ == sabotage::reader_gives_all_records;
        const sequence first = all ? f.range.first : f.range.first + v.skip;
        if (f.epoch != r.at_run || first != r.at_next)
            fail("given: ", first, ", next: ", r.at_next);
        if (f.range.last > published_[f.epoch]) fail("given, never published: ", f.range);
        r.at_next = f.range.last + 1;
        r.queue.push_back(f.bytes);
        r.queue_bytes += f.bytes;
        if (r.queue_bytes > window_ + 40) fail("more than a window and a batch wait");
    }

    void tell(reader_side& r, const verdict& v) {
        if (r.at_next.value == 0 && r.tracker.known()) {
            r.at_run = r.tracker.epoch();
            r.at_next = r.tracker.next();
        }
        if (v.tail) tell_gap(r, *v.tail);
        if (v.restart) {
            if (r.heard_of >= r.at_next) fail("a run ended, and its known tail was not told");
            r.heard_of = {};
            if (v.restart->before != r.at_run || v.restart->now <= r.at_run)
                fail("a false restart");
            r.at_run = v.restart->now;
            r.at_next = {1};
        }
        if (v.gap) tell_gap(r, *v.gap);
        if (v.what == verdict::kind::fenced || v.what == verdict::kind::malformed) {
            fail("an honest publisher's frame was refused");
        }
    }

    void tell_gap(reader_side& r, const verdict::lost_range& gap) {
        if (gap.epoch != r.at_run || gap.range.first != r.at_next || gap.range.empty()) {
            fail("gap ", gap.range, ", next: ", r.at_next);
        }
        if (gap.range.last > published_[gap.epoch]) fail("told, never published: ", gap.range);
        const bool still_held =
            running_ && gap.epoch == epoch_ && !(gap.range.last < ring_->first_held());
        if (still_held) fail("told as gone, and still held: ", gap.range);
        r.at_next = gap.range.last + 1;
    }

    /// A twin that was superseded, over a link of its own.
    void send_from_an_older_run(reader_side& r) {
        if (r.tracker.epoch().value < 2) return;
        const epoch older{r.tracker.epoch().value - 1};
        const sequence any{random_.between(1, 60)};
        const verdict v = random_.chance(50) ? r.tracker.on_batch(older, any, 3)
                                             : r.tracker.on_head({older, any, any, any + 1});
        if (v.what != verdict::kind::fenced || v.gap || v.restart || v.tail) {
            fail("an older run was not fenced");
        }
    }

    dice random_;
    sabotage bug_;
    faults faults_;
    bool earliest_;
    bool digests_;  // without them a last message must do, and REPAIR alone heals
    std::uint64_t window_;
    std::uint64_t bytes_max_;
    std::chrono::milliseconds patience_{};

    time_point now_ = at(0s);
    std::vector<link> links_;
    std::unique_ptr<ring_type> ring_;
    epoch epoch_;
    bool running_ = false;
    std::uint64_t wish_ = 0;  // bytes of the batch that waits to be admitted; 0: none
    std::map<epoch, sequence> published_;
    std::string failure_;
};

}  // namespace

std::optional<std::string> run_stream_schedule(std::uint64_t seed, sabotage bug) {
    return simulation(seed, bug).run();
}

}  // namespace cairn::test
