// cairn sub: follows a topic.
#include "events.hpp"
#include "verbs.hpp"

#include <cairn/subscriber.hpp>

#include <optional>

namespace cairn::tools {

namespace {

struct sub_options {
    common_options common{};
    peer_options peers{};
    std::string pattern{};
    from begin{};
    std::string group{};
    std::optional<std::uint64_t> count{};
    bool raw = false;
};

/// Messages that were written, and not acked yet: runs of positions, in the order in which they
/// came.
class written_messages {
public:
    void add(const message& m) {
        if (!runs_.empty()) {
            run& last = runs_.back();
            if (last.first.source == m.source() && last.first.epoch == m.epoch() &&
                last.last + 1 == m.sequence()) {
                last.last = m.sequence();
                return;
            }
        }
        runs_.push_back({m.position(), m.sequence()});
    }
    void ack(subscriber& to) {
        for (const run& r : runs_) to.ack(r.first, r.last);
        runs_.clear();
    }

private:
    struct run {
        position first;
        sequence last;
    };
    std::vector<run> runs_;
};

bool needs_store(const sub_options& given) {
    const from::place begin = given.begin.where;
    return !given.common.store.empty() || !given.group.empty() || !given.peers.any() ||
           begin == from::place::last || begin == from::place::offset || begin == from::place::time;
}

int sub(const sub_options& given) {
    catch_signals();
    node_options with = options_of(given.common, given.peers);
    const bool stored = needs_store(given);
    if (stored) with.store = store_endpoint(given.common);
    node at(with);
    meet(at, given.peers);
    subscriber from(at, given.pattern,
                    {.from = given.begin, .group = given.group, .acks = ack_mode::on_request});
    if (stored && !wait_for_store(at, given.common)) return 0;
    show_problems();

    event_writer out({.json = given.common.json, .raw = given.raw});
    written_messages done;
    const auto hand_over = [&] {
        out.flush();
        done.ack(from);
    };
    std::uint64_t messages = 0;
    while (!stopped() && (!given.count || messages != *given.count)) {
        std::optional<event> next = from.next_event(std::chrono::milliseconds(0));
        if (!next) {
            hand_over();
            next = from.next_event(look_around);
        }
        if (!next) {
            if (printer::closed()) throw output_closed();
            continue;
        }
        out.write(*next);
        const auto* const m = std::get_if<message>(&*next);
        if (!m) continue;
        ++messages;
        if (!given.group.empty()) done.add(*m);
    }
    hand_over();
    const std::uint64_t unconfirmed = from.close(given.common.patience);
    if (unconfirmed != 0)
        throw failure("ack " + std::to_string(unconfirmed) +
                      " messages: the store did not confirm within " +
                      shown_span(given.common.patience) +
                      ", so they come again; start cairnd, or give it more --patience");
    return 0;
}

}  // namespace

void add_sub(CLI::App& cairn, action& chosen) {
    const auto [line, to] =
        add_verb(cairn, "sub", "prints messages as they come, until a signal", chosen, &sub);
    line.footer(
        "Reads from peers, and from the store with --store, --group, a place in the store, or "
        "without any peer.");
    line.add_option("pattern", to.pattern, "a topic, or a beginning with * behind it")
        ->type_name("PATTERN")
        ->required();
    add_peers(line, to.peers);
    add_value(line, "--from", to.begin, from_of, "PLACE", "(live) " + std::string(places));
    line.add_option("--group", to.group,
                    "durable group: goes on where the group is; acks what is printed")
        ->type_name("NAME");
    add_value(line, "--count", to.count, count_of, "COUNT", "leave after so many messages");
    line.add_flag("--raw", to.raw, "bodies alone, one a line; control characters too, in a pipe");
    add_common(line, to.common);
}

}  // namespace cairn::tools
