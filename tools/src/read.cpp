// cairn read: a range of what a store holds of a topic.
#include "events.hpp"
#include "verbs.hpp"

#include <cairn/replay.hpp>

#include <optional>

namespace cairn::tools {

namespace {

struct read_options {
    common_options common{};
    std::string topic{};
    from begin = from::earliest();
    until end{};
    std::optional<std::uint64_t> count{};
    bool raw = false;
};

/// Tells when nothing came for longer than the patience.
class silence {
public:
    explicit silence(const common_options& options) : options_(options) {}

    void broken() { last_ = std::chrono::steady_clock::now(); }
    void check() const {
        if (std::chrono::steady_clock::now() - last_ > options_.patience)
            throw error(errc::timed_out, "read from " + store_endpoint(options_) +
                                             ": nothing came for " + shown_span(options_.patience));
    }

private:
    const common_options& options_;
    std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

int interrupted() { throw failure("read: interrupted before the end; what came is printed"); }

/// A replay of nothing ends at once: was there a topic?
void check_that_it_exists(node& at, const read_options& given) {
    try {
        static_cast<void>(admin(at, {.patience = given.common.patience}).topic(given.topic));
    } catch (const error& e) {
        // Who may read need not have a right to more.
        if (e.code() != errc::not_authorised) throw;
    }
}

int read(const read_options& given) {
    if (given.begin.where == from::place::live)
        throw usage_error("--from: live is where a read ends; cairn sub reads on from there");
    catch_signals();
    node_options with = options_of(given.common);
    with.store = store_endpoint(given.common);
    node at(with);
    replay history(at, given.topic, {.from = given.begin, .until = given.end});
    if (!wait_for_store(at, given.common)) return interrupted();

    event_writer out({.json = given.common.json, .raw = given.raw});
    silence quiet(given.common);
    std::uint64_t messages = 0;
    bool anything = false;
    while (!given.count || messages != *given.count) {
        std::optional<event> next = history.next_event(std::chrono::milliseconds(0));
        if (!next) {
            out.flush();
            next = history.next_event(look_around);
        }
        if (next) {
            anything = true;
            quiet.broken();
            if (std::holds_alternative<message>(*next)) ++messages;
            out.write(*next);
        } else if (history.finished()) {
            break;
        } else if (const errc why = history.failure(); why != errc::ok) {
            throw error(why, "read " + given.topic + ": " + std::string(describe(why)));
        } else {
            quiet.check();
        }
        if (stopped()) {
            out.flush();
            return interrupted();
        }
        if (!next && printer::closed()) throw output_closed();
    }
    out.flush();
    if (!anything && given.count != 0) check_that_it_exists(at, given);
    return 0;
}

}  // namespace

void add_read(CLI::App& cairn, action& chosen) {
    const auto [line, to] = add_verb(
        cairn, "read", "prints a range of a topic from the store, and stops", chosen, &read);
    add_topic(line, to.topic);
    add_value(line, "--from", to.begin, from_of, "PLACE",
              "first message (first): first, last:N, offset:N or time:2026-03-01T12:00Z");
    add_value(line, "--until", to.end, until_of, "PLACE",
              "end, not included (now): now, offset:N or time:2026-03-01T12:00Z");
    add_value(line, "--count", to.count, count_of, "COUNT", "at most so many messages");
    line.add_flag("--raw", to.raw, "bodies alone, one a line; control characters too, in a pipe");
    add_common(line, to.common);
}

}  // namespace cairn::tools
