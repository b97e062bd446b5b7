#pragma once

#include <cairn/runtime/link.hpp>

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>

namespace cairn::daemon {

/// Topics that clients made by publishing or attaching, so that one of them cannot use up
/// topics_max of the store.
///
/// Threads: loop.
/// Limits:  `most` a client key since the store was opened; where there are no keys, a link.
class topic_quota {
public:
    /// Key, or nothing and the link's number.
    using client = std::pair<std::string, std::uint64_t>;

    explicit topic_quota(std::size_t most) : most_(most) {}

    static client of(const runtime::link& who) {
        return {who.peer_key(), who.peer_key().empty() ? who.number() : 0};
    }
    /// One more is to be made. False: the client made as many as it may.
    bool take(const client& who) {
        const auto found = made_.find(who);
        if ((found == made_.end() ? 0 : found->second) >= most_) return false;
        ++made_[who];
        return true;
    }
    /// It was not made after all.
    void give_back(const client& who) {
        const auto found = made_.find(who);
        if (found != made_.end() && --found->second == 0) made_.erase(found);
    }
    void link_down(const runtime::link& gone) {
        if (gone.peer_key().empty()) made_.erase(of(gone));
    }

private:
    const std::size_t most_;
    std::map<client, std::size_t> made_;
};

}  // namespace cairn::daemon
