#pragma once

#include "session.hpp"
#include "values.hpp"

#include <CLI/CLI.hpp>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace cairn::tools {

/// What the command line chose; returns the exit code.
using action = std::function<int()>;

/// A verb that is being described: its place on the command line, and where its options go.
template <typename Options>
struct verb {
    CLI::App& line;
    Options& to;
};

/// Adds a verb under `parent`. When the command line names it, `chosen` becomes run(options).
template <typename Options>
verb<Options> add_verb(CLI::App& parent, const std::string& name, const std::string& help,
                       action& chosen, int (*run)(const Options&)) {
    auto options = std::make_shared<Options>();
    CLI::App* const line = parent.add_subcommand(name, help);
    line->callback([options, run, &chosen] { chosen = [options, run] { return run(*options); }; });
    return {*line, *options};
}

/// A verb that has verbs.
inline CLI::App& add_noun(CLI::App& parent, const std::string& name, const std::string& help) {
    CLI::App* const noun = parent.add_subcommand(name, help);
    noun->require_subcommand(1);
    return *noun;
}

/// An option, or without dashes an argument, whose text `read` turns into a value.
template <typename Value, typename Read>
CLI::Option* add_value(CLI::App& line, const std::string& name, Value& to, Read read,
                       const std::string& type, const std::string& help) {
    return line
        .add_option_function<std::string>(
            name,
            [&to, read, name](const std::string& text) {
                try {
                    to = read(text);
                } catch (const usage_error& e) {
                    throw usage_error(name + ": " + e.what());
                }
            },
            help)
        ->type_name(type);
}

inline CLI::Option* add_topic(CLI::App& line, std::string& to) {
    return line.add_option("topic", to, "name of a topic")->type_name("TOPIC")->required();
}

void add_common(CLI::App& line, common_options& to);
void add_peers(CLI::App& line, peer_options& to);

void add_topic_verbs(CLI::App& cairn, action& chosen);
void add_group_verbs(CLI::App& cairn, action& chosen);
void add_read(CLI::App& cairn, action& chosen);
void add_pub(CLI::App& cairn, action& chosen);
void add_sub(CLI::App& cairn, action& chosen);
void add_stats(CLI::App& cairn, action& chosen);
void add_keygen(CLI::App& cairn, action& chosen);

}  // namespace cairn::tools
