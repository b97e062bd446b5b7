#pragma once

#include <cairn/ids.hpp>
#include <cairn/runtime/received_batch.hpp>
#include <cairn/wire/limits.hpp>
#include <cairn/wire/records.hpp>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// What subscribers and pullers have in common on the user's side.
namespace cairn::patterns {

/// Adds ranges to others; each is ascending, and so is what comes of it, without overlaps.
inline void join(std::unique_ptr<std::vector<sequence_range>>& to,
                 std::vector<sequence_range> more) {
    std::erase_if(more, [](const sequence_range& r) { return r.empty(); });
    if (more.empty()) return;
    if (to) more.insert(more.end(), to->begin(), to->end());
    std::sort(more.begin(), more.end());
    auto end = more.begin();
    for (auto next = more.begin() + 1; next != more.end(); ++next) {
        if (next->first <= end->last + 1)
            end->last = std::max(end->last, next->last);
        else
            *++end = *next;
    }
    more.erase(end + 1, more.end());
    to = std::make_unique<std::vector<sequence_range>>(std::move(more));
}

/// How many messages of a range are given. `left_out`: as join() makes it; may be nullptr.
inline std::uint64_t count_given(sequence_range range,
                                 const std::vector<sequence_range>* left_out) noexcept {
    std::uint64_t left = range.empty() ? 0 : range.size();
    if (!left_out) return left;
    for (const sequence_range& r : *left_out) {
        const sequence_range out{std::max(r.first, range.first), std::min(r.last, range.last)};
        if (!out.empty()) left -= std::min(left, out.size());
    }
    return left;
}
inline std::uint64_t given_of(const runtime::received_batch& batch,
                              const std::vector<sequence_range>* left_out) noexcept {
    return count_given({batch.header.first + batch.skip, batch.header.last()}, left_out);
}

/// The batch that the user is in: gives its messages one by one.
///
/// Threads: one at a time.
class open_batch {
public:
    bool done() const noexcept { return records_.done(); }
    const runtime::received_batch* get() const noexcept { return batch_.get(); }

    /// `left_out`: ascending ranges of messages that are not given; may be nullptr.
    void open(std::unique_ptr<runtime::received_batch> batch,
              std::unique_ptr<std::vector<sequence_range>> left_out = nullptr) {
        batch_ = std::move(batch);
        left_out_ = std::move(left_out);
        left_out_at_ = 0;
        records_ = wire::record_reader(batch_->body);
        next_ = batch_->header.first;
        for (std::uint32_t i = 0; i != batch_->skip; ++i) {
            static_cast<void>(records_.next());
            ++next_;
        }
        if (left_out_) leave_out();
    }

    /// The message at next(). Requires: !done().
    wire::record take() noexcept {
        ++next_;
        const wire::record r = records_.next();
        if (left_out_) [[unlikely]]
            leave_out();
        return r;
    }

    /// How many messages take() has still to give.
    std::uint64_t rest() const noexcept {
        return batch_ ? count_given({next_, batch_->header.last()}, left_out_.get()) : 0;
    }
    /// Ascending ranges of messages that are not given either. How many fewer there are now.
    std::uint64_t leave_out_too(std::vector<sequence_range> more) {
        const std::uint64_t before = rest();
        join(left_out_, std::move(more));
        left_out_at_ = 0;
        if (left_out_) leave_out();
        return before - rest();
    }
    /// The sequence of what take() gives next.
    sequence next() const noexcept { return next_; }

    std::unique_ptr<runtime::received_batch> close() noexcept {
        records_ = {};
        left_out_.reset();
        return std::move(batch_);
    }

private:
    void leave_out() noexcept {
        for (; left_out_at_ != left_out_->size(); ++left_out_at_) {
            const sequence_range& r = (*left_out_)[left_out_at_];
            if (next_ < r.first) return;
            for (; next_ <= r.last && !records_.done(); ++next_) static_cast<void>(records_.next());
        }
    }

    std::unique_ptr<runtime::received_batch> batch_;
    std::unique_ptr<std::vector<sequence_range>> left_out_;
    std::size_t left_out_at_ = 0;  // the first of them that lies ahead
    wire::record_reader records_;
    sequence next_;
};

/// Bytes that a batch costs of its reader's credit.
inline std::uint64_t charge_of(const runtime::received_batch& batch) noexcept {
    return batch.body.size() + wire::batch_charge_bytes;
}

/// Key of a stream in maps.
inline std::string stream_key(std::string_view topic, std::string_view source) {
    std::string key;
    key.reserve(topic.size() + source.size() + 1);
    return key.append(topic).append(1, '\0').append(source);
}

}  // namespace cairn::patterns
