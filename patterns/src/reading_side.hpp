#pragma once

#include "receiving_side.hpp"
#include "subscription_reader.hpp"

#include <cairn/message.hpp>
#include <cairn/runtime/hub.hpp>
#include <cairn/subscriber.hpp>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace cairn::patterns {

/// The user's side of a subscriber or replay: takes from its reader's inbox, and gives message by
/// message.
///
/// Owns:    the reader.
/// Threads: one at a time, but close().
/// Fails:   construction throws error as subscriber's does.
class reading_side {
public:
    reading_side(runtime::hub& owner, std::string_view verb, std::string_view pattern,
                 subscriber_options given, std::optional<replay_end> end = {});
    ~reading_side();
    reading_side(const reading_side&) = delete;
    reading_side& operator=(const reading_side&) = delete;

    runtime::hub& hub() noexcept { return hub_; }
    subscription_reader& reader() noexcept { return *reader_; }

    /// Moves to the next message or notice. Nothing: the deadline passed, or closed, or a replay is
    /// over.
    std::optional<event> next(std::optional<time_point> deadline);
    /// The same, with notices called back.
    std::optional<message> next_message(std::optional<time_point> deadline) {
        // The way of nearly every call: the next record of the batch in hand.
        if (!current_.done() && reader_->turn() == turn_ && !reader_->inbox().closed())
            return message_here();
        return next_message_slowly(deadline);
    }
    void close();
    /// A replay gave all.
    bool at_end() const noexcept { return over_ && failure() == errc::ok; }
    /// Why a replay is over before its end; ok otherwise.
    errc failure() const noexcept { return over_ ? reader_->refusal() : errc::ok; }
    std::vector<resume_from> positions();

private:
    message message_here() {
        const cairn::sequence sequence = current_.next();
        const wire::record record = current_.take();
        ++batch_messages_;
        batch_bytes_ += record.attributes.size() + record.body.size();
        if (acks_itself_) reader_->acks().giving(sequence);
        return {*current_.get(), sequence, record.attributes, record.body};
    }
    std::optional<message> next_message_slowly(std::optional<time_point> deadline);
    void open_batch_of(subscriber_item& item);
    void finish_batch();
    bool settle_turn();
    void forget_void_items();
    void leave_out_done();
    void give_back(const runtime::received_batch& batch);
    void finish_gap();
    std::unique_ptr<runtime::received_batch> close_batch();
    std::nullopt_t drop_waiting();
    void call_back(const event& told);
    event announce(std::uint32_t stream, const notice& told);
    void note(std::uint32_t stream, std::string_view topic, std::string_view source,
              cairn::epoch epoch, sequence next);

    runtime::hub& hub_;
    const subscriber_options options_;
    const bool acks_itself_;
    std::unique_ptr<subscription_reader> reader_;
    std::vector<subscriber_item> items_;  // taken from the inbox, up to `at_` given out
    std::size_t at_ = 0;
    open_batch current_;
    std::optional<gap> told_gap_;  // to a member of a group, and not acked yet
    std::uint32_t told_gap_turn_ = 0;
    std::uint64_t batch_messages_ = 0;
    std::uint64_t batch_bytes_ = 0;
    std::unordered_map<std::uint32_t, resume_from> positions_;  // by the reader's stream number
    std::uint32_t turn_ = 0;  // the reader's that what is here was settled for
    std::uint32_t in_hand_turn_ = 0;
    bool over_ = false;
};

}  // namespace cairn::patterns
