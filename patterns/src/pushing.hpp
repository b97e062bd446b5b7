#pragma once

#include "in_use.hpp"

#include <cairn/protocol/lease_table.hpp>
#include <cairn/pusher.hpp>
#include <cairn/runtime/hub.hpp>
#include <cairn/runtime/inlet.hpp>
#include <cairn/runtime/link.hpp>
#include <cairn/runtime/loop.hpp>
#include <cairn/wire/frames.hpp>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cairn::patterns {

class pushing;
class workload;

/// One puller of one peer: a channel on a link. Threads: loop.
struct attachment {
    runtime::link& link;
    const wire::channel channel;
    const std::string topic;
    const std::string member;
    const protocol::lease_credit granted;  ///< by ATTACH, for each source
};

/// One pusher as the loop knows it: its backlog, and who works on what.
///
/// Threads: inlet as it says, the rest loop.
class workload final : public runtime::task {
public:
    workload(pushing& owner, std::string topic, pusher_options options, epoch run);
    ~workload();

    runtime::inlet& inlet() noexcept { return inlet_; }
    in_use& users() noexcept { return users_; }
    const std::string& topic() const noexcept { return topic_; }
    const std::string& source() const noexcept { return options_.source; }
    cairn::epoch epoch() const noexcept { return epoch_; }

    /// Takes what gathered and lends what can be lent.
    void run(time_point now) override;

    void attach(const attachment& puller);
    void detach(const attachment& puller, protocol::departure how, time_point now);
    void granted(const attachment& puller, protocol::lease_credit total);
    /// The link can take more.
    void may_go_on() { owner_flag(); }
    /// A verb about this source; `stale` receives what the puller does not hold.
    void follow(const attachment& puller, const wire::control_frame& verb,
                const wire::job_ranges& what, time_point now, std::vector<sequence_range>& stale);
    void fence(cairn::epoch newer);

    std::size_t pullers() const noexcept { return members_.size(); }
    std::uint64_t unacked() const { return leases_.unfinished() + inlet_.waiting_messages(); }
    /// Waits until nothing of now is unacked; takes the loop's lock itself. False at the deadline.
    bool flush(time_point until);
    handle_stats stats() const;

private:
    struct member {
        const attachment* puller;
        protocol::member_id id;
        protocol::lease_credit granted;
        protocol::lease_credit lent;
        protocol::lease_credit refunded;  // lent by the table, and then not sent
        bool paused = false;

        bool has_credit() const noexcept {
            return granted.messages > lent.messages && granted.bytes > lent.bytes;
        }
    };
    /// A batch that has unfinished messages.
    struct stored {
        runtime::sealed_batch batch;
        std::uint32_t unfinished;
        std::uint32_t kept;        // of which the body has the bytes; the others are empty there
        std::vector<bool> done{};  // by message; none yet when empty
        // Where the last run that was cut from it ended: the next one mostly begins there.
        sequence known_sequence;
        std::size_t known_offset = 0;

        sequence last() const { return batch.first + (batch.count - 1); }
        std::span<const std::byte> body() const { return {batch.body.data(), batch.bytes}; }
        // So few are unfinished that they are worth a body of their own.
        bool sparse() const noexcept { return unfinished <= kept / 8; }
    };

    void owner_flag();
    bool take_one();
    bool make_room(std::size_t bytes);
    void thin(stored& in);
    void admit(runtime::sealed_batch batch);
    bool lend_one(time_point now);
    bool somebody_is_idle() const;
    bool somebody_has_credit() const;
    void grant(const member& to);
    void resume_paused();
    protocol::fitted fit(const protocol::fit_request& asked);
    runtime::link::sent send(const protocol::assignment& run, const attachment& to);
    stored& batch_of(sequence which);
    std::size_t offset_of(stored& in, sequence which);
    void finished(sequence_range range);
    void give_up();
    member* member_of(const attachment& puller);
    member* member_of(protocol::member_id id);

    pushing& owner_;
    in_use users_;
    const std::string topic_;
    const pusher_options options_;
    const cairn::epoch epoch_;
    runtime::inlet inlet_;
    protocol::lease_table leases_;
    std::vector<member> members_;
    std::deque<stored> batches_;
    std::size_t stored_bytes_ = 0;
    std::size_t sparse_bytes_ = 0;  // of batches that are sparse
    std::uint64_t sent_batches_ = 0;
    std::vector<std::byte> header_;
    bool fenced_ = false;
    bool waited_for_ = false;  // flush() waits for progress
};

/// The sending side of push/pull of one node: its pushers, and the pullers of its peers.
///
/// Owns:    attachments. Workloads belong to their pushers.
/// Threads: loop.
class pushing final : public runtime::frame_handler {
public:
    explicit pushing(runtime::hub& owner);

    runtime::hub& hub() noexcept { return hub_; }

    void add(workload& which);
    void remove(workload& which);
    /// Waits as pusher::close() does for all of them; takes the loop's lock itself.
    std::uint64_t close_all(time_point until);

    void link_down(runtime::link& gone) override;
    void link_writable(runtime::link& free) override;
    void link_drained(runtime::link& drained) override { link_writable(drained); }
    void fenced(runtime::link& from, const wire::fenced& told) override;
    errc frame(runtime::link& from, const wire::control_frame& frame) override;
    void node_closing() override;
    void add_stats(std::vector<handle_stats>& out) const override;

private:
    using key = std::pair<std::uint64_t, wire::channel>;  // link's number and channel

    errc attach(runtime::link& from, const wire::attach& request);
    errc verb(runtime::link& from, const wire::control_frame& frame, const wire::job_ranges& what);
    bool pulls(const runtime::link& peer, std::string_view topic) const;
    void tell_pushers(const attachment& to);
    void end(const attachment& which, protocol::departure how);

    runtime::hub& hub_;
    std::vector<workload*> workloads_;
    std::map<key, attachment> attachments_;
};

}  // namespace cairn::patterns
