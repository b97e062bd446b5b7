#pragma once

#include "replay.hpp"
#include "service_parts.hpp"

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace cairn::daemon {

/// Attaches members to durable groups, and keeps what they acked.
///
/// Owns:    the attachments of all links.
/// Threads: loop.
/// Limits:  subscriptions_per_peer_max attachments a link; an attachment has ack_frames_max ACK
///          frames that are not durable, and in them ack_ranges_max ranges; a link has
///          ack_ranges_a_link_max. Beyond, the attachment is ended.
class grouping final : public commit_client, public topic_watcher {
public:
    /// Settings, in the store, of a group that one active member reads.
    static constexpr std::string_view settings_each = "each";
    static constexpr std::size_t ack_frames_max = 1'024;
    static constexpr std::size_t ack_ranges_max = 1'024;
    static constexpr std::size_t ack_ranges_a_link_max = 65'536;

    explicit grouping(service_parts& parts);
    ~grouping();

    errc attach(runtime::link& from, const wire::attach_group& request);
    errc ack(runtime::link& from, const wire::ack& request);
    void detach(runtime::link& from, const wire::detach& request);
    void link_down(const runtime::link& gone);

    std::uint32_t members_of(store::topic_id topic, store::group_id group) const;
    /// The group is about to be moved: acks that come are void.
    void hold(store::topic_id topic, store::group_id group);
    /// The group was sought, or could not be: the attachments of its members end.
    void moved(store::topic_id topic, store::group_id group);
    /// Ends the attachments of its members.
    void end_all(store::topic_id topic, store::group_id group, errc why);

    void replied(std::uint32_t token, const store::reply& answer, bool flushed) override;
    void settled() override;
    void topic_changed(known_topic& topic) override;
    void topic_removed(known_topic& topic) override;

    void add_stats(store_server_stats& to) const;

private:
    struct member;
    struct group;
    /// Attachments, those included that left while a request of theirs was under way, and the
    /// ranges that they acked. A reader thread may be the last to let go of one.
    struct of_one_link {
        std::atomic<std::size_t> members = 0;
        std::atomic<std::size_t> ranges = 0;
    };
    using group_key = std::pair<std::uint32_t, std::uint32_t>;  // topic and group
    /// A command under way.
    struct flight {
        enum class kind : std::uint8_t { make_topic, make_group, ack };

        flight::kind what = kind::ack;
        std::shared_ptr<member> of;
        group_key group;
        std::uint64_t frame = 0;  // ack: number of the frame that it is a part of
        // Of an ack:
        bool former_run = false;
        store::source_id source{};
        cairn::epoch epoch{};
        std::vector<sequence_range> ranges{};
    };
    using members = std::map<channel_key, std::shared_ptr<member>>;

    void make_topic(const std::shared_ptr<member>& of);
    void place(const std::shared_ptr<member>& of);
    void make_group(const std::shared_ptr<member>& of);
    void joined(const std::shared_ptr<member>& of, store::group_id id);
    void activate(group& of);
    void tell(member& to, const group_progress& progress);
    void fail(const std::shared_ptr<member>& of, errc why);
    void leave(const std::shared_ptr<member>& of);
    void submit(const std::shared_ptr<member>& of, std::uint64_t frame, store::source_id source,
                cairn::epoch epoch, bool former_run, std::vector<sequence_range> ranges);
    bool is_moving(const group& which) const;
    void go_on(const flight& which, sequence next);
    void part_done(const std::shared_ptr<member>& of, std::uint64_t frame);
    void acked(const flight& which, errc code);
    void release(const std::shared_ptr<member>& of, known_topic& topic);

    service_parts& parts_;
    members members_;
    std::unordered_map<std::uint64_t, std::shared_ptr<of_one_link>> members_of_;
    std::map<group_key, std::unique_ptr<group>> groups_;
    std::map<group_key, std::size_t> moving_;  // seeks under way: acks that come are void
    slots<flight> flights_;
    std::vector<std::shared_ptr<member>> marked_;  // to be told ACKED
};

}  // namespace cairn::daemon
