// cairn pub: publishes a message, or each line of standard input.
#include "values.hpp"
#include "verbs.hpp"

#include <cairn/publisher.hpp>

#include <pwd.h>
#include <unistd.h>

#include <atomic>
#include <iostream>
#include <iterator>
#include <mutex>
#include <optional>
#include <set>

namespace cairn::tools {

namespace {

struct pub_options {
    common_options common{};
    peer_options peers{};
    std::string topic{};
    std::optional<std::string> message{};
    bool whole = false;
    bool durable = false;
    std::string key{};
    std::string content_type{};
    std::vector<std::string> headers{};
    std::string source{};
    std::optional<std::uint64_t> wait{};
};

/// Stable, so that a store does not come to know a new source with every call.
std::string usual_source() {
    char host[256] = {};
    if (::gethostname(host, sizeof host - 1) != 0) return "cairn";
    const passwd* const user = ::getpwuid(::geteuid());  // NOLINT(concurrency-mt-unsafe)
    return (user ? std::string(user->pw_name) : std::to_string(::geteuid())) + "@" + host;
}

attributes attributes_of(const pub_options& given) {
    attributes made;
    made.key = given.key;
    made.content_type = given.content_type;
    for (const std::string& header : given.headers) {
        const std::size_t equals = header.find('=');
        if (equals == std::string::npos || equals == 0)
            throw usage_error("--header: \"" + header + "\" is not understood; write NAME=VALUE");
        made.headers.emplace_back(header.substr(0, equals), header.substr(equals + 1));
    }
    return made;
}

/// Publishes, and waits for the store as long as it moves.
class sending {
public:
    sending(node& at, const pub_options& given)
        : given_(given), with_(attributes_of(given)), to_(at, given.topic, options()) {}

    void wait_for_subscribers() {
        const std::uint64_t wanted = given_.wait.value_or(given_.peers.any() ? 1 : 0);
        if (to_.wait_for_subscribers(wanted, given_.common.patience)) return;
        const std::string problem = last_problem();
        throw failure(errc::timed_out, "publish " + escaped(given_.topic) + ": " +
                                           std::to_string(to_.subscribers()) + " of " +
                                           counted(wanted, "subscriber") + " came within " +
                                           shown_span(given_.common.patience) +
                                           (problem.empty() ? "" : " (" + problem + ")") +
                                           "; start them, or ask for fewer with --wait");
    }

    void publish(std::string_view body) {
        for (;;) {
            try {
                const sequence made = with_.empty() ? to_.publish(body) : to_.publish(body, with_);
                if (messages_++ == 0) first_ = made;
                last_ = made;
                return;
            } catch (const error& e) {
                // The ring is full of what the store does not have.
                if (e.code() != errc::full) throw;
                flush();
            }
        }
    }

    /// Until all is handed over, and with a store durable. Throws failure, also when a part never
    /// will be.
    void finish(bool stored) {
        if (stored) flush();
        const std::uint64_t lost = stored ? to_.flush(std::chrono::milliseconds(0)) : 0;
        const std::uint64_t left = to_.close(given_.common.patience) - lost;
        if (left != 0)
            throw failure(errc::timed_out,
                          "publish " + escaped(given_.topic) + ": " + counted(left, "message") +
                              " not handed over after " + shown_span(given_.common.patience) +
                              "; give it more --patience");
        if (lost != 0)
            throw failure(
                errc::lost,
                "publish " + escaped(given_.topic) + ": " + counted(lost, "message") +
                    " not stored, and never will be (" + which_are_lost() + "); " +
                    (messages_ == lost ? "there was no other"
                                       : "all others (" + counted(messages_ - lost, "message") +
                                             ") are durable") +
                    ". Bodies above the store's body_bytes_max "
                    "(cairnd --limits-body-bytes-max) are not taken");
    }

    void report(bool stored) const {
        printer out;
        if (given_.common.json) {
            json made;
            add_text(made, "topic", given_.topic);
            add_text(made, "source", to_.source());
            made.update(json{{"epoch", to_.epoch().value},
                             {"messages", messages_},
                             {"first", first_.value},
                             {"last", last_.value},
                             {"durable", to_.durable().value}});
            out.object(made);
        } else {
            out.line(counted(messages_, "message") + " published on " + escaped(given_.topic) +
                     " as " + escaped(to_.source()) + (stored ? ", durable" : ""));
        }
        out.flush();
    }

private:
    publisher_options options() {
        publisher_options made;
        made.source = given_.source.empty() ? usual_source() : given_.source;
        made.when_full = full_ring::refuse;
        made.on_fenced = [this](epoch) { fenced_ = true; };
        made.on_lost = [this](epoch, sequence_range r, errc) {
            const std::lock_guard hold(mutex_);
            lost_.insert(r);
        };
        made.on_store_refused = [this](errc why, bool for_good) {
            // Others are for now: it may make room.
            if (for_good || why == errc::not_authorised) refused_ = why;
        };
        return made;
    }

    // Until the store has all that it will ever get, as long as it takes more of it within each
    // patience.
    void flush() {
        std::uint64_t left = to_.flush(std::chrono::milliseconds(0));
        sequence taken = to_.durable();
        auto end = std::chrono::steady_clock::now() + given_.common.patience;
        while (left != 0) {
            if (to_.stats().owed_messages == 0) return;  // the rest is lost
            const std::string what =
                "publish " + given_.topic + ": " + counted(left, "message") + " not durable";
            if (fenced_) throw error(errc::fenced, what);
            if (const errc why = refused_; why != errc::ok)
                throw error(why, what + ", the store refuses this publisher");
            const auto now = std::chrono::steady_clock::now();
            if (const errc why = to_.stats().store_refusal;
                std::exchange(refusal_told_, why) != why && why != errc::ok)
                std::fprintf(stderr, "cairn: the store refuses it for now: %s; trying on for %s\n",
                             std::string(describe(why)).c_str(),
                             shown_span(given_.common.patience).c_str());
            if (const sequence so_far = to_.durable(); so_far > taken) {
                taken = so_far;
                end = now + given_.common.patience;
            }
            if (now >= end) {
                if (const errc why = to_.stats().store_refusal; why != errc::ok)
                    throw error(why, what + ", the store refuses it for now");
                const std::string problem = last_problem();
                throw failure(
                    errc::timed_out,
                    escaped(what) + (problem.empty() ? "" : " (" + problem + ")") +
                        "; start cairnd, name another store with --store, or give it more "
                        "--patience");
            }
            const auto rest = std::chrono::ceil<std::chrono::milliseconds>(end - now);
            left = to_.flush(std::min(rest, look_around));
        }
    }

    std::string which_are_lost() {
        std::string which;
        const std::lock_guard hold(mutex_);
        for (const sequence_range& r : lost_) {
            if (!which.empty()) which += ", ";
            if (which.size() > 100) {
                which += "…";
                break;
            }
            which += std::to_string(r.first.value);
            if (r.size() > 1) which += " to " + std::to_string(r.last.value);
        }
        return which;
    }

    const pub_options& given_;
    attributes with_;
    std::mutex mutex_;
    std::set<sequence_range> lost_;  // guarded by mutex_
    std::atomic<bool> fenced_ = false;
    std::atomic<errc> refused_ = errc::ok;
    errc refusal_told_ = errc::ok;
    publisher to_;
    std::uint64_t messages_ = 0;
    sequence first_;
    sequence last_;
};

int pub(const pub_options& given) {
    const bool stored = given.durable || !given.common.store.empty() || !given.peers.any();
    node_options with = options_of(given.common, given.peers);
    if (stored) with.store = store_endpoint(given.common);
    node at(with);
    sending to(at, given);
    meet(at, given.peers);
    if (stored) static_cast<void>(wait_for_store(at, given.common));
    to.wait_for_subscribers();
    std::ios::sync_with_stdio(false);  // a character at a time otherwise
    if (given.message) {
        to.publish(*given.message);
    } else if (given.whole) {
        to.publish(std::string(std::istreambuf_iterator<char>(std::cin), {}));
    } else {
        for (std::string line; std::getline(std::cin, line);) to.publish(line);
    }
    to.finish(stored);
    to.report(stored);
    return 0;
}

}  // namespace

void add_pub(CLI::App& cairn, action& chosen) {
    const auto [line, to] =
        add_verb(cairn, "pub", "publishes a message, or each line of standard input", chosen, &pub);
    line.footer(
        "Messages go to peers, and to the store with --durable, --store, or without any peer. "
        "With the store all of them are durable when it returns 0.");
    add_topic(line, to.topic);
    CLI::Option* const message =
        line.add_option("message", to.message, "the body; otherwise standard input")
            ->type_name("MESSAGE");
    line.add_flag("--whole", to.whole,
                  "all of standard input is one message, line ends included; without it each line "
                  "is one")
        ->excludes(message);
    add_peers(line, to.peers);
    line.add_flag("--durable", to.durable,
                  "the store keeps the messages; fails unless it confirms all of them");
    line.add_option("--key", to.key, "of the messages")->type_name("KEY");
    line.add_option("--content-type", to.content_type, "of the messages: text/plain")
        ->type_name("TYPE");
    line.add_option("--header", to.headers, "of the messages; may be said again")
        ->type_name("NAME=VALUE")
        ->expected(1)
        ->take_all();
    line.add_option("--source", to.source,
                    "name of this publisher on the topic (USER@HOST); one at a time may have it")
        ->type_name("NAME");
    add_value(line, "--wait", to.wait, count_of, "COUNT",
              "for so many subscribers first (1 with peers, otherwise 0)");
    add_common(line, to.common);
}

}  // namespace cairn::tools
