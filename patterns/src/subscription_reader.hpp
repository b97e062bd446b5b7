#pragma once

#include "fences_told.hpp"

#include <cairn/protocol/credit.hpp>
#include <cairn/protocol/tracker.hpp>
#include <cairn/runtime/hub.hpp>
#include <cairn/runtime/link.hpp>
#include <cairn/runtime/loop.hpp>
#include <cairn/runtime/received_batch.hpp>
#include <cairn/runtime/waiter.hpp>
#include <cairn/subscriber.hpp>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

namespace cairn::patterns {

/// What waits for the user, in order.
struct subscriber_item {
    std::unique_ptr<runtime::received_batch> batch;  // or
    std::unique_ptr<std::variant<gap, restart>> notice;
    std::uint32_t stream = 0;  // of the notice; a batch knows its own
};

/// One subscriber as the loop knows it: subscribes at every peer, and puts what comes in order.
///
/// Threads: loop, but inbox and counters as they say.
class subscription_reader final : public runtime::frame_handler, public runtime::task {
public:
    subscription_reader(runtime::hub& owner, std::string pattern,
                        const subscriber_options& options);
    ~subscription_reader();

    runtime::inbox<subscriber_item>& inbox() noexcept { return inbox_; }

    /// The application took a batch to its end (or dropped it). Any thread.
    void taken(const runtime::received_batch& batch) noexcept;

    void run(time_point now) override;
    void link_up(runtime::link& peer) override;
    void link_down(runtime::link& peer) override;
    errc frame(runtime::link& from, const wire::control_frame& frame) override;
    void batch(runtime::link& from, std::unique_ptr<runtime::received_batch> batch) override;
    void node_closing() override;
    void add_stats(std::vector<handle_stats>& out) const override;

    /// The number of a stream that the subscriber's start named; others get theirs as they come.
    std::uint32_t number_of(const resume_from& start) const;
    /// Publishers attached now.
    std::size_t attached() const noexcept { return attached_; }
    void close();
    handle_stats stats() const;

    // Counted on the user's thread.
    std::atomic<std::uint64_t> messages{0};
    std::atomic<std::uint64_t> bytes{0};
    std::atomic<std::uint64_t> dropped{0};  // messages that waited when it was closed

private:
    struct stream;

    /// One peer; stays while batches from it wait, so that its credit outlives a reconnect.
    struct peer_state {
        node_id id;
        runtime::link* link = nullptr;  // nullptr: away
        protocol::credit_reader credit{0};
        std::atomic<std::uint64_t> taken{0};  // bytes, by the application, since the start
        std::uint64_t accounted = 0;          // of those, known to `credit`
        bool answered = false;                // SUBSCRIBED came to its end
        stream* last = nullptr;               // of the last batch: most often of the next one too
    };

    struct stream {
        std::string topic;
        std::string source;
        protocol::stream_tracker tracker;
        std::uint32_t number = 0;  // 0, 1, 2 … in the order in which they came
        peer_state* by = nullptr;  // whom it comes from now; nullptr: nobody
    };

    peer_state* peer_of(const runtime::link& link);
    stream* stream_of(std::string_view topic, std::string_view source, peer_state& by);
    stream& add_stream(std::string_view topic, std::string_view source);
    void notify(const stream& s, std::variant<gap, restart> notice);
    void attach(stream& s, peer_state& by);
    void fence(runtime::link& who, const stream& s, epoch older);
    void subscribe(peer_state& at);
    void heads(peer_state& from, const std::vector<wire::head>& heads);
    void check_digest(peer_state& from, const wire::digest& told);
    void tell(const stream& s, const protocol::verdict& v, errc gap_cause = errc::gone);
    void lose(const stream& s, const protocol::verdict::lost_range& lost, errc cause);
    void repair(stream& s, time_point now);
    void account(peer_state& p);

    runtime::hub& hub_;
    const std::string pattern_;
    const cairn::from from_;
    const std::uint64_t window_;
    const wire::channel channel_;
    runtime::inbox<subscriber_item> inbox_;
    std::vector<std::unique_ptr<peer_state>> peers_;
    std::unordered_map<std::string, stream> streams_;  // entries stay where they are
    std::vector<stream*> holes_;                       // asked for by REPAIR, not yet answered
    fences_told fences_;
    std::size_t attached_ = 0;
    std::atomic<std::uint64_t> uncounted_{0};
    std::uint64_t uncounted_received_ = 0;
    std::uint64_t batches_ = 0;
    std::uint64_t gaps_ = 0;
    std::uint64_t lost_messages_ = 0;
    std::uint64_t repairs_ = 0;
    std::uint64_t duplicates_ = 0;
    bool closed_ = false;
};

}  // namespace cairn::patterns
