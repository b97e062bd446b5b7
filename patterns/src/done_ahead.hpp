#pragma once

#include <cairn/ids.hpp>

#include <algorithm>
#include <cstddef>
#include <utility>
#include <vector>

namespace cairn::patterns {

/// What a group has done of a source ahead of its position, so that it is not given again.
///
/// A stream's batches come in order, and a store tells up to 65,536 ranges in order: a batch costs
/// what it takes of them, not a look at all.
///
/// Threads: one at a time.
class done_ahead {
public:
    bool empty() const noexcept { return ranges_.empty(); }
    void clear() noexcept { *this = {}; }

    void add(epoch run, sequence_range range) {
        if (range.empty()) return;
        const std::pair wanted(run, range);
        in_order_ = in_order_ && (empty() || is_behind(wanted, ranges_.back()));
        ranges_.push_back(wanted);
    }

    /// What of `batch` is done, ascending. What does not reach beyond it is forgotten.
    std::vector<sequence_range> take(epoch run, sequence_range batch) {
        if (!in_order_) put_in_order();
        std::vector<sequence_range> done;
        for (; taken_ != ranges_.size(); ++taken_) {
            const auto& [of, range] = ranges_[taken_];
            if (of > run || (of == run && batch.last < range.first)) break;
            if (of < run || range.last < batch.first) continue;
            done.push_back({std::max(range.first, batch.first), std::min(range.last, batch.last)});
            if (batch.last < range.last) break;
        }
        if (taken_ == ranges_.size()) clear();
        return done;
    }

private:
    using of_run = std::pair<epoch, sequence_range>;

    static bool is_behind(const of_run& one, const of_run& other) {
        return one.first > other.first ||
               (one.first == other.first && other.second.last < one.second.first);
    }

    // No store of ours tells them so.
    void put_in_order() {
        ranges_.erase(ranges_.begin(), ranges_.begin() + static_cast<std::ptrdiff_t>(taken_));
        taken_ = 0;
        std::sort(ranges_.begin(), ranges_.end());
        std::vector<of_run> apart;
        for (const of_run& one : ranges_) {
            if (apart.empty() || is_behind(one, apart.back()))
                apart.push_back(one);
            else
                apart.back().second.last = std::max(apart.back().second.last, one.second.last);
        }
        ranges_ = std::move(apart);
        in_order_ = true;
    }

    std::vector<of_run> ranges_;
    std::size_t taken_ = 0;  // of them, from the first
    bool in_order_ = true;   // and apart from each other
};

}  // namespace cairn::patterns
