#include "workload.hpp"

#include <algorithm>
#include <chrono>
#include <numeric>

namespace cairn::test {

using namespace store;

std::vector<command> workload::next_commit(model& known, std::vector<reply>& replies) {
    std::vector<command> all;
    replies.clear();
    for (std::uint64_t n = kind_.one_command ? 1 : random_.between(1, 6); n > 0; --n) {
        all.push_back(next(known));
        replies.push_back(known.apply(all.back()));
        if (kind_.apart) known.end_commit();
    }
    known.end_commit();
    return all;
}

std::vector<model> workload::steps_of(const model& before,
                                      const std::vector<command>& commands) const {
    std::vector<model> all{before};
    model known = before;
    for (const std::size_t i : applied_order(commands)) {
        (void)known.apply(commands[i]);
        if (!kind_.apart) continue;
        known.end_commit();
        all.push_back(known);
    }
    known.end_commit();
    if (!kind_.apart) all.push_back(std::move(known));
    return all;
}

std::vector<std::size_t> applied_order(const std::vector<command>& commands) {
    std::vector<std::size_t> order(commands.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    const auto topic_of = [&](std::size_t i) {
        const auto* const one = std::get_if<append>(&commands[i]);
        return one != nullptr ? one->topic.value : 0;
    };
    for (auto at = order.begin(); at != order.end();) {
        const bool append_here = topic_of(*at) != 0;
        const auto end = std::find_if(
            at, order.end(), [&](std::size_t i) { return (topic_of(i) != 0) != append_here; });
        if (append_here)
            std::stable_sort(at, end, [&](auto a, auto b) { return topic_of(a) < topic_of(b); });
        at = end;
    }
    return order;
}

std::string workload::a_text() {
    // The first two letters are the key.
    std::string text = "k" + std::to_string(random_.below(4));
    text += std::string(random_.below(bytes_max_), static_cast<char>('a' + random_.below(26)));
    return text + std::to_string(random_.below(1'000));
}

retention workload::a_retention() {
    retention r{.until_acked = random_.chance(30)};
    if (kind_.aged_topics && random_.chance(70))
        r.age_max = std::chrono::milliseconds(random_.between(1, 400));
    if (!kind_.limited_topics) return r;
    r.until_acked = random_.chance(10);
    if (random_.chance(50)) r.messages_max = random_.between(1, 15);
    if (random_.chance(50)) r.bytes_max = random_.between(200, 40 * bytes_max_);
    if (random_.chance(50)) r.when_full = full_policy::refuse;
    return r;
}

offset_range workload::a_range(const model::topic& topic) {
    const std::uint64_t first = random_.between(1, topic.next);
    const std::uint64_t last = first + random_.below(random_.chance(70) ? 3 : 20);
    // Mostly what is there, sometimes beyond.
    return {{first}, {random_.chance(95) ? std::max(first, std::min(last, topic.next - 1)) : last}};
}

command workload::next(const model& known) {
    std::vector<std::uint32_t> ours;
    for (const auto& [number, t] : known.topics)
        if (t.name.starts_with(prefix_)) ours.push_back(number);
    const std::uint64_t choice = random_.below(100);
    if (ours.empty() || choice < 12) {
        open_source one{a_topic_name(),
                        "s" + std::to_string(random_.below(3)),
                        {random_.between(1, 1 + random_.below(3))},
                        random_.chance(5) ? "other" : "",
                        random_.chance(95)};
        if (kind_.limited_topics || kind_.aged_topics) one.config.retention = a_retention();
        return one;
    }
    if (choice < 14)
        return create_topic{a_topic_name(),
                            {.retention = a_retention(),
                             .confirm = durability::flushed,
                             .last_per_key = random_.chance(50)}};
    const std::uint32_t t = ours[random_.below(ours.size())];
    const model::topic& topic = known.topics.at(t);
    if (choice < 52) return an_append(t, topic);
    if (choice < 92) return a_group_command(t, topic);
    return a_topic_command(t, topic);
}

command workload::an_append(std::uint32_t t, const model::topic& topic) {
    const std::uint32_t number =
        static_cast<std::uint32_t>(random_.between(1, std::max(1U, topic.next_source)));
    const auto found = topic.sources.find(number);
    const bool own = found != topic.sources.end() && found->second.name[0] == '@';
    epoch e{1};
    std::uint64_t last = 0;
    if (found != topic.sources.end() && !own) {
        e = found->second.epoch;
        last = found->second.last.value;
    }
    if (random_.chance(3)) e.value += random_.below(2) ? 1 : ~std::uint64_t{0};
    std::uint64_t first = last + 1;
    if (random_.chance(15)) first = random_.between(1, last + 3);
    const source_opened where{{t}, {own ? topic.next_source : number}, {}, {}};
    if (random_.chance(6))
        return declare_lost{where.topic,
                            where.source,
                            e,
                            {{first}, {first + random_.below(4)}},
                            random_.chance(70) ? errc::lost : errc::gone};
    const auto count = static_cast<std::uint32_t>(random_.between(1, 5));
    body_bytes body;
    for (std::uint32_t i = 0; i < count; ++i) {
        // A repeat is mostly what was said the first time.
        std::string text = a_text();
        if (first + i <= last && random_.chance(97)) {
            const auto at = found->second.where.find({e.value, first + i});
            if (at != found->second.where.end()) {
                const auto message = topic.messages.find(at->second);
                if (message != topic.messages.end()) text = message->second.text;
            }
        }
        add_record(body, text, text.substr(0, 2));
    }
    append a = batch(where, e, first, count, std::move(body));
    if (random_.chance(1)) ++a.checksum;
    return a;
}

command workload::a_group_command(std::uint32_t t, const model::topic& topic) {
    const topic_id id{t};
    const group_id g{static_cast<std::uint32_t>(random_.between(1, topic.next_group))};
    const std::uint64_t choice = random_.below(100);
    if (topic.groups.empty() || choice < 12)
        return create_group{id,
                            "g" + std::to_string(random_.below(3)),
                            random_.chance(90) ? "" : "other",
                            {random_.chance(80) ? 1 : random_.between(1, topic.next + 2)}};
    if (choice < 50) {
        ack a{id, g, {}};
        for (std::uint64_t n = random_.between(1, 3); n > 0; --n)
            a.ranges.push_back(a_range(topic));
        if (random_.chance(10)) a.ranges = {{{1}, a.ranges[0].last}};
        return a;
    }
    if (choice < 62 && !topic.sources.empty()) {
        const auto s =
            static_cast<std::uint32_t>(random_.between(1, std::max(1U, topic.next_source - 1)));
        const auto found = topic.sources.find(s);
        epoch run{1};
        std::uint64_t last = 1;
        if (found != topic.sources.end()) {
            run = found->second.epoch;
            if (run.value > 1 && random_.chance(40)) run.value = random_.between(1, run.value);
            last = found->second.last_of(run);
        }
        const std::uint64_t first = random_.between(1, last + 1);
        return ack_positions{id, g, {s}, run, {{{first}, {first + random_.below(4)}}}};
    }
    const offset message{random_.between(topic.first, topic.next)};
    if (choice < 74)
        return note_attempts{
            id, g, message, static_cast<std::uint32_t>(random_.below(9)), at_ms(7), a_text()};
    if (choice < 88)
        return dead_letter{id,
                           g,
                           message,
                           a_letters_name(),
                           static_cast<std::uint32_t>(random_.below(9)),
                           errc::rejected,
                           a_text()};
    if (choice < 91) return seek_group{id, g, {random_.between(1, topic.next + 1)}};
    if (choice < 93) return alter_group{id, g, "altered"};
    if (choice < 95) return delete_group{id, g};
    if (kind_.one_command) return seek_group{id, g, {topic.first}};
    return redrive{id, a_range(topic)};
}

command workload::a_topic_command(std::uint32_t t, const model::topic& topic) {
    const topic_id id{t};
    switch (random_.below(10)) {
        case 0:
            return purge{id};
        case 1:
            return delete_topic{id};
        case 2: {
            topic_config c = topic.config;
            if (topic.letters) return purge{id};
            if (kind_.limited_topics || kind_.aged_topics)
                c.retention = a_retention();
            else
                c.retention.until_acked = !c.retention.until_acked;
            return alter_topic{id, c};
        }
        default:
            return trim{id, {random_.between(0, std::min(topic.next, topic.first + 6))}};
    }
}

void age(model& known, std::uint64_t seed, database* db) {
    workload work(seed, "", 4'000);
    std::vector<reply> expected;
    std::vector<reply> replies;
    for (int i = 0; i < 30; ++i) {
        const auto commands = work.next_commit(known, expected);
        if (db != nullptr) db->commit(commands, at_ms(1'000), replies);
    }
}

}  // namespace cairn::test
