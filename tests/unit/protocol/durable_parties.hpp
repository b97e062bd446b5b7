#pragma once

#include "store_model.hpp"
#include "values.hpp"

#include <cairn/protocol/ack_batcher.hpp>
#include <cairn/protocol/splice.hpp>
#include <cairn/protocol/store_feed.hpp>

#include <algorithm>
#include <array>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

/// What the parties of durable_simulation.cpp say to each other, over what, and what each knows.
namespace cairn::test {

using namespace protocol;

struct timed_batch : plain_batch {
    time_point published_;
    time_point published() const { return published_; }
};
using feed = store_feed<timed_batch>;
using ring_type = ring<timed_batch>;

constexpr std::size_t sources_max = 2;
/// Of a source, the run of today and an older one that does not know of it.
constexpr std::size_t twins_max = 2;

/// Where a reader stands in a stream.
struct point {
    bool known = false;
    cairn::epoch epoch{};
    sequence next{1};

    auto operator<=>(const point&) const = default;
};

struct frame {
    enum class kind : std::uint8_t {
        open_source,  // publisher and store
        opened,
        append,
        lost,
        confirm,
        refused,
        fenced,
        subscribe,  // reader and either
        subscribed,
        head,
        batch,
        gone,
        repair,
        ack,
        acked,
    };

    frame::kind what{};
    std::uint32_t source = 0;
    cairn::epoch epoch{};
    sequence_range range{};                   // open: last; confirm, refused: last; repair: first
    std::array<point, sources_max> points{};  // subscribe
    bool reads = false;                       // subscribe, at a store: with credit
    stream_head head{};
    errc code = errc::ok;
    int generation = 0;
    std::uint64_t count = 0;  // acked
};

/// Both directions of a link. Frames arrive in order, and what is under way when it breaks is lost.
class link {
public:
    bool up() const { return up_; }
    void connect() {
        up_ = true;
        mute_ = false;
    }
    void cut() {
        up_ = false;
        there_.clear();
        back_.clear();
    }
    /// From now on all that is sent is lost, and nobody notices before the link is cut.
    void mute() { mute_ = up_; }
    bool is_mute() const { return mute_; }
    void send(const frame& f, time_point arrives) { push(there_, f, arrives); }
    void answer(const frame& f, time_point arrives) { push(back_, f, arrives); }
    std::optional<frame> at_server(time_point now) { return pop(there_, now); }
    std::optional<frame> at_client(time_point now) { return pop(back_, now); }

private:
    using pipe = std::deque<std::pair<time_point, frame>>;

    void push(pipe& to, const frame& f, time_point arrives) {
        if (!up_ || mute_) return;
        to.emplace_back(to.empty() ? arrives : std::max(arrives, to.back().first), f);
    }
    static std::optional<frame> pop(pipe& from, time_point now) {
        if (from.empty() || from.front().first > now) return std::nullopt;
        const frame f = from.front().second;
        from.pop_front();
        return f;
    }

    bool up_ = false;
    bool mute_ = false;
    pipe there_;
    pipe back_;
};

/// Some positions of one source.
class marks {
public:
    void mark(cairn::epoch run, sequence_range range) {
        std::vector<bool>& of = runs_[run];
        if (of.size() <= range.last.value) of.resize(range.last.value + 1);
        for (sequence s = range.first; s <= range.last; s = s + 1) of[s.value] = true;
    }
    bool has(cairn::epoch run, sequence s) const {
        const auto of = runs_.find(run);
        return of != runs_.end() && s.value < of->second.size() && of->second[s.value];
    }
    std::optional<sequence> first_without(cairn::epoch run, sequence_range range) const {
        for (sequence s = range.first; s <= range.last; s = s + 1)
            if (!has(run, s)) return s;
        return std::nullopt;
    }

private:
    std::map<cairn::epoch, std::vector<bool>> runs_;
};
using marks_of_all = std::array<marks, sources_max>;

/// One run of a source: a process, until it is killed or told that a newer one exists.
struct process {
    /// What an earlier run left in its spill.
    struct debt {
        debt(cairn::epoch of, sequence_range spilled, time_point now)
            : run(of), owed(ring, delivery::parallel, full_ring::spill, 1 << 20, now, spilled) {}
        cairn::epoch run;
        ring_type ring;
        feed owed;
    };

    process(std::uint32_t of, cairn::epoch epoch, std::size_t bytes_max,
            std::chrono::milliseconds patience)
        : source(of), run(epoch), ring(bytes_max, patience) {}

    feed& active() { return debts.empty() ? *owed : debts.front()->owed; }
    cairn::epoch active_run() const { return debts.empty() ? run : debts.front()->run; }

    std::uint32_t source;
    cairn::epoch run;
    full_ring policy{};
    delivery mode = delivery::peers;
    ring_type ring;
    std::optional<feed> owed;  // to the store, if it has one
    std::deque<std::unique_ptr<debt>> debts;
    link to_store;
    cairn::epoch opened{};  // at the store; 0: nothing is
    bool dropping = false;  // as the store sees it
    bool fenced = false;
};

/// What a store remembers of one stream of a reader's subscription.
struct store_reader {
    bool known = false;
    std::size_t at = 0;  // in the log
    cairn::epoch epoch;
    sequence next;
    sequence told_last;
    cairn::epoch told_storing;
};

struct source_side {
    cairn::epoch run;
    std::array<std::unique_ptr<process>, twins_max> runs;  // of today, and the twin
    store_model stored;
    std::map<cairn::epoch, sequence_range> spill;  // on disk
    marks by_twin;                                 // stored when a newer run lived already
    bool had_twin = false;
    bool drops = false;     // a run may leave history out
    bool permitted = true;  // to publish, at the store
    std::uint64_t with_store_percent = 100;

    /// Some of it is in the store, and not from a twin.
    bool holds(cairn::epoch run_of, sequence_range range) const {
        for (sequence s = range.first; s <= range.last; s = s + 1)
            if (stored.holds(run_of, {s, s}) && !by_twin.has(run_of, s)) return true;
        return false;
    }
};

/// A reader's end of one stream.
struct stream_side {
    std::optional<spliced_stream> splice;
    std::array<link, twins_max> to;
    std::array<std::optional<reader>, twins_max> cursor;  // in the run's ring
    std::array<time_point, twins_max> head_at;
    std::optional<std::size_t> by;  // who serves it
    spliced_stream::state was = spliced_stream::state::unknown;
    point stored;  // how far the store is known to be
    std::vector<std::pair<cairn::epoch, sequence_range>> early;
    std::vector<std::pair<cairn::epoch, sequence_range>> unacked;

    // What the application was given and told.
    bool begun = false;
    cairn::epoch at_run;
    sequence at_next{1};
    marks acked;
};

/// A process that reads, alone or as a member of the group.
struct member {
    bool in_group = false;
    bool started = false;  // knows where to begin
    std::array<stream_side, sources_max> streams;
    std::optional<ack_batcher> acks;
    link to_store;
    bool reading_store = false;
    int unanswered = 0;  // SUBSCRIBEs to the store: what comes before is of an earlier one
    bool answered = false;
    int generation = 0;  // of the store that it was attached to last

    // As the store sees it:
    bool subscribed = false;
    bool reads = false;
    std::array<store_reader, sources_max> at_store;
    std::uint64_t acks_taken = 0;
    bool acks_fresh = false;
};

}  // namespace cairn::test
