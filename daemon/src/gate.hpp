#pragma once

#include <cairn/access.hpp>
#include <cairn/protocol/topics.hpp>
#include <cairn/runtime/link.hpp>

#include <algorithm>
#include <string_view>
#include <utility>
#include <vector>

namespace cairn::daemon {

/// Who may do what, by the key of the link: never by what a frame says.
///
/// Threads: loop.
class gate {
public:
    explicit gate(std::vector<access_rule> rules) : rules_(std::move(rules)) {}

    void replace(std::vector<access_rule> rules) { rules_ = std::move(rules); }

    /// `pattern`: a topic, or a pattern of which all is asked for.
    template <typename Has>
    bool allows(const runtime::link& who, std::string_view pattern, Has has) const {
        if (rules_.empty()) return true;
        return std::any_of(rules_.begin(), rules_.end(), [&](const access_rule& r) {
            return (r.key == "*" || r.key == who.peer_key()) && has(r.may) &&
                   covers(r.topics, pattern);
        });
    }

private:
    static bool covers(std::string_view rule, std::string_view pattern) {
        if (!rule.ends_with('*')) return rule == pattern;
        if (pattern.ends_with('*')) pattern.remove_suffix(1);
        return pattern.starts_with(rule.substr(0, rule.size() - 1));
    }

    std::vector<access_rule> rules_;
};

}  // namespace cairn::daemon
