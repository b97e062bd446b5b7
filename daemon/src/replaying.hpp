#pragma once

#include "replay.hpp"
#include "replay_budget.hpp"
#include "service_parts.hpp"

#include <cairn/protocol/credit.hpp>
#include <cairn/protocol/heads.hpp>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace cairn::daemon {

class replaying;
class store_subscription;

/// Resume points that one peer may bring along in all its SUBSCRIBE that are not complete, or wait
/// to be opened.
inline constexpr std::size_t resume_points_max = 65'536;

/// How one subscription reads one topic.
///
/// Threads: loop; but `cursor` is the reader thread's while `reading`.
struct topic_replay {
    /// What the reader was told of a source.
    struct stream {
        store::source_id id;
        std::string name;
        cairn::epoch epoch;
        sequence first_held;
        sequence last;
        sequence next;
        protocol::scheduled_stream schedule{};
    };

    store_subscription* to = nullptr;  // nullptr: it is over
    std::uint64_t link = 0;            // number
    std::string name;                  // of the topic
    replay_cursor cursor;
    std::vector<stream> streams;                              // as in cursor
    std::unordered_map<std::uint32_t, std::uint32_t> places;  // of sources in `streams`
    replay_page page;                                         // what is to be sent
    std::size_t sent = 0;                                     // steps of it
    std::uint64_t holds = 0;                                  // of the budget, for the page
    bool reading = false;
    bool waits_to_send = false;  // in its subscription's queue
    bool waits_to_read = false;  // in its subscription's queue
    bool end = false;            // all that is stored was read
    bool more = false;           // something was stored since the last read began
    bool sources = false;        // sources or runs may be new
    bool again = false;          // begin anew from `streams`: REPAIR
};

/// One subscription of one reader: a channel on a link.
///
/// Threads: loop.
class store_subscription final : public runtime::task {
public:
    store_subscription(replaying& owner, runtime::link& to, std::uint64_t serial,
                       const wire::subscribe& request, time_point now);
    ~store_subscription();

    /// Tells changed heads.
    void run(time_point now) override;

    bool ready() const noexcept {
        return credit.may_send() && !blocked && link.in_transit() < in_transit_max;
    }
    /// What its node may leave unread, whatever credit it grants.
    static constexpr std::uint64_t in_transit_max = replay_budget::window_max;

    replaying& owner;
    runtime::link& link;
    const std::uint64_t serial;  // of all subscriptions
    const wire::channel channel;
    const std::string pattern;
    const wire::start from;
    protocol::credit_sender credit;
    protocol::head_schedule heads;
    bool opening = true;
    std::vector<replay_point> points;  // while it waits to be opened
    bool blocked = false;
    std::uint64_t holds = 0;  // of its credit: pages that are read, or wait to be sent
    // Topics that wait for their turn; those of `to` nullptr are over.
    std::deque<std::shared_ptr<topic_replay>> to_send;
    std::deque<std::shared_ptr<topic_replay>> to_read;
    std::map<std::uint32_t, std::shared_ptr<topic_replay>> topics;  // by number

    struct scheduled {
        topic_replay* topic = nullptr;
        std::uint32_t stream = 0;
    };
    std::vector<scheduled> by_schedule;  // by scheduled_stream
};

/// Answers SUBSCRIBE from what is stored.
///
/// What a reader is due is worked out a page at a time on the reader threads and sent by the loop,
/// so that a disk that hangs stops nobody but who waits for it. A page takes its place in the
/// reader's credit, and in what its link may hold, before it is read; the topics of a subscription
/// and the subscriptions of a link take turns.
///
/// Owns:    subscriptions.
/// Threads: loop.
/// Limits:  subscriptions_per_peer_max and topics_per_peer_max of the node; resume_points_max;
///          replay_threads subscriptions are opened at once, and one a channel; pages of
///          replay_page_bytes, or of one batch that is larger: two a reader thread for each link,
///          and of all links with what is on its way replay_bytes_max (replay_budget).
class replaying final : public topic_watcher {
public:
    explicit replaying(service_parts& parts);
    ~replaying();

    errc subscribe(runtime::link& from, const wire::subscribe& request);
    void credit(runtime::link& from, const wire::credit& granted);
    errc repair(runtime::link& from, const wire::repair& request);
    void unsubscribe(runtime::link& from, const wire::unsubscribe& request);
    void link_down(const runtime::link& gone);
    /// The link takes more than it did.
    void go_on(const runtime::link& with, bool writable);

    void topic_appeared(known_topic& topic) override;
    void topic_changed(known_topic& topic) override;
    void topic_removed(known_topic& topic) override;

    void add_stats(store_server_stats& to) const;
    runtime::hub& hub() noexcept { return parts_.hub; }
    /// The subscription ends.
    void forget(store_subscription& which, std::uint32_t topic);
    void waits_no_more(const store_subscription& which) { waiting_.erase(which.serial); }
    /// The topic's part of a subscription is over; a read that is under way ends by itself.
    void let_go(topic_replay& of);
    /// What the subscription can be told of this stream now.
    wire::head head_of(const topic_replay& in, const topic_replay::stream& of);

private:
    struct partial;
    struct opening;

    store_subscription* find(const runtime::link& from, wire::channel channel);
    std::size_t streams_of(std::uint64_t link) const;
    std::size_t points_of(std::uint64_t link) const;
    void open_some();
    void open(store_subscription& to);
    void opened(store_subscription& to, opening& found);
    void supersede(channel_key at);
    void tell_subscribed(store_subscription& to);
    void attach(store_subscription& to, const std::shared_ptr<topic_replay>& made,
                known_topic& topic);
    void add_topic(store_subscription& to, known_topic& topic);
    topic_replay::stream& add_stream(store_subscription& to, topic_replay& of,
                                     const replay_step& head);
    void pump(store_subscription& to, const std::shared_ptr<topic_replay>& of);
    void serve(std::uint64_t link);
    void serve_starved();
    void serve(store_subscription& to);
    bool put_back_pages(std::uint64_t link);
    void put_back(topic_replay& of);
    void end_grown();
    bool may_grow(store_subscription& to, std::size_t topics, std::size_t streams);
    /// The topic's page takes so much, and no more.
    void hold(topic_replay& of, std::uint64_t bytes);
    std::uint64_t room_for(const store_subscription& to) const;
    void see_transit(const runtime::link& of);
    bool send_steps(store_subscription& to, topic_replay& of);
    bool send_batch(store_subscription& to, topic_replay& of, const replay_step& step);
    void read(store_subscription& to, const std::shared_ptr<topic_replay>& of, std::uint64_t bytes);
    void was_read(const std::shared_ptr<topic_replay>& of, replay_page& page, errc failed);
    bool reading_failed(topic_replay& of, errc why);
    void begin_again(const std::shared_ptr<topic_replay>& of);
    void began_again(const std::shared_ptr<topic_replay>& of, result<replay_cursor>& cursor,
                     replay_page& page);
    void fail(store_subscription& to, errc why);
    void note(const topic_replay& of);

    service_parts& parts_;
    // Before the subscriptions, which say that they end.
    replay_budget budget_;
    std::unordered_map<std::uint32_t, std::vector<store_subscription*>> readers_;  // by topic
    std::map<std::uint64_t, store_subscription*> waiting_;  // to be opened, by serial
    std::set<channel_key> under_way_;                       // of which a reader thread opens one
    std::map<channel_key, std::unique_ptr<store_subscription>> subscriptions_;
    std::map<channel_key, std::unique_ptr<partial>> partial_;
    std::unordered_map<std::uint64_t, wire::channel> served_last_;  // by link
    std::set<std::uint64_t> starved_;  // links of which a topic found no room, since the last look
    std::set<channel_key> grown_;      // beyond topics_per_peer_max: to be ended
    std::uint64_t next_serial_ = 1;
    std::uint64_t batches_ = 0;
    std::uint64_t bytes_ = 0;
};

}  // namespace cairn::daemon
