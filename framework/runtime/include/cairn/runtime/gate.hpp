#pragma once

#include <cairn/access.hpp>
#include <cairn/runtime/link.hpp>

#include <algorithm>
#include <functional>
#include <string_view>
#include <vector>

namespace cairn::runtime {

/// To read a topic, as everybody or as a member of a group.
inline bool may_read(const rights& may) noexcept { return may.subscribe || may.consume; }

/// Who may do what, by the key of the link: never by what a frame says. The node itself may do
/// everything.
///
/// Threads: loop.
/// Fails:   construction throws error (invalid_argument, key_invalid) for a rule that means
///          nothing.
/// Limits:  a question looks at every rule.
class gate {
public:
    explicit gate(std::vector<access_rule> rules);

    /// `pattern`: a topic, or a pattern of which all is asked for. `right`: a member of rights, or
    /// a function of it.
    template <typename Right>
    bool allows(const link& who, std::string_view pattern, Right right) const {
        return any(who, right, [&](std::string_view rule) { return covers(rule, pattern); });
    }
    /// Of at least one topic that the pattern matches.
    template <typename Right>
    bool allows_some(const link& who, std::string_view pattern, Right right) const {
        return any(who, right, [&](std::string_view rule) {
            return covers(rule, pattern) || covers(pattern, rule);
        });
    }
    /// Whether this one and `other` give the peer the same.
    bool same_for(const link& who, const gate& other) const;
    /// Everything is given to everybody.
    bool open() const noexcept { return rules_.empty(); }

private:
    template <typename Right, typename Fits>
    bool any(const link& who, Right right, Fits fits) const {
        if (rules_.empty() || who.side() == link::role::local) return true;
        return std::any_of(rules_.begin(), rules_.end(), [&](const access_rule& r) {
            return is_for(r, who) && std::invoke(right, r.may) && fits(r.topics);
        });
    }
    static bool is_for(const access_rule& rule, const link& who) {
        return rule.key == "*" || rule.key == who.peer_key();
    }
    /// Whether all that `pattern` matches is matched by `rule`.
    static bool covers(std::string_view rule, std::string_view pattern) noexcept;

    std::vector<access_rule> rules_;
};

}  // namespace cairn::runtime
