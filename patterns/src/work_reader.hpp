#pragma once

#include "fences_told.hpp"
#include "hand.hpp"
#include "job_ledger.hpp"
#include "job_streams.hpp"

#include <cairn/protocol/epochs.hpp>
#include <cairn/protocol/work_credit.hpp>
#include <cairn/puller.hpp>
#include <cairn/runtime/hub.hpp>
#include <cairn/runtime/link.hpp>
#include <cairn/runtime/loop.hpp>
#include <cairn/runtime/received_batch.hpp>
#include <cairn/runtime/waiter.hpp>

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cairn::patterns {

/// One puller as the loop knows it: attaches at every peer, and tells pushers what became of their
/// messages.
///
/// Threads: loop, but inbox, verbs and counters as they say.
class work_reader final : public runtime::frame_handler, public runtime::task {
public:
    work_reader(runtime::hub& owner, std::string topic, const puller_options& options);
    ~work_reader();

    runtime::inbox<std::unique_ptr<runtime::received_batch>>& inbox() noexcept { return inbox_; }

    /// What the application did. Any thread. Returns for how many messages: others are not held.
    std::uint64_t apply(const job_verb& verb);

    // The application's thread, a batch after the other:
    void open(const runtime::received_batch& batch);
    /// The next message of the open batch. False when it is not the application's any more: it was
    /// given back while it waited, or came again, or the reader is closed.
    bool take(const runtime::received_batch& batch, sequence which) {
        if (!hand_.take(which)) [[unlikely]]
            return take_slowly(batch, which);
        return batch.delivery > ledger_.void_up_to() || !is_void(batch, which);
    }
    /// It is through with the batch.
    void pass(const runtime::received_batch& batch);

    /// The application asks for a message, and has taken all that came. Any thread.
    void asked();

    void run(time_point now) override;
    void link_up(runtime::link& peer) override;
    void link_down(runtime::link& peer) override;
    errc frame(runtime::link& from, const wire::control_frame& frame) override;
    void batch(runtime::link& from, std::unique_ptr<runtime::received_batch> batch) override;
    void node_closing() override;
    void add_stats(std::vector<handle_stats>& out) const override;

    /// Pushers that peers say they have on the topic.
    std::size_t attached() const noexcept;
    void close();
    handle_stats stats() const;
    wire::channel channel() const noexcept { return channel_; }

    // On the user's thread.
    std::atomic<std::uint64_t> messages{0};
    std::atomic<std::uint64_t> bytes{0};
    std::atomic<std::uint64_t> bytes_passed{0};  // charged, of batches that it is through with
    std::atomic<std::uint64_t> too_late{0};  // verbs about what is not held any more; any thread

private:
    bool is_void(const runtime::received_batch& batch, sequence which) const;
    bool take_slowly(const runtime::received_batch& batch, sequence which) const;
    /// What waits for so long that its lease will end is another's, and no delivery.
    void release_waiting(time_point now);
    bool has_room() const noexcept;
    /// Whether no newer run was met, nor another node that has the same. Otherwise it is told to
    /// stop.
    bool may_push(runtime::link& from, const wire::jobs_header& header);
    /// Jobs are no request: of those of a link that are refused for one cause the first is
    /// answered, and all are counted.
    void refuse(runtime::link& from, errc why, std::string_view text);
    /// A stream for what comes; nothing when the link has too many.
    std::optional<job_streams::number> open_stream(runtime::link& from,
                                                   const wire::jobs_header& header);
    void leave();
    void tell(const std::vector<job_verb>& verbs);
    void grant(const job_stream& to, const std::optional<protocol::work_grant>& total);
    /// Their pushers are gone: nothing of it is held any more.
    void forget(const std::vector<job_streams::number>& ended);

    runtime::hub& hub_;
    const std::string topic_;
    const puller_options options_;
    const wire::channel channel_;
    runtime::inbox<std::unique_ptr<runtime::received_batch>> inbox_;
    struct pushing_peer {
        std::uint32_t pushers = 0;  // as it told
        errc refusal = errc::ok;    // why it gives this puller nothing
    };
    std::map<runtime::link*, pushing_peer> peers_;
    job_streams streams_;
    protocol::epoch_table epochs_;
    fences_told fences_;
    std::set<std::pair<std::uint64_t, errc>> refused_;  // by number of the link

    mutable std::mutex mutex_;
    job_ledger ledger_;  // guarded by mutex_, and these, of the batch that is open:
    std::uint32_t open_stream_ = 0;
    std::uint64_t open_delivery_ = 0;
    sequence open_first_;
    std::optional<std::pair<std::uint64_t, sequence>> last_taken_;  // once it left
    hand hand_;
    std::atomic<bool> asked_{false};        // and not yet dealt with
    std::atomic<bool> turned_away_{false};  // somebody, within its credit, for want of room

    time_point look_at_ = runtime::loop::never;  // at what waits
    std::uint64_t batches_ = 0;
    std::uint64_t bytes_put_ = 0;  // into the inbox, charged
    std::uint64_t refused_acks_ = 0;
    bool closed_ = false;
};

}  // namespace cairn::patterns
