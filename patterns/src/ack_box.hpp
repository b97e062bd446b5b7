#pragma once

#include <cairn/ids.hpp>

#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cairn::patterns {

/// Where user threads leave what they have done of a durable group, for the loop to take.
///
/// Of the batch in hand only the number of the message that was given last is written for each
/// message; the rest costs once a batch.
///
/// Threads: thread-safe; open(), giving() and close() one at a time. After forget() it is open()
/// that begins anew.
class ack_box {
public:
    struct done {
        std::string source;
        cairn::epoch epoch;
        sequence_range range;
    };

    /// True when the loop must be told.
    bool put(std::string_view source, epoch run, sequence_range range) {
        const std::lock_guard lock(mutex_);
        return add(source, run, range);
    }

    /// The user got a batch of which all before the message given last is done.
    void open(std::string_view source, epoch run, sequence first) {
        const std::lock_guard lock(mutex_);
        given_.store(first.value, std::memory_order_relaxed);
        current_ = {std::string(source), run, {first, {}}};
    }
    /// `message` was given: all before it is done. The only thing that a message costs.
    void giving(sequence message) noexcept {
        given_.store(message.value, std::memory_order_relaxed);
    }
    /// All up to `last` is done. The loop comes for it by itself: it delivered the batch.
    void close(sequence last) {
        const std::lock_guard lock(mutex_);
        if (!current_) return;
        const done batch = *std::exchange(current_, std::nullopt);
        add(batch.source, batch.epoch, {batch.range.first, last});
    }

    /// What was done counts for nothing, nor does what is given of the batch.
    void forget() {
        const std::lock_guard lock(mutex_);
        waiting_.clear();
        current_.reset();
    }

    /// Whether the loop is to come again by itself, so that it need not be told: when it wants to,
    /// and when something came meanwhile.
    bool look_again(bool wanted) {
        const std::lock_guard lock(mutex_);
        return loop_comes_ = wanted || !waiting_.empty();
    }

    /// Moves all into `out`. True when a batch is still in hand.
    bool take(std::vector<done>& out) {
        const std::lock_guard lock(mutex_);
        out.clear();
        if (current_) {
            const sequence given{given_.load(std::memory_order_relaxed)};
            if (current_->range.first < given) {
                add(current_->source, current_->epoch, {current_->range.first, given - 1});
                current_->range.first = given;
            }
        }
        out.swap(waiting_);
        return current_.has_value();
    }

private:
    bool add(std::string_view source, epoch run, sequence_range range) {
        if (range.empty()) return false;
        if (!waiting_.empty()) {
            done& last = waiting_.back();
            if (last.epoch == run && last.source == source && range.first == last.range.last + 1) {
                last.range.last = range.last;
                return false;
            }
        }
        waiting_.push_back({std::string(source), run, range});
        return waiting_.size() == 1 && !loop_comes_;
    }

    std::mutex mutex_;
    std::vector<done> waiting_;    // guarded by mutex_
    std::optional<done> current_;  // guarded by mutex_; `last` unused
    bool loop_comes_ = false;      // guarded by mutex_
    std::atomic<std::uint64_t> given_{0};
};

}  // namespace cairn::patterns
