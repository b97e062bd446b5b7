#pragma once

#include <cairn/ids.hpp>

#include <algorithm>
#include <cstdint>
#include <map>
#include <vector>

namespace cairn::test {

/// A store as the publishers and readers of one source on one topic see it, without time: it
/// appends in order, repeats nothing, fences lower epochs, and forgets in a crash what it did not
/// sync.
class store_model {
public:
    /// Messages, or the mark of a loss.
    struct entry {
        cairn::epoch epoch;
        sequence_range range;
        bool lost = false;
    };
    enum class taken : std::uint8_t { yes, repeated, hole, fenced };

    /// False: fenced by a higher epoch.
    bool open(cairn::epoch run) {
        if (run < epoch_) return false;
        epoch_ = run;
        return true;
    }
    taken append(cairn::epoch run, sequence_range range, bool lost = false) {
        if (run < epoch_) return taken::fenced;
        const sequence next = last(run) + 1;
        if (range.first > next) return taken::hole;
        if (range.last < next) return taken::repeated;
        written_.push_back({run, {next, range.last}, lost});
        return taken::yes;
    }
    void sync() {
        for (const entry& e : written_) {
            durable_.push_back(e);
            last_[e.epoch] = e.range.last;
        }
        written_.clear();
    }
    /// SIGKILL or a power cut.
    void crash() { written_.clear(); }
    /// The directory was deleted while it was down.
    void wipe() { *this = store_model(); }

    cairn::epoch epoch() const { return epoch_; }
    sequence last_durable(cairn::epoch run) const {
        const auto found = last_.find(run);
        return found == last_.end() ? sequence{} : found->second;
    }
    sequence last(cairn::epoch run) const {
        for (auto e = written_.rbegin(); e != written_.rend(); ++e)
            if (e->epoch == run) return e->range.last;
        return last_durable(run);
    }
    /// What is durable, in store order.
    const std::vector<entry>& log() const { return durable_; }
    /// Are messages of that range durable?
    bool holds(cairn::epoch run, sequence_range range) const {
        return std::ranges::any_of(durable_, [&](const entry& e) {
            return e.epoch == run && !e.lost && e.range.first <= range.last &&
                   range.first <= e.range.last;
        });
    }
    /// Each run without holes, and none after a newer one.
    bool whole() const {
        position_of_run at{};
        for (const entry& e : durable_) {
            if (e.epoch < at.run) return false;
            if (e.epoch > at.run) at = {e.epoch, {1}};
            if (e.range.first != at.next) return false;
            at.next = e.range.last + 1;
        }
        return true;
    }

private:
    struct position_of_run {
        cairn::epoch run;
        sequence next;
    };

    cairn::epoch epoch_;
    std::vector<entry> durable_;
    std::vector<entry> written_;
    std::map<cairn::epoch, sequence> last_;
};

}  // namespace cairn::test
