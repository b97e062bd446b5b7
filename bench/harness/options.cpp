#include "harness/options.hpp"

#include <CLI/CLI.hpp>

namespace cairn::bench {

namespace {

void add_user_options(CLI::App& app, options& chosen) {
    app.add_option("scenario", chosen.scenario, "What to measure (see --list), or `all`");
    app.add_option("--size", chosen.size, "Bytes of a message body")
        ->check(CLI::Range(std::size_t{1}, std::size_t{64} << 20));
    app.add_option("--transport", chosen.transport, "tcp, ipc or inproc")
        ->check(CLI::IsMember({"tcp", "ipc", "inproc"}))
        ->capture_default_str();
    app.add_option("--peers", chosen.peers, "Receiving processes")
        ->check(CLI::Range(std::size_t{1}, std::size_t{1'000}));
    app.add_option("--topics", chosen.topics, "Topics of idle-topics")
        ->check(CLI::Range(std::size_t{1}, std::size_t{60'000}));
    app.add_option("--messages", chosen.messages,
                   "Messages that a store-… or durable-… scenario stores")
        ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1'000'000'000}));
    app.add_option("--rate", chosen.rate, "Messages a second that a pacing publisher sends")
        ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{10'000'000}));
    app.add_option("--flush-ms", chosen.flush_ms,
                   "Let each flush take so much longer (emulated): store-…, durable-publish, "
                   "durable-wait, durable-producers")
        ->check(CLI::Range(0.0, 1'000.0));
    app.add_option("--directory", chosen.directory, "Where databases and servers' data are made")
        ->check(CLI::ExistingDirectory);
    app.add_option("--seconds", chosen.seconds, "Time for each scenario, about")
        ->check(CLI::Range(0.05, 3'600.0))
        ->capture_default_str();
    app.add_option("--rounds", chosen.rounds, "Pairs of runs (libzmq, cairn) for each line")
        ->check(CLI::Range(std::size_t{1}, std::size_t{1'000}));
    auto* cairn = app.add_flag("--only-cairn", chosen.only_cairn, "Leave the baseline out");
    app.add_flag("--only-baseline", chosen.only_baseline, "Measure libzmq alone")->excludes(cairn);
    app.add_flag("--json", chosen.json, "One JSON object a line");
    app.add_flag("--list", chosen.list, "Name the scenarios");
}

// An empty group hides an option from the help: these are for the program itself.
void add_role_options(CLI::App& app, role_options& role) {
    const auto hidden = [](CLI::Option* option) { option->group(""); };
    hidden(app.add_option("--role", role.roles));
    hidden(app.add_option("--role-endpoint", role.endpoint));
    hidden(app.add_option("--role-size", role.traffic.size));
    hidden(app.add_option("--role-peers", role.traffic.peers));
    hidden(app.add_option("--role-threads", role.traffic.threads));
    hidden(app.add_option("--role-topics", role.traffic.topics));
    hidden(app.add_option("--role-variant", role.traffic.variant));
    hidden(app.add_option("--role-rate", role.traffic.rate));
    hidden(app.add_option("--role-backlog", role.traffic.backlog));
    hidden(app.add_option("--role-flush-ms", role.traffic.flush_ms));
    hidden(app.add_option("--role-service", role.traffic.service));
    hidden(app.add_option("--role-lanes", role.lanes));
    hidden(app.add_option("--board-fd", role.board_fd));
    hidden(app.add_option("--report-fd", role.report_fd));
}

}  // namespace

std::optional<command_line> parse(int argc, char** argv, int& exit_code) {
    command_line parsed;
    CLI::App app("Measures cairn beside libzmq alone.", "cairn-bench");
    add_user_options(app, parsed.options);
    add_role_options(app, parsed.role);
    try {
        app.parse(argc, argv);
        const bool nothing_to_do = parsed.options.scenario.empty() && !parsed.options.list;
        if (nothing_to_do && parsed.role.roles.empty())
            throw CLI::RequiredError("SCENARIO (cairn-bench --list names them)");
    } catch (const CLI::ParseError& told) {
        exit_code = app.exit(told) == 0 ? 0 : 2;
        return std::nullopt;
    }
    return parsed;
}

std::vector<std::string> arguments_for(const role_options& role) {
    std::vector<std::string> arguments;
    const auto add = [&](const char* name, std::string value) {
        arguments.emplace_back(name);
        arguments.push_back(std::move(value));
    };
    for (const auto& name : role.roles) add("--role", name);
    add("--role-endpoint", role.endpoint);
    add("--role-size", std::to_string(role.traffic.size));
    add("--role-peers", std::to_string(role.traffic.peers));
    add("--role-threads", std::to_string(role.traffic.threads));
    add("--role-topics", std::to_string(role.traffic.topics));
    if (!role.traffic.variant.empty()) add("--role-variant", role.traffic.variant);
    add("--role-rate", std::to_string(role.traffic.rate));
    add("--role-backlog", std::to_string(role.traffic.backlog));
    add("--role-flush-ms", std::to_string(role.traffic.flush_ms));
    if (!role.traffic.service.empty()) add("--role-service", role.traffic.service);
    add("--role-lanes", std::to_string(role.lanes));
    add("--board-fd", std::to_string(role.board_fd));
    return arguments;
}

}  // namespace cairn::bench
