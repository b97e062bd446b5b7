#pragma once

#include "cut.hpp"
#include "published_batch.hpp"

#include <cairn/delivery.hpp>
#include <cairn/protocol/ring.hpp>
#include <cairn/protocol/store_feed.hpp>
#include <cairn/publisher.hpp>
#include <cairn/runtime/hub.hpp>
#include <cairn/runtime/link.hpp>
#include <cairn/runtime/loop.hpp>
#include <cairn/runtime/spill.hpp>
#include <cairn/wire/frames.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace cairn::patterns {

/// The line from one publisher to its store: opens the source on each new link, appends what the
/// feed says, and takes what the store answers.
///
/// Owns:    its channel, and two readers of the ring, which outlives it.
/// Threads: loop, but construction and durable().
/// Fails:   never after construction; what a store refuses is logged, and tried again where that
///          can help.
class store_line final : public runtime::frame_handler, public runtime::task {
public:
    /// Whose line it is.
    struct owner {
        runtime::task& publication;  ///< is run when something changed
        std::function<void(epoch newer)> fence;
        std::function<void(errc why, bool for_good)> refused;
    };

    /// `endpoint` as hub::connect_store() returned it; `options` with delivery set. Reads what a
    /// spill holds, so it may take a while: on the user's thread, without the loop. start()
    /// follows.
    store_line(runtime::hub& hub, owner of, std::string endpoint, std::string topic, epoch run,
               const publisher_options& options, protocol::ring<batch_handle>& ring);
    ~store_line();

    void start() { hub_.add(*this); }

    // --- Publishing -----------------------------------------------------------------------------

    /// May a batch of that size go into the ring? `refuse`: no, and its publisher is to be told so.
    struct admission : protocol::admission {
        bool refuse = false;
    };
    admission admit(std::size_t bytes, time_point now);
    void pushed(const batch_handle& batch) {
        feed_.pushed(batch);
        if (spills_ && !over()) unspilled_.push_back(batch);
    }
    /// Everything that the store does not have is to be put aside, since its publisher closes.
    /// Does nothing without a spill.
    void put_all_aside() noexcept { put_all_aside_ = spills_; }
    bool has_spill() const noexcept { return spills_; }
    /// The disk is at work. False: nothing is left to be put aside, or there is no room.
    bool is_spilling() const noexcept { return spill_ && spill_->writing(); }
    /// All up to here is durable, or put aside on the way there.
    sequence safe() const noexcept;

    /// So little is owed that even a batch of one is worth sending: the rule of Nagle (RFC 896)
    /// with confirms for acks.
    bool idle(time_point now) { return feed_.debt(now).bytes < idle_bytes_max; }
    /// Sends what the store can take.
    void pump(time_point now);

    /// May peers see a message?
    bool may_show(sequence last) const noexcept { return feed_.may_show(last); }
    bool shows_all() const noexcept { return mode_ != delivery::store_first; }
    /// As feed::durable() and feed::stored(). Any thread.
    sequence durable() const noexcept { return {durable_.load(std::memory_order_acquire)}; }
    sequence stored() const noexcept { return {stored_.load(std::memory_order_acquire)}; }
    /// As feed::lost(). Any thread; read behind stored(), it has all that is lost up to there.
    std::uint64_t lost() const noexcept { return lost_.load(std::memory_order_acquire); }
    /// No store will take anything any more.
    bool over() const noexcept;
    /// The run that is brought into the store at present, for readers that may have to wait for an
    /// earlier one; 0: none any more.
    epoch storing() const noexcept { return over() ? epoch{} : active_epoch(); }
    /// The node closes: its links end.
    void stop() noexcept;
    void add_stats(handle_stats& to, sequence accepted, time_point now);

    // --- frame_handler, task --------------------------------------------------------------------

    void run(time_point now) override;
    void link_up(runtime::link& peer) override;
    void link_down(runtime::link& peer) override;
    void link_writable(runtime::link& peer) override;
    void fenced(runtime::link& from, const wire::fenced& told) override;
    errc frame(runtime::link& from, const wire::control_frame& frame) override;
    using frame_handler::add_stats;

private:
    using feed = protocol::store_feed<batch_handle>;

    /// What the spill holds of an earlier run. It is paid before the run of today is opened, which
    /// would fence it.
    struct debt {
        debt(const runtime::spill::part& of, const publisher_options& options, time_point now)
            : run(of),
              owed(ring, *options.delivery, options.when_full, options.ring_bytes_max, now,
                   of.range) {}
        runtime::spill::part run;
        protocol::ring<batch_handle> ring;  // empty
        feed owed;
    };

    feed& active() noexcept { return debts_.empty() ? feed_ : debts_.front()->owed; }
    cairn::epoch active_epoch() const noexcept {
        return debts_.empty() ? epoch_ : debts_.front()->run.epoch;
    }
    /// The oldest debt is done with, one way or the other.
    void end_debt(log_level level, std::string_view how);
    /// The same, since the store will never have what is left of it.
    void lose_debt(errc cause, std::string_view why, std::string_view how);
    void drop_spilled();
    bool spill_some(time_point now);
    void spill_outcome(time_point now);

    void open(time_point now);
    void close_channel();
    bool append(const feed::step& what, time_point now);
    bool append_spilled(const feed::step& what, time_point now);
    bool sent(runtime::link::sent outcome, std::size_t body_bytes, sequence last, time_point now);
    /// What goes next of a batch with bodies that the store may not take.
    cut cut_of(std::span<const std::byte> body, sequence first, sequence from) const;
    wire::batch_header header_of(sequence_range range, wall_time time) const;
    bool lose_too_large(sequence_range range, time_point now);
    /// The store is told, and the application.
    void lose(sequence_range range, errc cause, std::string_view why, time_point now);
    void note_lost(cairn::epoch run, sequence_range range, errc cause, std::string_view why);
    void opened(const wire::source_opened& told, time_point now);
    void refused(errc code, sequence next, time_point now);
    void tell_refusal(errc why);
    bool note_stored();
    void note_durable();
    void log(log_level level, std::string_view text);

    static constexpr std::size_t idle_bytes_max = std::size_t{256} << 10;

    runtime::hub& hub_;
    owner owner_;
    const std::string endpoint_;
    const std::string topic_;
    const std::string source_;
    const cairn::epoch epoch_;
    const delivery mode_;
    const std::function<void(sequence)> on_durable_;
    const std::function<void(cairn::epoch, sequence_range, errc)> on_lost_;
    feed feed_;
    const bool spills_;
    const std::size_t spill_some_bytes_;
    const std::size_t spill_bytes_max_;
    std::deque<std::unique_ptr<debt>> debts_;  // oldest first
    std::deque<batch_handle> unspilled_;       // when it spills: what is neither durable nor there
    bool put_all_aside_ = false;
    time_point spill_again_at_{};
    std::unique_ptr<runtime::spill> spill_;  // when it spills, or earlier runs did
    runtime::link* link_ = nullptr;
    wire::channel channel_ = 0;  // 0: none
    bool answered_ = false;      // SOURCE_OPENED came on the channel
    bool blocked_ = false;
    bool told_full_ = false;
    time_point reopen_at_ = runtime::loop::never;
    std::atomic<std::uint64_t> durable_{0};
    std::atomic<std::uint64_t> stored_{0};
    std::atomic<std::uint64_t> lost_{0};
    std::uint64_t lost_messages_ = 0;
    errc refusal_ = errc::ok;  // told last; ok: what was refused was taken since
    sequence refused_;         // the first of what was
};

}  // namespace cairn::patterns
