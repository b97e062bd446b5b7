#include <cairn/error.hpp>
#include <cairn/protocol/topics.hpp>
#include <cairn/runtime/gate.hpp>
#include <cairn/runtime/printable.hpp>
#include <cairn/runtime/socket_factory.hpp>
#include <cairn/wire/limits.hpp>

#include <iterator>
#include <string>
#include <utility>

namespace cairn::runtime {

namespace {

std::vector<access_rule> checked(std::vector<access_rule> rules) {
    for (const access_rule& r : rules) {
        const std::string key = printable(r.key, 64);
        if (r.key != "*" && !is_key(r.key))
            throw error(errc::key_invalid,
                        "access rule: \"" + key +
                            "\" is not a public key of 40 Z85 characters, nor * for everybody");
        if (!protocol::valid_pattern(r.topics))
            throw error(errc::invalid_argument,
                        "access rule for key " + key + ": \"" +
                            printable(r.topics, wire::topic_bytes_max) +
                            "\" is no topic and no pattern; write a topic, or the beginning of "
                            "topics followed by one *");
    }
    return rules;
}

}  // namespace

gate::gate(std::vector<access_rule> rules) : rules_(checked(std::move(rules))) {}

bool gate::same_for(const link& who, const gate& other) const {
    if (rules_.empty() || other.rules_.empty()) return rules_.empty() == other.rules_.empty();
    const auto of = [&](const gate& g) {
        std::vector<access_rule> own;
        std::copy_if(g.rules_.begin(), g.rules_.end(), std::back_inserter(own),
                     [&](const access_rule& r) { return is_for(r, who); });
        return own;
    };
    const std::vector<access_rule> ours = of(*this);
    const std::vector<access_rule> theirs = of(other);
    return std::is_permutation(ours.begin(), ours.end(), theirs.begin(), theirs.end());
}

bool gate::covers(std::string_view rule, std::string_view pattern) noexcept {
    if (!rule.ends_with('*')) return rule == pattern;
    if (pattern.ends_with('*')) pattern.remove_suffix(1);
    return pattern.starts_with(rule.substr(0, rule.size() - 1));
}

}  // namespace cairn::runtime
