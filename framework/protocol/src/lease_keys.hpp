#pragma once

#include <cstdint>
#include <deque>
#include <optional>
#include <unordered_map>

namespace cairn::protocol {

/// Order per key: of the unfinished messages of one key only the first may go anywhere. Each
/// message knows the next of its key, so that finishing one names the one that it held back.
///
/// Limits:  16 bytes a message above the floor, and a map entry a key that is unfinished.
class key_order {
public:
    explicit key_order(std::uint64_t first) : base_(first) {}

    /// Returns whether the message must wait for an earlier one.
    /// Requires: ascending sequences.
    bool add(std::uint64_t sequence, std::uint64_t key) {
        messages_.resize(sequence - base_);  // what is left out has no key
        messages_.push_back({key, 0});
        if (key == no_key) return false;
        const auto [last, is_first] = last_of_.try_emplace(key, sequence);
        if (is_first) return false;
        at(last->second).next = sequence;
        last->second = sequence;
        return true;
    }

    /// Returns the message that need not wait any more.
    /// Requires: no earlier message of the key is unfinished.
    std::optional<std::uint64_t> finish(std::uint64_t sequence) {
        const message done = at(sequence);
        if (done.key == no_key) return std::nullopt;
        if (done.next != 0) return done.next;
        last_of_.erase(done.key);
        return std::nullopt;
    }

    /// Forgets all up to `floor`.
    /// Requires: they are finished.
    void drop(std::uint64_t floor) {
        for (; base_ <= floor && !messages_.empty(); ++base_) messages_.pop_front();
    }

private:
    static constexpr std::uint64_t no_key = 0;

    struct message {
        std::uint64_t key = no_key;
        std::uint64_t next = 0;  // 0: none yet
    };

    message& at(std::uint64_t sequence) { return messages_[sequence - base_]; }

    std::uint64_t base_;  // the sequence of messages_.front()
    std::deque<message> messages_;
    std::unordered_map<std::uint64_t, std::uint64_t> last_of_;
};

}  // namespace cairn::protocol
