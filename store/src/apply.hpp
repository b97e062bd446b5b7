#pragma once

#include "changes.hpp"
#include "retention.hpp"

#include <cairn/store/commands.hpp>

#include <string_view>

namespace cairn::store {

/// A command that fails had changed something, because it met damage or made room in vain: its
/// transaction is void.
struct half_applied {
    errc why;
};

/// The transaction has taken enough: a command that changed nothing yet begins the next one.
struct transaction_full {};

/// Applies commands to the changes of one transaction. What a command needs is read and judged
/// before it changes anything, so that one that fails leaves nothing behind.
class applier {
public:
    applier(changes& c, const store_limits& limits, const generation& which, work_budget& budget)
        : c_(c), limits_(limits), generation_(which), budget_(budget) {}

    /// Every append is answered with this from now on; ok: none is.
    void refuse_appends(errc why) noexcept { refusal_ = why; }

    /// Bytes that commands may read, copy or forget together; the first one is let in in any case.
    void bound(std::size_t bytes_max) noexcept { bytes_max_ = bytes_max; }

    /// Fails: transaction_full; lmdb::failure; damaged records become store_damaged, or throw
    /// half_applied.
    reply apply(const command& wanted);

    std::uint64_t repeats() const noexcept { return repeats_; }

private:
    /// Requires: the command has changed nothing. Throws transaction_full.
    void take(std::uint64_t bytes);
    /// The same for pages that a command may change.
    void take_pages(std::uint64_t pages);
    /// The same for attempts, when so many messages of a group are done, and what was trimmed.
    void take_attempts(topic_id t, group_id g, std::uint64_t messages);
    /// The same for the pages of so many chunks of a group's acks, or of all that it may have.
    void take_chunks(topic_id t, group_id g, std::uint64_t chunks);
    /// The same for all that a group knows.
    void take_group(topic_id t, group_id g);

    reply on(const open_source& w);
    reply on(const append& w);
    reply on(const declare_lost& w);
    reply on(const create_topic& w);
    reply on(const alter_topic& w);
    reply on(const delete_topic& w);
    reply on(const trim& w);
    reply on(const purge& w);
    reply on(const create_group& w);
    reply on(const alter_group& w);
    reply on(const delete_group& w);
    reply on(const seek_group& w);
    reply on(const ack& w);
    reply on(const ack_positions& w);
    reply on(const note_attempts& w);
    reply on(const dead_letter& w);
    reply on(const redrive& w);

    /// make_room(). Throws half_applied when messages were dropped for nothing.
    errc room_for(topic_id t, std::uint64_t cost, std::uint64_t messages);
    /// Topic and source of an append, and that it comes from the current run: ok or what to answer.
    reply check_run(topic_id t, source_id s, epoch e, const topic_record*& topic,
                    const source_record*& source);
    /// What is stored of [w.first, up to] against the batch's own bytes.
    reply repeated(const append& w, sequence last_stored);
    /// Requires: source and count fit behind what is stored.
    appended store(topic_id t, source_id s, batch_record header, bytes body);
    void remember_keys(topic_id t, offset first, bytes body);
    struct keys_found {
        std::uint64_t count = 0;
        std::uint64_t cost = 0;  // at most, beside the messages
    };
    keys_found keys_in(topic_id t, bytes body);
    bool is_counted(topic_id t, const key& k);
    void charge(topic_id t, std::uint64_t cost);

    result<topic_id> topic_for(std::string_view name, bool create, bool letters);
    errc check_new_topic(std::string_view name);
    topic_id make_topic(std::string_view name, const topic_config& config, bool letters);
    source_id make_source(topic_id t, std::string_view name, std::string_view owner);
    group_id make_group(topic_id t, std::string_view name, std::string_view settings, offset floor);
    source_id own_source(topic_id t, std::string_view name);
    void forget_oldest_runs(topic_id t, source_id s);

    errc check_group(topic_id t, group_id g);
    errc check_unfinished(topic_id t, group_id g, offset message);
    /// Chunks of the group's acks that a range of positions may touch, at most.
    std::uint64_t chunks_of(const ack_positions& w, sequence_range range);
    /// What one ack of positions may still look at.
    struct ack_budget {
        std::uint32_t batches = ack_batches_max;
        std::uint64_t messages = ack_range_max;
    };
    /// Appends the stored offsets of a range of positions that lie above the group's floor. Returns
    /// where to go on with another budget; 0: nowhere.
    sequence offsets_of(const ack_positions& w, sequence_range range, ack_budget& left,
                        std::vector<offset_range>& out);

    changes& c_;
    const store_limits& limits_;
    const generation& generation_;
    work_budget& budget_;
    errc refusal_ = errc::ok;
    std::size_t bytes_max_ = commit_bytes_max;
    std::uint64_t bytes_taken_ = 0;
    std::uint64_t bytes_before_ = 0;  // the present command
    std::uint64_t pages_taken_ = 0;
    std::uint64_t pages_before_ = 0;
    std::uint64_t repeats_ = 0;
};

}  // namespace cairn::store
