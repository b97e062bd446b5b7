#pragma once

#include "in_use.hpp"
#include "published_batch.hpp"
#include "store_line.hpp"
#include "tap.hpp"

#include <cairn/protocol/credit.hpp>
#include <cairn/protocol/heads.hpp>
#include <cairn/protocol/ring.hpp>
#include <cairn/publisher.hpp>
#include <cairn/runtime/hub.hpp>
#include <cairn/runtime/inlet.hpp>
#include <cairn/runtime/link.hpp>
#include <cairn/runtime/loop.hpp>
#include <cairn/wire/frames.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cairn::patterns {

class publishing;
class publication;
class subscription;

/// One publisher as the loop knows it.
///
/// Threads: inlet and `counters` as they say, the rest loop.
class publication final : public runtime::task {
public:
    /// `store`: endpoint of its store as hub::connect_store() returned it; empty: none.
    /// On the user's thread; publishing::add() follows.
    publication(publishing& owner, std::string topic, publisher_options options, epoch run,
                const std::string& store);
    ~publication();
    void start() {
        if (store_) store_->start();
    }

    runtime::inlet& inlet() noexcept { return inlet_; }
    in_use& users() noexcept { return users_; }
    const std::string& topic() const noexcept { return topic_; }
    const std::string& source() const noexcept { return options_.source; }
    cairn::epoch epoch() const noexcept { return epoch_; }

    /// Takes what gathered, and sends what readers may be sent.
    void run(time_point now) override;

    /// Attaches a subscription; `resume` may be nullptr. Returns the head that it is to be told; a
    /// PING must follow it.
    wire::head attach(subscription& to, const wire::resume_point* resume, bool is_new,
                      time_point now);
    void detach(const subscription& from);
    void rewind(subscription& reader, sequence next, time_point now);
    /// What the subscription can be told of this stream now.
    wire::head head_for(const subscription& reader) const;
    /// The reader granted credit or its link is free again.
    void may_go_on(subscription& reader, bool progress, time_point now);
    void fence(cairn::epoch newer);
    void refused(errc why, bool for_good);

    /// Readers that know that they are attached.
    std::size_t readers() const noexcept;
    /// Messages that some attached reader was not sent.
    std::uint64_t unsent() const;
    /// Accepted, and not durable in its store, which would take it; 0 once a close() has told.
    std::uint64_t unstored() const noexcept;
    /// Publisher::close() and flush(); they take the loop's lock themselves.
    std::uint64_t close(time_point until);
    std::uint64_t flush(time_point until);
    sequence durable() const noexcept { return store_ ? store_->durable() : sequence{}; }
    void node_closing();
    void tell_end();
    handle_stats stats() const;

private:
    struct cursor {
        subscription* to = nullptr;  // nullptr: the slot is unused
        protocol::scheduled_stream schedule{};
        bool stalled = false;          // and so in the subscription's list
        std::uint64_t told_token = 0;  // of the PING behind the head that told the reader of us
        sequence cut{};                // of a batch that is sent in cuts: what lies before was sent
        // For close():
        bool ended = false;      // END is sent
        std::uint64_t ping = 0;  // under way; 0: none
        sequence asked{};        // what its answer confirms
        sequence confirmed{};

        // A reader that does not know of us yet would, should its link break now, begin again live,
        // and miss what was published meanwhile.
        bool knows() const noexcept;
    };

    /// What peers may see ends here.
    sequence visible() const;
    /// Of what was taken from the inlet.
    sequence last_shown() const;
    /// Peers that read from the ring.
    std::size_t peers() const noexcept;
    std::uint64_t put_aside(std::uint64_t left);
    std::uint64_t not_durable(sequence up_to) const noexcept;
    std::uint64_t lost() const noexcept;
    std::uint64_t ask_for_confirmation();
    std::uint64_t unconfirmed(const cursor& of, std::uint64_t lag) const;
    bool somebody_is_idle() const;
    void tell_end(cursor& of);
    bool take_some(time_point now);
    bool take_one(bool open_too, time_point now);
    void keep(runtime::sealed_batch batch, time_point now);
    void pump(time_point now);
    void pump_readers(time_point now);
    void pump_one(protocol::reader which, time_point now);
    wire::batch_header header_of(sequence first, std::uint32_t count, wall_time time) const;
    bool sent_to(subscription& to, runtime::link::sent outcome, std::size_t body_bytes);
    bool send_in_cuts(cursor& to, published_batch& batch);
    void stall(cursor& which);
    void stall_all();
    cursor& at(protocol::reader which) { return cursors_[static_cast<std::size_t>(which)]; }
    std::pair<protocol::reader, cursor*> find(const subscription& of);

    publishing& owner_;
    in_use users_;
    const std::string topic_;
    const publisher_options options_;
    const cairn::epoch epoch_;
    runtime::inlet inlet_;
    protocol::ring<batch_handle> ring_;
    std::unique_ptr<store_line> store_;  // nullptr: none; its readers have no cursor
    std::vector<cursor> cursors_;        // by the ring's reader number
    std::uint64_t batches_ = 0;
    std::uint64_t repairs_ = 0;
    std::uint64_t dropped_ = 0;
    std::uint64_t left_behind_told_ = 0;
    sequence shown_;          // store_first: what readers' heads told last
    cairn::epoch storing_{};  // as readers were told
    bool fenced_ = false;
    bool closing_ = false;                  // close() waits for progress
    std::atomic<bool> handed_over_{false};  // close() left nothing
    std::atomic<std::uint64_t> left_{0};    // by a close(), as it saw last
};

/// One subscription of one peer: a channel on a link.
///
/// Threads: loop.
class subscription final : public runtime::task {
public:
    subscription(publishing& owner, runtime::link& link, const wire::subscribe& request,
                 time_point now);
    ~subscription();

    /// Tells changed heads, and the digest.
    void run(time_point now) override;

    bool matches(std::string_view topic) const noexcept;
    /// What its node may leave unread, whatever credit it grants: batches on their way keep their
    /// memory although the ring has dropped them.
    static constexpr std::uint64_t in_transit_max = std::uint64_t{64} << 20;

    /// May a batch be sent to it?
    bool ready() const noexcept {
        return credit.may_send() && !blocked && link.in_transit() < in_transit_max;
    }
    /// So little is on its way that even a batch of one is worth sending. Above it batches are sent
    /// only when they are full: the rule of Nagle (RFC 896) with the reader's credit reports for
    /// acks.
    bool idle() const noexcept { return ready() && credit.outstanding() < idle_bytes_max(); }
    /// More than a reader leaves unreported when it has taken all: less than one and a half of its
    /// steps, that is three eighths of its window. The window known here is seven of them at least.
    std::uint64_t idle_bytes_max() const noexcept {
        return std::clamp<std::uint64_t>(credit.window() / 2, 1, 2 * wire::credit_report_bytes);
    }
    publishing& owner;
    runtime::link& link;
    const wire::channel channel;
    const std::string pattern;  // without the `*`
    const bool prefix;
    const wire::start from;
    protocol::credit_sender credit;
    protocol::head_schedule heads;
    std::vector<publication*> by_schedule;  // by scheduled_stream
    std::vector<publication*> stalled;      // wait for credit, or for the link
    bool blocked = false;
    std::uint64_t digest_sum = 0;
    bool digest_stale = true;

    void head_changed(protocol::scheduled_stream which, time_point now);

private:
    void tell_digest();
    void tell_stalled();
};

/// The sending side of publish/subscribe of one node: its publishers, and what its peers
/// subscribed.
///
/// Owns:    subscriptions. Publications belong to their publishers.
/// Threads: loop.
class publishing final : public runtime::frame_handler {
public:
    explicit publishing(runtime::hub& owner);
    ~publishing();

    runtime::hub& hub() noexcept { return hub_; }

    void add(publication& which, time_point now);
    void remove(publication& which);
    /// Throws error as node::open_tap does.
    runtime::endpoint open_tap(const runtime::endpoint& where);
    bool close_tap(const runtime::endpoint& where);
    std::uint64_t taps_emptied() const noexcept { return taps_emptied_; }
    bool has_taps() const noexcept { return !taps_.empty(); }
    /// Closes all publishers as publisher::close() does; takes the loop's lock itself.
    std::uint64_t close_all(time_point until);
    void mirror(const publication& which, std::span<const std::byte> body);
    /// Whether the peer's word that a newer run exists counts: it must have the right to be one.
    /// Otherwise it is told so.
    bool may_fence(runtime::link& who, std::string_view topic);

    void link_down(runtime::link& gone) override;
    void link_writable(runtime::link& free) override;
    void fenced(runtime::link& from, const wire::fenced& told) override;
    void link_drained(runtime::link& drained) override;
    errc frame(runtime::link& from, const wire::control_frame& frame) override;
    void node_closing() override;
    void add_stats(std::vector<handle_stats>& out) const override;

private:
    using key = std::pair<std::uint64_t, wire::channel>;  // link's number and channel

    errc subscribe(runtime::link& from, const wire::subscribe& request);
    subscription* find(runtime::link& from, wire::channel channel);
    /// Streams that all subscriptions of one link follow.
    std::size_t streams_of(std::uint64_t link) const;
    /// Its waiting publications may send.
    void go_on(const runtime::link& with, bool writable);

    runtime::hub& hub_;
    std::vector<publication*> publications_;
    std::map<key, std::unique_ptr<subscription>> subscriptions_;
    // SUBSCRIBE frames with more to come; their strings are copied here.
    struct partial;
    std::map<key, std::unique_ptr<partial>> partial_;
    std::vector<std::unique_ptr<tap>> taps_;
    std::uint64_t taps_emptied_ = 0;
};

}  // namespace cairn::patterns
