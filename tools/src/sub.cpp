// cairn sub: follows a topic.
#include "events.hpp"
#include "values.hpp"
#include "verbs.hpp"

#include <cairn/admin.hpp>
#include <cairn/subscriber.hpp>

#include <chrono>
#include <cstdio>
#include <optional>
#include <string>
#include <utility>

namespace cairn::tools {

namespace {

struct sub_options {
    common_options common{};
    peer_options peers{};
    std::string pattern{};
    std::optional<from> begin{};
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
    const from::place begin = given.begin.value_or(from::live()).where;
    return !given.common.store.empty() || !given.group.empty() || !given.peers.any() ||
           begin == from::place::last || begin == from::place::offset || begin == from::place::time;
}

/// Says once, on standard error, that no publisher has come: a subscriber waits for ever, but a
/// person wants to know that there is nobody.
class nobody_report {
public:
    nobody_report(const sub_options& given, const node& at, const subscriber& from, bool due)
        : given_(given), at_(at), from_(from), due_(due) {}

    /// Something came.
    void met() noexcept { due_ = false; }
    void look() {
        if (!due_) return;
        const bool attached = from_.attached() != 0;
        if (!attached && std::chrono::steady_clock::now() < end_) return;
        due_ = false;
        if (attached) return;
        std::string line = "cairn: nobody who publishes " + escaped(given_.pattern) +
                           " answered within " + shown_span(given_.common.patience);
        for (const std::string& problem : endpoint_problems(at_)) line += "; " + problem;
        std::fprintf(stderr, "%s; still waiting\n", line.c_str());
    }

private:
    const sub_options& given_;
    const node& at_;
    const subscriber& from_;
    bool due_;
    std::chrono::steady_clock::time_point end_ =
        std::chrono::steady_clock::now() + given_.common.patience;
};

/// Says, on standard error, what a person may not expect of the group that is joined.
void tell_of_group(admin& store, const sub_options& given) {
    bool exists = false;
    try {
        for (const durable_group& g : store.groups(given.pattern))
            exists = exists || g.name == given.group;
    } catch (const error& e) {
        if (e.code() != errc::topic_unknown) return;  // it joins all the same
    }
    const bool live = given.begin.value_or(from::live()).where == from::place::live;
    const std::string group = "cairn: group " + escaped(given.group);
    if (exists && given.begin)
        std::fprintf(stderr,
                     "%s exists and goes on where it is: --from is for new ones; cairn group "
                     "seek moves it\n",
                     group.c_str());
    else if (!exists && live)
        std::fprintf(stderr,
                     "%s is new and begins with what is published from now on; --from first "
                     "begins a new one with what is stored\n",
                     group.c_str());
}

int sub(const sub_options& given) {
    catch_signals();
    node_options with = options_of(given.common, given.peers);
    const bool stored = needs_store(given);
    if (stored) with.store = store_endpoint(given.common);
    node at(with);
    meet(at, given.peers);
    std::optional<admin> before;
    if (!given.group.empty()) {
        before.emplace(at, admin_options{.patience = given.common.patience});
        if (!wait_for_store(at, given.common)) return 0;
        tell_of_group(*before, given);
    }
    subscriber from(at, given.pattern,
                    {.from = given.begin.value_or(from::live()),
                     .group = given.group,
                     .acks = ack_mode::on_request});
    if (stored && !wait_for_store(at, given.common)) return 0;
    show_problems();

    event_writer out({.json = given.common.json, .raw = given.raw});
    nobody_report nobody(given, at, from, !stored);
    written_messages done;
    const auto hand_over = [&] {
        out.flush();
        done.ack(from);
    };
    std::uint64_t messages = 0;
    bool standing_by = false;
    while (!stopped() && (!given.count || messages != *given.count)) {
        std::optional<event> next = from.next_event(std::chrono::milliseconds(0));
        if (!next) {
            hand_over();
            next = from.next_event(look_around);
        }
        if (!next) {
            if (printer::closed()) throw output_closed();
            // Other refusals may pass: it asks again each second.
            if (from.stats().store_refusal == errc::not_authorised)
                throw error(errc::not_authorised,
                            "subscribe " + given.pattern + ": the store refuses it");
            nobody.look();
            const bool standby = from.state().state == reading::state::standby;
            if (!std::exchange(standing_by, standby) && standby)
                std::fprintf(stderr,
                             "cairn: another member of group %s is active; this one takes "
                             "over when it is gone\n",
                             escaped(given.group).c_str());
            continue;
        }
        nobody.met();
        out.write(*next);
        const auto* const m = std::get_if<message>(&*next);
        if (!m) continue;
        ++messages;
        if (!given.group.empty()) done.add(*m);
    }
    hand_over();
    const std::uint64_t unconfirmed = from.close(given.common.patience);
    if (unconfirmed != 0)
        throw failure(errc::timed_out,
                      "ack " + counted(unconfirmed, "message") +
                          ": the store did not confirm within " +
                          shown_span(given.common.patience) +
                          ", so what it did not comes again; start cairnd, or give it more "
                          "--patience");
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
