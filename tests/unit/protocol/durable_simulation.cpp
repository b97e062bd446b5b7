#include "durable_simulation.hpp"

#include "durable_parties.hpp"
#include "random.hpp"

#include <algorithm>
#include <memory>
#include <sstream>
#include <utility>

namespace cairn::test {
namespace {

class simulation {
public:
    simulation(std::uint64_t seed, planted bug, sights& seen)
        : random_(seed), bug_(bug), seen_(seen) {
        policy_ = static_cast<full_ring>(random_.below(4));
        mode_ = random_.chance(25) ? delivery::store_first : delivery::parallel;
        bytes_max_ = random_.between(10, 120);
        patience_ = std::chrono::milliseconds(random_.below(100));
        delay_ms_max_ = random_.between(1, 60);
        may_wipe_ = random_.chance(15);
        patient_ = random_.chance(80);
        readers_ = std::vector<reader_side>(random_.between(1, 2));
        start_publisher();
        for (reader_side& r : readers_) start_reader(r);
    }

    std::optional<std::string> run() {
        const std::uint64_t steps = random_.between(15, 120);
        for (std::uint64_t i = 0; i < steps && failure_.empty(); ++i) {
            now_ += std::chrono::milliseconds(random_.below(40));
            disturb();
            turn();
        }
        calm_ = true;
        if (!publisher_) start_publisher();
        store_up_ = true;
        const time_point deadline = now_ + 60s;
        while (failure_.empty() && !settled()) {
            if (now_ > deadline) fail("quiet, and something is neither here nor told: ", status());
            now_ += 50ms;
            turn();
        }
        if (!store_.whole()) fail("the store has a hole, or went back to an older run");
        return failure_.empty() ? std::nullopt : std::optional(failure_);
    }

private:
    template <typename... Parts>
    void fail(const Parts&... parts) {
        if (!failure_.empty()) return;
        std::ostringstream text;
        (text << ... << parts);
        failure_ = text.str();
    }
    std::string status() const {
        std::ostringstream text;
        text << run_ << " last " << ring_->last() << " stored " << store_.last_durable(run_);
        for (const reader_side& r : readers_)
            text << ", reader at " << r.stream->epoch() << ' ' << r.stream->next() << " state "
                 << static_cast<int>(r.stream->standing()) << " acks " << r.acks->waiting();
        return text.str();
    }

    time_point soon() { return now_ + std::chrono::milliseconds(random_.below(delay_ms_max_)); }

    // --- What happens to everybody ------------------------------------------------------------

    void disturb() {
        if (publisher_ && random_.chance(60)) publish();
        reader_side& any = readers_[random_.below(readers_.size())];
        if (random_.chance(4)) cut_publisher(any);
        if (random_.chance(4)) cut_store(any);
        if (random_.chance(4)) cut_feed();
        if (random_.chance(2)) start_reader(any);
        if (random_.chance(3)) kill_store();
        if (!store_up_ && random_.chance(25)) store_up_ = true;
        if (random_.chance(3)) stop_publisher();
        if (!publisher_ && random_.chance(30)) start_publisher();
    }

    void turn() {
        if (publisher_) turn_publisher();
        if (store_up_) turn_store();
        for (reader_side& r : readers_) turn_reader(r);
    }

    bool settled() const {
        if (store_.last_durable(run_) != ring_->last() || feed_->durable() != ring_->last())
            return false;
        return std::ranges::all_of(readers_, [&](const reader_side& r) {
            if (!r.begun) return r.stream->next() == ring_->last() + 1 && r.stream->epoch() == run_;
            return r.at_run == run_ && r.at_next == ring_->last() + 1 && r.acks->waiting() == 0;
        });
    }

    // --- Publisher ----------------------------------------------------------------------------

    void start_publisher() {
        run_ = cairn::epoch{run_.value + 1};
        feed_.reset();
        ring_ = std::make_unique<ring_type>(bytes_max_, patience_);
        feed_.emplace(*ring_, mode_, policy_, bytes_max_, now_);
        publisher_ = true;
    }

    // A run that has spilled is stopped only when the spill is empty: who pays it after a restart
    // is tested with the feed alone.
    void stop_publisher() {
        if (!publisher_ || feed_->in_spill()) return;
        cut_feed();
        for (reader_side& r : readers_) cut_publisher(r);
        publisher_ = false;
    }

    void cut_feed() {
        to_store_.cut();
        opened_ = false;
        feed_->link_lost();
    }

    void publish() {
        const std::size_t bytes = random_.between(1, 12);
        feed::answer answer = feed_->admit(bytes, now_);
        while (answer.what == feed::room::spill) {
            feed_->spilled(now_);
            ++seen_.spilled;
            answer = feed_->admit(bytes, now_);
        }
        if (answer.what != feed::room::yes) return;
        const timed_batch batch{{ring_->last() + 1, ring_->last() + random_.between(1, 3), bytes},
                                now_};
        ring_->push(batch);
        feed_->pushed(batch);
        if (ring_->bytes() > bytes_max_ && ring_->batches() > 1) fail("the ring is too large");
    }

    void turn_publisher() {
        if (!to_store_.up() && store_up_ && (calm_ || random_.chance(40))) {
            to_store_.connect();
            to_store_.send({.what = frame::kind::open_source, .epoch = run_}, soon());
        }
        while (const auto f = to_store_.at_client(now_)) store_said(*f);
        for (std::uint64_t n = random_.between(1, 6); n != 0; --n) feed_store();
        for (reader_side& r : readers_) serve(r);
    }

    void store_said(const frame& f) {
        if (f.what == frame::kind::opened) {
            if (bug_ == planted::publisher_goes_on_where_it_was)
                feed_->opened(generation{{std::byte{9}}}, std::max(f.range.last, feed_->durable()),
                              1 << 20, now_);
            else
                feed_->opened(generation{{static_cast<std::byte>(f.generation)}}, f.range.last,
                              1 << 20, now_);
        } else if (f.what == frame::kind::confirm) {
            feed_->confirmed(f.range.last, f.count + (1 << 20), now_);
            if (store_.last_durable(run_) < f.range.last && f.generation == generation_)
                fail("confirmed and not durable: ", f.range.last);
        } else if (f.what == frame::kind::refused) {
            feed_->refused(f.code, f.range.last, now_);
        }
        if (feed_->standing() == feed::state::conflict) fail("the feed met a conflict");
    }

    void feed_store() {
        const feed::step step = feed_->next(now_);
        using kind = feed::step::kind;
        if (step.what == kind::nothing) return;
        const bool lost = step.what == kind::lost;
        seen_.lost += lost ? 1 : 0;
        if (lost && policy_ != full_ring::drop_history && !wiped_)
            fail("lost without permission: ", step.range);
        if (!lost || bug_ != planted::publisher_names_no_loss)
            to_store_.send({.what = lost ? frame::kind::lost : frame::kind::append,
                            .epoch = run_,
                            .range = step.range},
                           soon());
        feed_->sent(lost ? 0 : 10, now_);
    }

    void cut_publisher(reader_side& r) {
        r.to_publisher.cut();
        r.stream->live_lost();
        if (r.cursor) ring_->remove(*std::exchange(r.cursor, std::nullopt));
    }

    void serve(reader_side& r) {
        while (const auto f = r.to_publisher.at_server(now_)) {
            if (f->what == frame::kind::repair) {
                if (r.cursor && f->epoch == run_) ring_->rewind(*r.cursor, f->range.first, now_);
                continue;
            }
            const sequence from = !f->known          ? ring_->first_held()
                                  : f->epoch == run_ ? f->range.first
                                                     : sequence{1};
            r.cursor = ring_->add(from, now_);
            tell_head(r);
        }
        if (!r.cursor) return;
        using kind = ring_type::step::kind;
        for (std::uint64_t n = random_.below(6); n != 0; --n) {
            const ring_type::step step = ring_->next(*r.cursor);
            if (step.what == kind::nothing) break;
            if (step.what == kind::batch && !feed_->may_show(step.batch->last())) break;
            const sequence_range range =
                step.what == kind::gone ? step.gone
                                        : sequence_range{step.batch->first(), step.batch->last()};
            r.to_publisher.answer(
                {.what = step.what == kind::gone ? frame::kind::gone : frame::kind::batch,
                 .epoch = run_,
                 .range = range,
                 .code = errc::gone},
                soon());
            ring_->passed(*r.cursor, now_);
        }
        if (now_ >= r.head_at) tell_head(r);
    }

    void tell_head(reader_side& r) {
        r.head_at = now_ + 100ms;
        r.to_publisher.answer(
            {.what = frame::kind::head,
             .head = {run_, ring_->first_held(), ring_->last(), ring_->wanted(*r.cursor)}},
            soon());
    }

    // --- Store --------------------------------------------------------------------------------

    void kill_store() {
        store_up_ = false;
        store_.crash();
        cut_feed();
        for (reader_side& r : readers_) {
            cut_store(r);
            r.done_written = r.done;
        }
        dropping_ = false;
        if (!may_wipe_ || !random_.chance(50)) return;
        store_.wipe();
        ++generation_;
        wiped_ = true;
        for (reader_side& r : readers_) r.done = r.done_written = {};
    }

    void cut_store(reader_side& r) {
        r.to_store.cut();
        r.stream->store_lost();
        r.acks->link_lost();
        r.at_store = {};
        r.reading_store = false;
        r.unanswered = 0;
    }

    void turn_store() {
        while (const auto f = to_store_.at_server(now_)) publisher_said(*f);
        const bool syncs = calm_ || random_.chance(50);
        if (syncs) sync();
        for (reader_side& r : readers_) {
            while (const auto f = r.to_store.at_server(now_)) reader_said(r, *f);
            if (r.at_store.subscribed) read_for(r);
        }
    }

    void publisher_said(const frame& f) {
        if (f.what == frame::kind::open_source) {
            if (!store_.open(f.epoch)) return;
            sync();  // what it returns is durable
            opened_ = true;
            dropping_ = false;
            to_store_.answer({.what = frame::kind::opened,
                              .range = {{1}, store_.last_durable(f.epoch)},
                              .generation = generation_},
                             soon());
            return;
        }
        const sequence next = store_.last(f.epoch) + 1;
        const bool hole = f.range.first > next;
        const bool full = !hole && !calm_ && random_.chance(2);
        if (hole && dropping_) return;
        if (hole || full) {
            dropping_ = true;
            if (hole) fail("the publisher left a hole before ", f.range);
            to_store_.answer(
                {.what = frame::kind::refused,
                 .range = {{1}, next},
                 .code = random_.chance(50) ? errc::store_full : errc::checksum_mismatch},
                soon());
            return;
        }
        dropping_ = false;
        (void)store_.append(f.epoch, f.range, f.what == frame::kind::lost);
        if (bug_ == planted::store_confirms_before_its_sync) confirm(store_.last(f.epoch));
    }

    void sync() {
        store_.sync();
        for (reader_side& r : readers_) {
            r.done = r.done_written;
            if (std::exchange(r.at_store.acks_fresh, false))
                r.to_store.answer({.what = frame::kind::acked, .count = r.at_store.acks_taken},
                                  soon());
        }
        if (opened_) confirm(store_.last_durable(run_));
    }

    void confirm(sequence up_to) {
        to_store_.answer({.what = frame::kind::confirm,
                          .range = {{1}, up_to},
                          .generation = generation_,
                          .count = up_to.value * 200},
                         soon());
    }

    void reader_said(reader_side& r, const frame& f) {
        if (f.what == frame::kind::ack) {
            sequence& done = r.done_written[f.epoch];
            done = std::max(done, f.range.last);
            ++r.at_store.acks_taken;
            r.at_store.acks_fresh = true;
            return;
        }
        store_reader& s = r.at_store;
        s.subscribed = true;
        s.reading = f.count != 0;
        s.at = 0;
        s.epoch = f.known ? f.epoch : store_.log().empty() ? store_.epoch() : store_.log()[0].epoch;
        s.next = f.known ? f.range.first : sequence{1};
        if (s.epoch.value == 0) {
            s.subscribed = false;
            cut_store(r);  // asked again later: nothing is known of the stream yet
            return;
        }
        head_from_store(r, true);
    }

    void head_from_store(reader_side& r, bool answers = false) {
        store_reader& s = r.at_store;
        s.told_last = store_.last_durable(s.epoch);
        r.to_store.answer({.what = frame::kind::head,
                           .head = {s.epoch, {1}, s.told_last, std::min(s.next, s.told_last + 1)},
                           .answers = answers},
                          soon());
    }

    void read_for(reader_side& r) {
        store_reader& s = r.at_store;
        for (std::uint64_t n = random_.between(1, 6); n != 0;) {
            if (s.at == store_.log().size()) {
                if (s.epoch < store_.epoch()) next_run(r, store_.epoch());
                break;
            }
            const store_model::entry& e = store_.log()[s.at];
            if (e.epoch < s.epoch || (e.epoch == s.epoch && e.range.last < s.next)) {
                ++s.at;
                continue;
            }
            if (!s.reading) break;
            if (e.epoch > s.epoch) next_run(r, e.epoch);
            r.to_store.answer({.what = e.lost ? frame::kind::gone : frame::kind::batch,
                               .epoch = e.epoch,
                               .range = e.range,
                               .code = errc::lost},
                              soon());
            s.next = e.range.last + 1;
            ++s.at;
            --n;
        }
        if (s.subscribed && s.told_last != store_.last_durable(s.epoch)) head_from_store(r);
    }

    void next_run(reader_side& r, cairn::epoch run) {
        head_from_store(r);
        r.at_store.epoch = run;
        r.at_store.next = {1};
        head_from_store(r);
    }

    // --- Readers ------------------------------------------------------------------------------

    void start_reader(reader_side& r) {
        if (r.stream) {
            cut_publisher(r);
            cut_store(r);
        }
        const duration wait = patient_ ? duration::max() : duration(500ms);
        r.acks.emplace(ack_options{.delay_max = 50ms, .messages_max = 10});
        r.begun = !r.done.empty();
        if (!r.begun) {
            r.stream.emplace(true, wait);
            return;
        }
        // What GROUP_ATTACHED says: done up to here.
        r.at_run = r.done.rbegin()->first;
        r.at_next = r.done.rbegin()->second + 1;
        r.stream.emplace(true, wait, r.at_run, r.at_next);
    }

    void turn_reader(reader_side& r) {
        if (publisher_ && !r.to_publisher.up() && (calm_ || random_.chance(40))) {
            r.to_publisher.connect();
            r.to_publisher.send(asking(r), soon());
        }
        if (store_up_ && !r.to_store.up() && (calm_ || random_.chance(40))) {
            r.to_store.connect();
            r.acks->attached(now_);
            read_store(r);
        }
        while (const auto f = r.to_publisher.at_client(now_)) publisher_sent(r, *f);
        while (r.to_store.up()) {
            const auto f = r.to_store.at_client(now_);
            if (!f) break;
            store_sent(r, *f);
        }
        tell(r, r.stream->wake(now_), {});
        ask(r);
        r.acks->send(
            now_, [&](std::string_view, cairn::epoch e, std::span<const sequence_range> ranges) {
                r.to_store.send({.what = frame::kind::ack, .epoch = e, .range = ranges.front()},
                                soon());
                if (ranges.size() != 1) fail("acks in order make one range");
            });
    }

    frame asking(const reader_side& r) const {
        return {.what = frame::kind::subscribe,
                .epoch = r.stream->epoch(),
                .range = {r.stream->next(), r.stream->next()},
                .known = r.stream->standing() != spliced_stream::state::unknown};
    }

    void read_store(reader_side& r) {
        r.stream->store_lost();
        frame f = asking(r);
        r.reading_store = r.stream->wants_store();
        f.count = r.reading_store ? 1 : 0;
        ++r.unanswered;
        r.to_store.send(f, soon());
    }

    void ask(reader_side& r) {
        const auto again = r.stream->take_repair(now_);
        if (again && bug_ != planted::reader_asks_for_no_repair)
            r.to_publisher.send({.what = frame::kind::repair,
                                 .epoch = r.stream->epoch(),
                                 .range = {*again, *again}},
                                soon());
        if (!r.to_store.up()) return;
        const bool passed = r.stream->take_store_repair(now_).has_value();
        if (std::min(r.stream->repair_time(), r.stream->store_repair_time()) <= now_) fail("spins");
        if (passed || r.stream->wants_store() != r.reading_store) read_store(r);
    }

    void publisher_sent(reader_side& r, const frame& f) {
        spliced_stream& s = *r.stream;
        const sequence before = r.at_next;
        const bool impatient =
            (bug_ == planted::reader_believes_the_first_gone && f.what == frame::kind::gone) ||
            (bug_ == planted::reader_enters_a_restart_at_once && f.what == frame::kind::head &&
             f.head.epoch > s.epoch());
        if (f.what == frame::kind::head) tell(r, s.live_head(f.head, now_), {});
        if (f.what == frame::kind::gone) tell(r, s.live_gone(f.epoch, f.range, f.code, now_), {});
        if (f.what == frame::kind::batch)
            tell(r,
                 s.live_batch(f.epoch, f.range.first, static_cast<std::uint32_t>(f.range.size()),
                              now_),
                 f.range);
        seen_.live += f.what == frame::kind::batch && r.at_next != before ? 1 : 0;
        if (impatient && s.standing() == spliced_stream::state::catching_up) {
            spliced_stream without(false, duration{}, s.epoch(), s.next());
            s = without;
            if (f.what == frame::kind::head)
                tell(r, s.live_head(f.head, now_), {});
            else
                tell(r, s.live_gone(f.epoch, f.range, f.code, now_), {});
        }
    }

    void store_sent(reader_side& r, const frame& f) {
        spliced_stream& s = *r.stream;
        const sequence before = r.at_next;
        if (f.what == frame::kind::acked) return r.acks->acked(f.count);
        if ((r.unanswered -= f.answers ? 1 : 0) != 0) return;
        if (f.what == frame::kind::head) tell(r, s.store_head(f.head, now_), {});
        if (f.what == frame::kind::gone) tell(r, s.store_gone(f.epoch, f.range, f.code, now_), {});
        if (f.what == frame::kind::batch)
            tell(r,
                 s.store_batch(f.epoch, f.range.first, static_cast<std::uint32_t>(f.range.size()),
                               now_),
                 f.range);
        seen_.history += f.what == frame::kind::batch && r.at_next != before ? 1 : 0;
    }

    /// The application: checks what it is told, and acks what it is given.
    void tell(reader_side& r, const splice_verdict& v, sequence_range batch) {
        if (v.what == verdict::kind::malformed) fail("a frame is called malformed");
        note(r, v);
        if (v.tail) told_lost(r, *v.tail, v.cause);
        if (v.orphaned && (v.orphaned->epoch != r.at_run || v.orphaned->range.last >= r.at_next))
            fail("orphaned, and never given: ", v.orphaned->range);
        if (v.orphaned && !wiped_ && store_.holds(v.orphaned->epoch, v.orphaned->range))
            fail("orphaned, and stored: ", v.orphaned->range);
        if (v.restart) restarted(r, *v.restart);
        if (v.gap) told_lost(r, *v.gap, v.cause);
        if (v.what != verdict::kind::deliver) return;
        const sequence first = batch.first + v.skip;
        if (!r.begun) {
            r.begun = true;
            r.at_run = r.stream->epoch();
            r.at_next = first;
        }
        if (first != r.at_next || r.at_run != r.stream->epoch())
            fail("given ", first, " instead of ", r.at_next);
        r.at_next = batch.last + 1;
        const ack_batcher::stream acked = r.acks->find_or_add("s", r.at_run, first - 1);
        r.acks->ack_through(acked, batch.last, now_);  // what a gap told is done too
    }

    void note(reader_side& r, const splice_verdict& v) {
        using state = spliced_stream::state;
        const state is = r.stream->standing();
        seen_.joined += r.was == state::catching_up && is == state::live ? 1 : 0;
        seen_.fell_back += r.was == state::live && is == state::catching_up ? 1 : 0;
        r.was = is;
        seen_.restarts += v.restart ? 1 : 0;
        seen_.gaps += (v.gap ? 1 : 0) + (v.tail ? 1 : 0);
        seen_.orphaned += v.orphaned ? 1 : 0;
        seen_.duplicates += v.what == verdict::kind::duplicate ? 1 : 0;
    }

    void restarted(reader_side& r, const verdict::restarted& what) {
        if (!r.begun) return;
        if (what.before != r.at_run || what.now <= r.at_run) fail("a restart that went back");
        if (patient_) {
            for (const store_model::entry& e : store_.log())
                if (!e.lost && e.epoch < what.now &&
                    (e.epoch > r.at_run || (e.epoch == r.at_run && e.range.last >= r.at_next)))
                    fail("a restart hid ", e.range, " of ", e.epoch, " in the store");
        }
        r.at_run = what.now;
        r.at_next = {1};
    }

    void told_lost(reader_side& r, const verdict::lost_range& what, errc cause) {
        if (!r.begun) {
            r.begun = true;
            r.at_run = what.epoch;
            r.at_next = what.range.first;
        }
        if (what.epoch != r.at_run || what.range.first != r.at_next)
            fail("a gap at ", what.range, " instead of ", r.at_next);
        if (patient_ && store_.holds(what.epoch, what.range))
            fail("a gap over what the store holds: ", what.range);
        if (patient_ && publisher_ && what.epoch == run_ && ring_->first_held() <= what.range.last)
            fail("a gap over what the ring holds: ", what.range);
        if (cause == errc::lost && policy_ != full_ring::drop_history && !wiped_)
            fail("told lost without permission: ", what.range);
        r.at_next = what.range.last + 1;
    }

    dice random_;
    planted bug_;
    full_ring policy_{};
    delivery mode_{};
    std::size_t bytes_max_ = 0;
    std::chrono::milliseconds patience_{};
    std::uint64_t delay_ms_max_ = 1;
    bool may_wipe_ = false;
    bool patient_ = true;  // readers wait for the store as long as it takes
    bool calm_ = false;
    time_point now_ = at(0s);
    std::string failure_;

    bool publisher_ = false;
    cairn::epoch run_;
    std::unique_ptr<ring_type> ring_;
    std::optional<feed> feed_;
    link to_store_;

    bool store_up_ = true;
    store_model store_;
    int generation_ = 1;
    bool wiped_ = false;
    bool opened_ = false;
    bool dropping_ = false;

    std::vector<reader_side> readers_;
    sights& seen_;
};

}  // namespace

std::optional<std::string> run_durable_schedule(std::uint64_t seed, planted bug, sights* seen) {
    sights unseen;
    return simulation(seed, bug, seen != nullptr ? *seen : unseen).run();
}

}  // namespace cairn::test
