#pragma once

#include "ack_box.hpp"
#include "done_ahead.hpp"
#include "fences_told.hpp"

#include <cairn/protocol/ack_batcher.hpp>
#include <cairn/protocol/convergence.hpp>
#include <cairn/protocol/credit.hpp>
#include <cairn/protocol/splice.hpp>
#include <cairn/runtime/hub.hpp>
#include <cairn/runtime/link.hpp>
#include <cairn/runtime/loop.hpp>
#include <cairn/runtime/received_batch.hpp>
#include <cairn/runtime/waiter.hpp>
#include <cairn/subscriber.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

namespace cairn::patterns {

/// What waits for the user, in order.
struct subscriber_item {
    std::unique_ptr<runtime::received_batch> batch{};  // or
    std::unique_ptr<cairn::notice> notice{};           // or
    bool forgotten = false;                            // the stream is, and so its position; or
    bool resumed = false;      // a member of a group is active again; or nothing: a replay is over
    std::uint32_t stream = 0;  // a batch knows its own
    std::uint32_t turn = 0;    // of the reader, when it was put there
    /// Of the batch: not to be given, since the group has done it, or a replay ends before.
    std::unique_ptr<std::vector<sequence_range>> left_out{};
};

/// What a group has done of a stream: all before a position, and more behind it.
struct group_done {
    cairn::epoch run;
    sequence next;
    done_ahead more;
    // How far its store is known to have been: what it never had of an older run nobody did.
    cairn::epoch stored_run;
    sequence stored_last;

    /// What of the range is done, ascending. Ranges come in the stream's order.
    std::vector<sequence_range> take(cairn::epoch of_run, sequence_range range);
};

/// Where a replay ends: before this place of the topic, in the store's order.
struct replay_end {
    wire::place where = wire::place::end;
    std::uint64_t value = 0;
};

/// One subscriber as the loop knows it: subscribes at every peer, and at its store if it has one,
/// and puts what comes in order.
///
/// Threads: loop, but inbox, acks and counters as they say.
class subscription_reader final : public runtime::frame_handler, public runtime::task {
public:
    /// `store`: endpoint as hub::connect_store() returned it; empty: none. `end`: reads the store
    /// alone, up to there.
    subscription_reader(runtime::hub& owner, std::string pattern, const subscriber_options& options,
                        std::string store = {}, std::optional<replay_end> end = {});
    ~subscription_reader();

    runtime::inbox<subscriber_item>& inbox() noexcept { return inbox_; }

    /// The application took a batch to its end (or dropped it). Any thread.
    void taken(const runtime::received_batch& batch) noexcept;

    void run(time_point now) override;
    void link_up(runtime::link& peer) override;
    void link_down(runtime::link& peer) override;
    errc frame(runtime::link& from, const wire::control_frame& frame) override;
    void batch(runtime::link& from, std::unique_ptr<runtime::received_batch> batch) override;
    void node_ending() override;
    void node_closing() override;
    std::uint64_t unfinished() override { return closed_ ? 0 : flush_acks(); }
    void add_stats(std::vector<handle_stats>& out) const override;

    /// The number of a stream that the subscriber's start named; others get theirs as they come.
    std::uint32_t number_of(const resume_from& start) const;
    /// Where the streams begin that have begun, by number: before all that was put into the inbox.
    std::map<std::uint32_t, resume_from> beginnings() const;
    /// Publishers attached now.
    std::size_t attached() const noexcept { return attached_; }
    void close();
    handle_stats stats() const;

    // --- With a store ---------------------------------------------------------------------------

    bool in_group() const noexcept { return !group_.empty(); }
    /// Changes when what waits is not to be given as it is: another member is active, or was, or
    /// the group was moved. Any thread.
    std::uint32_t turn() const noexcept { return turn_.load(std::memory_order_acquire); }
    /// Whether another member is active, so that what waits has to wait.
    bool paused() const noexcept { return paused_; }
    /// Whether the group was moved since that turn: what was put into the inbox then is void.
    bool moved_since(std::uint32_t turn) const noexcept { return turn < moved_in_; }
    /// What the group had done when this turn began, by stream.
    std::unordered_map<std::uint32_t, group_done> take_done();
    /// So many messages were put into the inbox and are not given.
    void not_given(std::uint64_t count);
    /// What the user has done; after a put() that says so, call acks_came(). Any thread.
    ack_box& acks() noexcept { return acks_; }
    void acks_came();
    /// Sends what was acked at once. Returns how many messages are not confirmed.
    std::uint64_t flush_acks();
    reading state() const;
    /// Why a replay is over, once its inbox said that it is; ok: it is at its end.
    errc refusal() const noexcept { return refusal_; }

    // Counted on the user's thread.
    std::atomic<std::uint64_t> messages{0};
    std::atomic<std::uint64_t> bytes{0};
    std::atomic<std::uint64_t> dropped{0};  // messages that waited when it was closed
    std::atomic<std::uint64_t> in_hand{0};  // batches put into the inbox and not taken to their end
    std::atomic<std::uint64_t> notices_taken{0};

private:
    struct stream;

    /// Of peers that are gone so many stay, while batches from them wait; who comes then takes the
    /// place of one, and its window as what waits leaves it.
    static constexpr std::size_t gone_peers_max = 16;

    /// One peer; stays while batches from it wait, so that its credit outlives a reconnect.
    struct peer_state {
        node_id id;
        runtime::link* link = nullptr;  // nullptr: away
        bool store = false;             // the reader's store
        protocol::credit_reader credit{0};
        std::atomic<std::uint64_t> taken{0};  // bytes, by the application, since the start
        std::uint64_t accounted = 0;          // of those, known to `credit`
        bool subscribed = false;              // SUBSCRIBE was sent
        std::uint32_t unanswered = 0;         // SUBSCRIBEs without the end of SUBSCRIBED
        std::size_t introduced = 0;           // streams that it was the first to name
        errc refusal = errc::ok;              // why it does not serve the subscription
        bool refused = false;                 // some of its streams, beyond its rights; it was told
        time_point digest_failed_at{};        // when it was last asked anew for that
        stream* last = nullptr;               // of the last batch: most often of the next one too

        bool answered() const noexcept { return subscribed && unanswered == 0; }
    };

    struct stream {
        explicit stream(const protocol::spliced_stream& begin) : splice(begin) {}
        std::string topic;
        std::string source;
        protocol::spliced_stream splice;
        std::uint32_t number = 0;  // 0, 1, 2 … in the order in which they came; never used again
        peer_state* by = nullptr;  // the publisher's peer that serves it now; nullptr: nobody
        peer_state* introduced_by = nullptr;  // as long as it counts there
        bool watched = false;                 // and so in watched_
        bool given = false;                   // something of it was put into the inbox
        // As counted in wanting_, live_ and lag_:
        bool wants_store = false;
        bool live = false;
        std::uint64_t lag = 0;
        // Whose run it is that is followed live; of two nodes with one epoch the other is no run.
        node_id run_of{};
        epoch run{};
        std::vector<std::pair<epoch, protocol::ack_batcher::stream>> acking;  // by run
        // How far the store is known to be, and what was acked of what it is not known to have.
        epoch stored_run{};
        sequence stored_last{};
        std::vector<std::pair<epoch, sequence_range>> early;
        done_ahead done;  // by the group
        // What was done when the group was attached to, while something waited for the user.
        epoch point_run{};
        sequence point_next{};
        done_ahead done_then;
        epoch had_run{};  // the store, before it was attached to
        sequence had_last{};
        // Where it began, before all that was given of it. No epoch: it has not begun.
        epoch first_run{};
        sequence first_next{};
        void note_beginning(epoch run, sequence next) {
            if (first_run == epoch{}) std::tie(first_run, first_next) = std::pair(run, next);
        }
    };

    /// A replay of one source ends before this.
    struct replay_bound {
        epoch run;
        sequence next;
        bool reached = false;
        bool met = false;    // the stream was in that run
        bool stored = true;  // as the store's last answer has it
    };

    /// Where the store stands with us.
    enum class step : std::uint8_t {
        away,
        asked,    ///< GROUP_ATTACHED or LOCATED is to come
        standby,  ///< another member of the group is active
        reading,  ///< it is subscribed to
        refused,  ///< it gives no history: asked for again soon
    };

    // subscription_reader.cpp
    void forget_links();
    peer_state* peer_of(const runtime::link& link);
    peer_state& peer_for(runtime::link& link);
    /// Of the peers that are gone the one to be used for another; end(): none is.
    std::vector<std::unique_ptr<peer_state>>::iterator least_of_the_gone();
    void forget_left_streams();
    bool may_publish(peer_state& who, std::string_view topic);
    stream* stream_of(std::string_view topic, std::string_view source, peer_state& by);
    stream& add_stream(std::string_view topic, std::string_view source);
    void begin_at(stream& s, epoch run, sequence next);
    void notify(stream& s, cairn::notice told);
    bool may_notify(const peer_state& from, std::size_t times) const noexcept;
    bool is_twin(const stream& s, peer_state& from, epoch of);
    bool heard(stream& s, peer_state& from, epoch of, const protocol::splice_verdict& v);
    void leave(stream& s);
    static void count_in(stream& s, peer_state& by);
    static void count_out(stream& s);
    void fence(runtime::link& who, const stream& s, epoch older);
    void subscribe(peer_state& at);
    void unsubscribe(peer_state& at);
    void subscribe_all();
    void heads(peer_state& from, const std::vector<wire::head>& heads);
    void check_digest(peer_state& from, const wire::digest& told);
    void gone(peer_state& from, const wire::gone& told);
    void deliver(stream& s, std::unique_ptr<runtime::received_batch> batch, std::uint32_t skip);
    void tell(stream& s, const protocol::splice_verdict& v);
    void lose(stream& s, const protocol::verdict::lost_range& lost, errc cause);
    void refuse_answer(peer_state& from, const wire::error_reply& refused);
    void account(peer_state& p);

    // subscription_store.cpp
    bool fresh(const stream& s) const noexcept { return s.splice.epoch() == epoch{}; }
    /// A position of the stream may have changed: sends what has to be asked for, and counts.
    void moved(stream& s, time_point now);
    void watch(stream& s, time_point at);
    void wake_by(time_point at);
    void look_at_watched(time_point now);
    void look_at_lag(time_point now);
    void settle_store();
    void store_answered();
    void store_up(peer_state& p);
    void store_down(peer_state& p);
    void forget_store_heads();
    void ask_store();
    void read_store();
    void locate(wire::place where, std::uint64_t value);
    void located(const wire::located& told);
    void group_attached(const wire::group_attached& told);
    void stand_by();
    void begin_turn();
    void resume();
    void group_refused(const wire::error_reply& refused);
    void forget_group();
    void reading_refused(const wire::error_reply& refused);
    bool end_with(errc code);
    void log_refusal(const wire::error_reply& refused);
    void ask_again_later();
    void begin(const wire::source_point& point);
    /// False when nothing of the item's batch is left to be given.
    bool leave_out(stream& s, subscriber_item& item);
    std::optional<sequence_range> before_end(const stream& s, epoch run, sequence_range of) const;
    void note_bound(const wire::head& told);
    bool end_is_gone();
    void check_end(stream& s, bool moved = true);
    void tell_end();
    void note_stored(stream& s, epoch run, sequence last, time_point now);
    void pass_ack(stream& s, epoch run, sequence_range range, time_point now);
    void note_floor(stream& s, epoch run, sequence floor);
    void take_acks(time_point now);
    void send_ack(std::string_view source, epoch run, std::span<const sequence_range> ranges);
    void send_last_acks();
    bool store_frame(peer_state& from, const wire::control_frame& frame);
    void log_store(log_level level, std::string_view text);

    runtime::hub& hub_;
    const std::string pattern_;
    const cairn::from from_;
    const std::uint64_t window_;
    const std::string store_endpoint_;  // empty: no store
    const std::string group_;
    const duration history_wait_;
    const std::chrono::milliseconds ack_delay_;
    const std::optional<replay_end> end_;
    const wire::channel channel_;
    runtime::inbox<subscriber_item> inbox_;
    std::vector<std::unique_ptr<peer_state>> peers_;
    std::unordered_map<std::string, stream> streams_;  // entries stay where they are
    std::vector<stream*> watched_;                     // that time may move
    fences_told fences_;
    std::size_t attached_ = 0;
    std::atomic<std::uint64_t> uncounted_{0};
    std::uint64_t uncounted_received_ = 0;
    std::uint64_t batches_ = 0;
    std::uint64_t given_messages_ = 0;  // put into the inbox
    std::uint64_t notices_ = 0;         // likewise
    std::uint64_t gaps_ = 0;
    std::uint64_t lost_messages_ = 0;
    std::uint64_t repairs_ = 0;
    std::uint64_t duplicates_ = 0;
    bool closed_ = false;

    bool started_ = false;  // positions are known: publishers are subscribed to
    peer_state* store_ = nullptr;
    step step_ = step::away;
    bool store_reads_ = false;  // its subscription has credit
    wire::channel group_channel_ = 0;
    wire::channel locate_channel_ = 0;
    bool located_ = false;          // where to begin
    bool group_answering_ = false;  // some of its answer came
    bool jumped_ = false;           // since the answer began a stream's position did
    time_point ask_again_at_ = runtime::loop::never;
    time_point wake_at_ = runtime::loop::never;
    std::optional<generation> generation_;
    std::optional<incarnation> met_;  // of the group, as it was attached to
    std::atomic<std::uint32_t> turn_{0};
    std::uint32_t moved_in_ = 0;  // the turn that began when the group was moved last
    bool paused_ = false;
    bool ask_anew_ = false;  // the store has to be, for a stream's sake
    time_point store_asked_at_{};
    std::size_t wanting_ = 0;
    std::size_t live_ = 0;
    std::uint64_t lag_ = 0;
    protocol::convergence convergence_;
    std::uint64_t fallbacks_ = 0;
    std::uint32_t next_number_ = 0;
    std::size_t forget_at_ = 0;  // streams
    std::uint64_t early_messages_ = 0;
    ack_box acks_;
    std::vector<ack_box::done> taken_acks_;
    protocol::ack_batcher batcher_;
    std::unordered_map<std::string, replay_bound> ends_;  // by source
    bool end_known_ = false;
    bool end_told_ = false;
    errc refusal_ = errc::ok;        // set before the inbox says that it is over
    errc store_refusal_ = errc::ok;  // why the store gives nothing now
};

}  // namespace cairn::patterns
