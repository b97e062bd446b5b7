// One process of the torture test, which is killed and stopped at random:
//   torture_party store DIRECTORY BIND...
//   torture_party publisher SOURCE BIND STORE STATE LOG POLICY MESSAGES [RING_BYTES [AT_ONCE]]
//     STATE -: none; MESSAGES 0: until it is killed; RING_BYTES: 65536; AT_ONCE: 2, and a pause
//   torture_party subscriber GROUP STORE LOG CONNECT...
//     until it was given the end of as many sources as it connects to
//     CAIRN_PARTY_SABOTAGE=any-order: it passes some of what it is given on too late
#include "history.hpp"

#include <cairn/cairn.hpp>
#include <cairn/store_server.hpp>

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <cstdlib>
#include <exception>
#include <iostream>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

using namespace cairn;
using namespace std::chrono_literals;
using namespace std::string_view_literals;
using test::fact;

/// What is written to it is there when the process is killed.
class log_file {
public:
    explicit log_file(const char* path)
        : descriptor_(::open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600)) {
        // The process before may have been killed within a line: a long write ends at any page.
        add("\n");
    }
    ~log_file() { ::close(descriptor_); }
    log_file(const log_file&) = delete;
    log_file& operator=(const log_file&) = delete;

    void add(const fact& f) const { add(f.line()); }
    void add(const std::string& lines) const {
        if (::write(descriptor_, lines.data(), lines.size()) < 0) ::_exit(9);
    }
    /// What the node has to say, between the facts.
    log_sink sink() const {
        return [this](log_level, std::string_view line) { add("# " + std::string(line) + "\n"); };
    }

private:
    int descriptor_;
};

node_options impatient(std::string name, const char* store) {
    node_options o{.name = std::move(name), .store = store};
    o.reconnect_min = 10ms;
    o.reconnect_max = 200ms;
    o.security.insecure = true;  // a network of the test's own
    return o;
}

int run_store(char** argv) {
    store_server_options o;
    o.path = argv[2];
    for (char** bind = argv + 3; *bind != nullptr; ++bind) o.network.bind.emplace_back(*bind);
    o.network.security.insecure = true;
    const store_server store(o);
    for (;;) ::pause();
}

full_ring policy_of(std::string_view name) {
    if (name == "spill") return full_ring::spill;
    if (name == "drop_history") return full_ring::drop_history;
    return full_ring::block;
}

std::string end_of(const std::string& source) { return "end-" + source; }

int run_publisher(char** argv) {
    const std::string source = argv[2];
    const log_file log(argv[6]);
    node_options o = impatient(source, argv[4]);
    o.log = log.sink();
    o.bind = {argv[3]};
    if (argv[5] != std::string_view("-")) o.state_directory = argv[5];
    node here(o);
    epoch run;
    publisher_options p{.source = source};
    p.ring_bytes_max = argv[9] ? std::strtoull(argv[9], nullptr, 10) : 64 << 10;
    p.when_full = policy_of(argv[7]);
    p.on_durable = [&](sequence s) {
        if (run.value != 0) log.add({fact::kind::durable, "", source, run.value, s.value, 0, ""});
    };
    p.on_lost = [&](epoch of, sequence_range r, errc) {
        log.add({fact::kind::lost, "", source, of.value, r.first.value, r.last.value, ""});
    };
    publisher sender(here, "torture", p);
    run = sender.epoch();
    const std::uint64_t count = std::strtoull(argv[8], nullptr, 10);
    const std::uint64_t at_once = argv[9] && argv[10] ? std::strtoull(argv[10], nullptr, 10) : 2;
    const std::string name = source + "-" + std::to_string(run.value) + "-";
    for (std::uint64_t n = 1; count == 0 || n <= count; ++n) {
        const std::string text = n == count ? end_of(source) : name + std::to_string(n);
        log.add({fact::kind::invoked, "", source, run.value, 0, 0, text});
        const sequence given = sender.publish(text);
        log.add({fact::kind::published, "", source, run.value, given.value, given.value, text});
        if (n % at_once == 0) ::poll(nullptr, 0, 1);
    }
    // Who drops history may lose some of it, and is told how much.
    const std::uint64_t left = sender.flush(60s);
    if (left != 0 && (p.when_full != full_ring::drop_history || sender.durable().value != count))
        return 3;
    log.add({fact::kind::durable, "", source, run.value, sender.durable().value, 0, ""});
    return sender.close(60s) == left ? 0 : 4;
}

int run_subscriber(char** argv) {
    const std::string group = argv[2];
    const log_file log(argv[4]);
    node_options o = impatient(group, argv[3]);
    o.log = log.sink();
    for (char** to = argv + 5; *to != nullptr; ++to) o.connect.emplace_back(*to);
    node here(o);
    subscriber_options s{.from = from::earliest(), .group = group};
    s.acks = ack_mode::on_request;
    s.ack_delay_max = 10ms;
    s.credit_bytes = 256 << 10;  // one that is stopped is left behind
    subscriber reader(here, "torture", s);
    std::vector<position> acked;
    const auto note_acked = [&](std::chrono::milliseconds deadline) {
        if (reader.flush(deadline) != 0) return false;
        std::string lines;
        for (const position& p : acked)
            lines +=
                fact{fact::kind::acked, group, p.source, p.epoch.value, p.sequence.value, 0, ""}
                    .line();
        log.add(lines);
        acked.clear();
        return true;
    };
    const char* const broken = std::getenv("CAIRN_PARTY_SABOTAGE");
    std::string too_late;
    const auto note_given = [&](const fact& f) {
        if (broken && broken == "any-order"sv && f.first % 50 == 0 && too_late.empty())
            too_late = f.line();
        else
            log.add(f.line() + std::exchange(too_late, ""));
    };
    std::optional<position> held_back;  // acked out of order
    std::set<std::string> sources_ended;
    for (bool ended = false; !ended;) {
        const auto e = reader.next_event(1s);
        if (!e) {
            const auto now = reader.state();
            log.add("# quiet: state " + std::to_string(static_cast<int>(now.state)) + " lag " +
                    std::to_string(now.lag_messages) + " acks waiting " +
                    std::to_string(now.acks_waiting) + "\n");
            continue;
        }
        if (const auto* g = std::get_if<gap>(&*e))
            log.add({fact::kind::gap, group, g->source, g->epoch.value, g->range.first.value,
                     g->range.last.value, ""});
        const auto* m = std::get_if<message>(&*e);
        if (!m) continue;
        const position at = m->position();
        note_given({fact::kind::given, group, at.source, at.epoch.value, at.sequence.value, 0,
                    std::string(m->text())});
        if (m->text() == end_of(at.source)) sources_ended.insert(at.source);
        ended = sources_ended.size() == o.connect.size();
        if (!held_back && at.sequence.value % 7 == 0 && !ended) {
            held_back = at;
            continue;
        }
        reader.ack(at);
        acked.push_back(at);
        if (held_back && (ended || at.sequence.value % 5 == 0)) {
            reader.ack(*held_back);
            acked.push_back(*held_back);
            held_back.reset();
        }
        if (at.sequence.value % 200 == 0) static_cast<void>(note_acked(100ms));
    }
    static_cast<void>(note_acked(5s));
    return 0;
}

}  // namespace

int main(int argc, char** argv) try {
    const std::string_view role = argc > 1 ? argv[1] : "";
    if (role == "store" && argc >= 4) return run_store(argv);
    if (role == "publisher" && argc >= 9 && argc <= 11) return run_publisher(argv);
    if (role == "subscriber" && argc >= 6) return run_subscriber(argv);
    return 2;
} catch (const std::exception& error) {
    std::cerr << "torture_party: " << error.what() << '\n';
    return 1;
}
