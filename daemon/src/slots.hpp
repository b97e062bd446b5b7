#pragma once

#include <cstdint>
#include <utility>
#include <vector>

namespace cairn::daemon {

/// Values under small numbers that are used again.
///
/// Threads: one at a time.
/// Limits:  memory for the most values that were in it at once.
template <typename Value>
class slots {
public:
    std::uint32_t put(Value value) {
        if (free_.empty()) {
            values_.push_back(std::move(value));
            return static_cast<std::uint32_t>(values_.size() - 1);
        }
        const std::uint32_t at = free_.back();
        free_.pop_back();
        values_[at] = std::move(value);
        return at;
    }
    /// Requires: put() returned it, and it was not taken since. Valid until the next put().
    Value& at(std::uint32_t at) { return values_[at]; }
    /// Requires: as at().
    Value take(std::uint32_t at) {
        free_.push_back(at);
        return std::move(values_[at]);
    }

private:
    std::vector<Value> values_;
    std::vector<std::uint32_t> free_;
};

}  // namespace cairn::daemon
