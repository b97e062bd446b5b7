// cairn read: a range of what a store holds of a topic.
#include "events.hpp"
#include "verbs.hpp"

#include <cairn/replay.hpp>

#include <algorithm>
#include <functional>
#include <optional>
#include <set>
#include <string>

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

/// What is not there of the range that was asked for.
class missing_messages {
public:
    explicit missing_messages(from begin) : from_first_(begin.where == from::place::earliest) {}

    /// Whether `next` is of the range: what went before the first message that is stored is not.
    bool takes(const event& next) {
        if (const auto* const m = std::get_if<message>(&next)) {
            if (from_first_) begun_.emplace(m->source());
            return true;
        }
        const auto* const hole = std::get_if<gap>(&next);
        if (!hole) return true;
        if (hole->cause == errc::gone) return !from_first_ || begun_.contains(hole->source);
        count_ += hole->range.size();
        damaged_ = damaged_ || hole->cause == errc::store_damaged;
        return true;
    }
    /// Throws failure unless all came.
    void check(const std::string& topic) const {
        if (count_ == 0) return;
        throw failure(damaged_ ? errc::store_damaged : errc::lost,
                      "read " + escaped(topic) + ": " + counted(count_, "message") +
                          " of the range " +
                          (count_ == 1 ? "is missing, told in its place"
                                       : "are missing, told in their places") +
                          (damaged_ ? "; cairnd --verify names what is damaged, and a backup may "
                                      "have it"
                                    : ""),
                      exit_missing);
    }

private:
    bool from_first_;
    bool damaged_ = false;
    std::uint64_t count_ = 0;
    std::set<std::string, std::less<>> begun_;  // sources
};

int interrupted() {
    throw failure(errc::closed, "read: interrupted before the end; what came is printed");
}

/// A replay of nothing ends at once: was there a topic?
void check_that_it_exists(node& at, const read_options& given) {
    try {
        static_cast<void>(admin(at, {.patience = given.common.patience}).topic(given.topic));
    } catch (const error& e) {
        // Who may read need not have a right to more.
        if (e.code() != errc::not_authorised) throw;
    }
}

/// A range by offsets may begin before what is stored.
void tell_of_what_went_before(node& at, const read_options& given, event_writer& out) {
    if (given.begin.where != from::place::offset) return;
    try {
        const stored_topic topic =
            admin(at, {.patience = given.common.patience}).topic(given.topic);
        std::uint64_t end = topic.damaged ? 0 : topic.first;
        if (given.end.where == until::place::offset) end = std::min(end, given.end.value);
        const std::uint64_t begin = std::max<std::uint64_t>(given.begin.value, 1);
        if (begin < end) out.trimmed(given.topic, begin, end - 1);
    } catch (const error&) {
        // What fails the reading itself will tell, and who may read need not have a right to more.
    }
}

int read(const read_options& given) {
    catch_signals();
    node_options with = options_of(given.common);
    with.store = store_endpoint(given.common);
    node at(with);
    replay history(at, given.topic, {.from = given.begin, .until = given.end});
    if (!wait_for_store(at, given.common)) return interrupted();

    event_writer out({.json = given.common.json, .raw = given.raw});
    tell_of_what_went_before(at, given, out);
    silence quiet(given.common);
    missing_messages missing(given.begin);
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
            if (missing.takes(*next)) out.write(*next);
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
    missing.check(given.topic);
    return 0;
}

}  // namespace

void add_read(CLI::App& cairn, action& chosen) {
    const auto [line, to] = add_verb(
        cairn, "read", "prints a range of a topic from the store, and stops", chosen, &read);
    line.footer(
        "Leaves with 3 when messages of the range are missing: damaged in the store, or never "
        "brought to it. Those that went by retention, acks or a trim are not missing.");
    add_topic(line, to.topic);
    add_value(line, "--from", to.begin, stored_from_of, "PLACE",
              "first message (first): " + std::string(stored_places));
    add_value(line, "--until", to.end, until_of, "PLACE",
              "end, not included (now): now, offset:N or time:2026-03-01T12:00Z");
    add_value(line, "--count", to.count, count_of, "COUNT", "at most so many messages");
    line.add_flag("--raw", to.raw, "bodies alone, one a line; control characters too, in a pipe");
    add_common(line, to.common);
}

}  // namespace cairn::tools
