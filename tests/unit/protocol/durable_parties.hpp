#pragma once

#include "store_model.hpp"
#include "values.hpp"

#include <cairn/protocol/ack_batcher.hpp>
#include <cairn/protocol/splice.hpp>
#include <cairn/protocol/store_feed.hpp>

#include <algorithm>
#include <deque>
#include <map>
#include <optional>
#include <utility>

/// What the parties of durable_simulation.cpp say to each other, over what, and what each knows.
namespace cairn::test {

using namespace protocol;

struct timed_batch : plain_batch {
    time_point published_;
    time_point published() const { return published_; }
};
using feed = store_feed<timed_batch>;
using ring_type = ring<timed_batch>;

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
        head,
        batch,
        gone,
        repair,
        ack,
        acked,
    };

    frame::kind what{};
    cairn::epoch epoch{};
    sequence_range range{};  // open: last; confirm, refused: last; subscribe, repair: first
    bool known = false;      // subscribe: epoch and position count
    stream_head head{};
    errc code = errc::ok;
    int generation = 0;
    std::uint64_t count = 0;  // acked
    bool answers = false;     // head: the store's SUBSCRIBED
};

/// Both directions of a link. Frames arrive in order, and what is under way when it breaks is lost.
class link {
public:
    bool up() const { return up_; }
    void connect() { up_ = true; }
    void cut() {
        up_ = false;
        there_.clear();
        back_.clear();
    }
    void send(const frame& f, time_point arrives) { push(there_, f, arrives); }
    void answer(const frame& f, time_point arrives) { push(back_, f, arrives); }
    std::optional<frame> at_server(time_point now) { return pop(there_, now); }
    std::optional<frame> at_client(time_point now) { return pop(back_, now); }
    bool quiet() const { return there_.empty() && back_.empty(); }

private:
    using pipe = std::deque<std::pair<time_point, frame>>;

    void push(pipe& to, const frame& f, time_point arrives) {
        if (!up_) return;
        to.emplace_back(to.empty() ? arrives : std::max(arrives, to.back().first), f);
    }
    static std::optional<frame> pop(pipe& from, time_point now) {
        if (from.empty() || from.front().first > now) return std::nullopt;
        const frame f = from.front().second;
        from.pop_front();
        return f;
    }

    bool up_ = false;
    pipe there_;
    pipe back_;
};

/// What a store remembers of one reader's subscription.
struct store_reader {
    bool subscribed = false;
    std::size_t at = 0;  // in the log
    cairn::epoch epoch;
    sequence next;
    sequence told_last;
    bool reading = false;
    std::uint64_t acks_taken = 0;
    bool acks_fresh = false;
};

/// What a store keeps of a group: cumulative, as its reader acks in order.
using done_map = std::map<cairn::epoch, sequence>;

struct reader_side {
    std::optional<spliced_stream> stream;
    std::optional<ack_batcher> acks;
    link to_publisher;
    link to_store;
    std::optional<reader> cursor;  // in the publisher's ring
    time_point head_at;
    store_reader at_store;
    done_map done;          // synced
    done_map done_written;  // taken, and lost in a crash
    bool reading_store = false;
    int unanswered = 0;  // SUBSCRIBEs to the store: what comes before is of an earlier one
    spliced_stream::state was = spliced_stream::state::unknown;

    // What the application was given and told.
    bool begun = false;
    cairn::epoch at_run;
    sequence at_next;
};

}  // namespace cairn::test
