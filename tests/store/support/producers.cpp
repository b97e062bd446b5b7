#include "producers.hpp"

#include "made.hpp"
#include "unit/protocol/random.hpp"

#include <cairn/store/reader.hpp>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <thread>

namespace cairn::test::producers {

using namespace store;

namespace {

constexpr std::array<const char*, topics> names{"orders", "newest", "ticks"};
constexpr std::uint64_t newest_messages_max = 60;
constexpr std::uint64_t ticks_bytes_max = 16'384;
constexpr std::uint64_t batch_cost_max = 4'096;  // more than any batch here takes
constexpr std::size_t outstanding_max = 4;

topic_config config_of(std::size_t t) {
    switch (t) {
        case orders:
            return {.retention = {.until_acked = true}};
        case newest:
            return {.retention = {.messages_max = newest_messages_max}};
        default:
            return {.retention = {.bytes_max = ticks_bytes_max}, .confirm = durability::written};
    }
}

// Two groups in each of the first two topics, one of each producer's.
std::size_t topic_of_group(std::size_t producer) { return producer < 2 ? orders : newest; }
std::string name_of(const char* what, std::size_t producer) {
    return what + std::to_string(producer);
}

std::uint64_t mixed(std::size_t t, std::size_t producer, std::uint64_t n) {
    return dice(t * 1'000 + producer * 100 + n * 7'919).roll();
}

// Batches are cut at the same positions whenever they are sent.
std::uint32_t count_from(std::size_t t, std::size_t producer, std::uint64_t first) {
    return static_cast<std::uint32_t>(1 + mixed(t, producer, first) % 5);
}

std::string text_of(std::size_t t, std::size_t producer, std::uint64_t sequence) {
    return std::to_string(producer) + "." + std::to_string(sequence) + ":" +
           std::string(mixed(t, producer, sequence) / 5 % 200, 'x');
}

class producer final : public completion {
public:
    producer(committer& to, const database& db, std::size_t number, std::uint64_t seed,
             witness& told)
        : to_(to), number_(number), random_(seed * count + number), told_(told) {
        reader from(db);
        for (std::size_t t = 0; t < topics; ++t) {
            ids_[t] = from.find_topic(names[t]).value();
            const auto sources = from.sources(ids_[t]).value();
            for (const source_info& s : sources)
                if (s.name == name_of("s", number)) sources_[t] = s.id, next_[t] = s.last.value + 1;
        }
        const topic_id own = ids_[topic_of_group(number_)];
        group_ = from.find_group(own, name_of("g", number)).value();
        const auto pending = from.pending(own, group_, {1}, 100'000).value();
        for (const offset_range& r : pending)
            for (std::uint64_t o = r.first.value; o <= r.last.value; ++o) open_.insert(o);
        stored_ = from.topic(own)->end.value - 1;
    }

    void run(std::size_t deeds_max) {
        for (std::size_t n = 0; n < deeds_max; ++n) {
            {
                std::unique_lock hold(mutex_);
                changed_.wait(hold, [&] { return answered_ + outstanding_max > deeds_.size(); });
            }
            deed next = choose();
            command wanted = command_of(next);
            told_.asked(number_, next);
            {
                const std::lock_guard hold(mutex_);
                deeds_.push_back(next);
            }
            if (to_.submit_until(wanted, *this, n, time_point::max()) != errc::ok)
                return told_.wronged("a command is not taken");
        }
        std::unique_lock hold(mutex_);
        changed_.wait(hold, [&] { return answered_ == deeds_.size(); });
    }

    void replied(std::uint64_t token, const reply& answer, bool flushed) override {
        const std::lock_guard hold(mutex_);
        deed& what = deeds_[token];
        const bool early = !flushed && what.topic == ticks;
        what.gone = what.what == deed::kind::letter && answer.code == errc::gone;
        if (!answer.ok() && !what.gone) told_.wronged("answered " + std::string(name(answer.code)));
        if (const auto* const a = std::get_if<appended>(&answer.value)) {
            what.at = a->first.value;
            if (what.topic == topic_of_group(number_))
                for (; stored_ < a->last.value; ++stored_) open_.insert(stored_ + 1);
        }
        if (!early) settle(token);
    }
    void kept(std::uint64_t token) override {
        const std::lock_guard hold(mutex_);
        if (deeds_[token].confirmed == 0) settle(token);
    }
    void taken_back(std::uint64_t, errc why) override {
        told_.wronged("taken back: " + std::string(name(why)));
    }

private:
    void settle(std::uint64_t token) {
        deed& what = deeds_[token];
        what.confirmed = 1;
        ++answered_;
        told_.confirmed(number_, token, what.at, what.gone);
        changed_.notify_all();
    }

    deed choose() {
        const std::lock_guard hold(mutex_);
        const std::uint64_t choice = random_.below(100);
        if (choice < 60 || open_.empty()) {
            const std::size_t t = random_.below(topics);
            const std::uint64_t first = next_[t];
            next_[t] += count_from(t, number_, first);
            return {deed::kind::append, t, first, next_[t] - 1};
        }
        auto from = open_.lower_bound(random_.between(*open_.begin(), *open_.rbegin()));
        deed d{choice < 90 ? deed::kind::ack : deed::kind::letter, topic_of_group(number_), *from,
               *from};
        from = open_.erase(from);
        if (d.what == deed::kind::ack)
            for (std::uint64_t n = random_.below(8);
                 n > 0 && from != open_.end() && *from == d.last + 1; --n, from = open_.erase(from))
                d.last = *from;
        return d;
    }

    command command_of(const deed& d) const {
        if (d.what == deed::kind::ack) return ack{ids_[d.topic], group_, {{{d.first}, {d.last}}}};
        if (d.what == deed::kind::letter)
            return dead_letter{ids_[d.topic], group_, {d.first}, "dead", 3, errc::rejected, "r"};
        body_bytes body;
        for (std::uint64_t s = d.first; s <= d.last; ++s)
            add_record(body, text_of(d.topic, number_, s));
        return batch({ids_[d.topic], sources_[d.topic], {}, {}}, {1}, d.first,
                     static_cast<std::uint32_t>(d.last - d.first + 1), std::move(body));
    }

    committer& to_;
    const std::size_t number_;
    dice random_;
    witness& told_;
    std::array<topic_id, topics> ids_;
    std::array<source_id, topics> sources_;
    std::array<std::uint64_t, topics> next_{};
    group_id group_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<deed> deeds_;
    std::size_t answered_ = 0;
    std::set<std::uint64_t> open_;  // of its group's topic, and not acked by it yet
    std::uint64_t stored_ = 0;      // offsets of that topic that it knows to be stored
};

/// Reads one database.
class observation {
public:
    observation(const database& db, holding& now) : from_(db), now_(now) {}

    std::optional<std::string> run() {
        for (std::size_t t = 0; t < topics && !failure_; ++t) {
            const auto id = from_.find_topic(names[t]);
            if (!id) continue;  // not made yet: it counts as empty
            topic_ = names[t];
            read_log(t, *id);
            if (!failure_) read_sources(t, *id);
            if (!failure_) read_groups(t, *id);
            if (!failure_) check_limits(t);
        }
        if (!failure_) read_letters();
        return failure_;
    }

private:
    void expect(bool holds, const std::string& what) {
        if (!holds && !failure_) failure_ = topic_ + ": " + what;
    }

    void read_log(std::size_t t, topic_id id) {
        auto& in = now_.in[t];
        const auto info = from_.topic(id);
        expect(info.has_value(), "no record");
        if (failure_) return;
        in.first = info->first.value;
        in.end = info->end.value;
        in.bytes = info->bytes;
        std::vector<std::byte> buffer;
        page found;
        for (offset at{in.first}; at.value < in.end && !failure_; at = found.next) {
            expect(from_.read(id, at, 100'000, buffer, found) == errc::ok, "cannot be read");
            for (const entry& e : found.entries) {
                expect(e.what == entry::kind::batch, "damaged or lost");
                if (failure_) return;
                const std::size_t s = e.source.value - 1;
                const auto texts = texts_of(e.body);
                expect(texts.size() == count_from(t, s, e.sequences.first.value), "half a batch");
                for (std::size_t i = 0; i < texts.size(); ++i) {
                    const std::uint64_t sequence = e.sequences.first.value + i;
                    const std::uint64_t o = e.offsets.first.value + i;
                    expect(texts[i] == text_of(t, s, sequence), "another text");
                    if (o >= in.first) in.messages[o] = {s, sequence};
                }
            }
        }
        expect(in.messages.size() == in.end - in.first, "offsets are missing");
    }

    // Each offset once: as many as the sources have sent, and each source's messages in order.
    void read_sources(std::size_t t, topic_id id) {
        auto& in = now_.in[t];
        const auto listed = from_.sources(id);
        expect(listed.has_value(), "no sources");
        if (failure_) return;
        std::uint64_t sent = 0;
        for (const source_info& s : *listed) sent += in.last[s.id.value - 1] = s.last.value;
        expect(sent == in.end - 1, "offsets do not count its messages");
        auto next = in.last;
        for (auto m = in.messages.rbegin(); m != in.messages.rend(); ++m) {
            const auto [s, sequence] = m->second;
            expect(sequence == next[s]--, "positions are not dense");
        }
    }

    void read_groups(std::size_t t, topic_id id) {
        for (std::size_t p = 0; p < count; ++p) {
            const auto group = from_.find_group(id, name_of("g", p));
            if (!group) continue;
            const auto open = from_.pending(id, *group, {1}, 100'000);
            expect(open.has_value(), "acks cannot be read");
            if (failure_) return;
            auto& all = now_.in[t].open[p];
            for (const offset_range& r : *open)
                for (std::uint64_t o = r.first.value; o <= r.last.value; ++o) all.insert(o);
        }
    }

    void check_limits(std::size_t t) {
        const auto& in = now_.in[t];
        const std::uint64_t held = in.end - in.first;
        if (t == newest)
            expect(held == std::min(in.end - 1, newest_messages_max),
                   "holds " + std::to_string(held) + " messages");
        if (t == ticks)
            expect(in.bytes <= ticks_bytes_max &&
                       (in.first == 1 || in.bytes + batch_cost_max > ticks_bytes_max),
                   "holds " + std::to_string(in.bytes) + " bytes");
    }

    void read_letters() {
        topic_ = "dead";
        const auto id = from_.find_topic("dead");
        if (!id) return;
        const auto info = from_.topic(*id);
        expect(info.has_value() && info->first == offset{1}, "letters have gone");
        if (failure_) return;
        for (offset at{1}; at < info->end && !failure_; at = at + 1) {
            const auto story = from_.story(*id, at);
            expect(story.has_value(), "a letter without its story");
            if (failure_) return;
            const auto p = static_cast<std::size_t>(story->group[1] - '0');
            expect(now_.letters.emplace(p, story->at.value).second, "a letter twice");
            expect(!now_.in[topic_of_group(p)].open[p].contains(story->at.value),
                   "moved, and not acked");
        }
    }

    reader from_;
    holding& now_;
    std::string topic_;
    std::optional<std::string> failure_;
};

/// What has become of a deed.
enum class fate { there, absent, unknown };

class comparison {
public:
    comparison(const holding& before, const holding& now, const ledger& since,
               std::uint64_t confirms)
        : before_(before), now_(now), since_(since), confirms_(confirms) {}

    std::optional<std::string> run() {
        for (std::size_t t = 0; t < topics; ++t) follows(before_.in[t], now_.in[t]);
        expect(std::includes(now_.letters.begin(), now_.letters.end(), before_.letters.begin(),
                             before_.letters.end()),
               "a letter is missing");
        for (std::size_t p = 0; p < count; ++p) {
            bool absent = false;
            for (const deed& d : since_.deeds[p]) {
                const fate now = fate_of(p, d);
                const bool promised = d.confirmed != 0 && d.confirmed <= confirms_;
                expect(!promised || now != fate::absent, p, d, "was confirmed and is not there");
                expect(!absent || now != fate::there, p, d, "is there without what came before");
                absent = absent || now == fate::absent;
                if (promised && d.what == deed::kind::append) check_place(p, d);
            }
            check_acks(p);
        }
        return failure_;
    }

private:
    void expect(bool holds, const std::string& what) {
        if (!holds && !failure_) failure_ = what;
    }
    void expect(bool holds, std::size_t p, const deed& d, const char* what) {
        if (holds || failure_) return;
        failure_ = "producer " + std::to_string(p) + ": " + static_cast<char>(d.what) + " " +
                   std::to_string(d.first) + "-" + std::to_string(d.last) + " in " +
                   names[d.topic] + " " + what;
    }

    void follows(const holding::one_topic& before, const holding::one_topic& now) {
        expect(now.first >= before.first && now.end >= before.end, "offsets went back");
        for (std::size_t p = 0; p < count; ++p)
            expect(now.last[p] >= before.last[p], "a source went back");
        for (auto m = before.messages.lower_bound(now.first); m != before.messages.end(); ++m) {
            const auto held = now.messages.find(m->first);
            expect(held != now.messages.end() && held->second == m->second, "a message changed");
        }
    }

    fate fate_of(std::size_t p, const deed& d) {
        const auto& in = now_.in[d.topic];
        if (d.what == deed::kind::append) {
            expect(in.last[p] >= d.last || in.last[p] < d.first, p, d, "is there by half");
            return in.last[p] >= d.last ? fate::there : fate::absent;
        }
        if (d.gone) return fate::unknown;
        const auto& open = in.open.at(p);
        if (d.what == deed::kind::letter) {
            const bool moved = now_.letters.contains({p, d.first});
            expect(moved || d.first < in.first || open.contains(d.first) || d.first >= in.end, p, d,
                   "was acked, and not moved");
            if (moved) return fate::there;
            return d.first < in.first ? fate::unknown : fate::absent;
        }
        std::uint64_t held = 0;
        std::uint64_t acked = 0;
        for (std::uint64_t o = std::max(d.first, in.first); o <= d.last; ++o, ++held)
            acked += o < in.end && !open.contains(o) ? 1U : 0U;
        expect(acked == 0 || acked == held, p, d, "is there by half");
        if (held == 0) return fate::unknown;
        return acked > 0 ? fate::there : fate::absent;
    }

    void check_place(std::size_t p, const deed& d) {
        const auto& in = now_.in[d.topic];
        for (std::uint64_t s = d.first; s <= d.last; ++s) {
            const auto held = in.messages.find(d.at + (s - d.first));
            if (d.at + (s - d.first) < in.first) continue;
            expect(held != in.messages.end() && held->second == std::pair(p, s), p, d,
                   "is elsewhere than was said");
        }
    }

    // Acked stays acked, and nothing is acked that nobody asked for.
    void check_acks(std::size_t p) {
        const std::size_t t = topic_of_group(p);
        if (!now_.in[t].open.contains(p) && now_.in[t].end == 1) return;
        std::set<std::uint64_t> asked;
        for (const deed& d : since_.deeds[p])
            for (std::uint64_t o = d.first; d.what != deed::kind::append && o <= d.last; ++o)
                asked.insert(o);
        const auto& before = before_.in[t];
        const auto& now = now_.in[t];
        const auto was = before.open.find(p);
        const auto is = now.open.find(p);
        const auto open_then = [&](std::uint64_t o) {
            return o >= before.end || (was != before.open.end() && was->second.contains(o));
        };
        const auto open_now = [&](std::uint64_t o) {
            return is != now.open.end() && is->second.contains(o);
        };
        for (std::uint64_t o = before.first; o < now.end; ++o) {
            if (o < now.first && t != orders) continue;  // dropped
            expect(!open_now(o) || open_then(o), "offset " + std::to_string(o) + " is open again");
            expect(open_now(o) || !open_then(o) || asked.contains(o),
                   "offset " + std::to_string(o) + " was acked by nobody");
        }
    }

    const holding& before_;
    const holding& now_;
    const ledger& since_;
    const std::uint64_t confirms_;
    std::optional<std::string> failure_;
};

}  // namespace

void ledger::confirm(std::size_t producer, std::size_t number, std::uint64_t at, bool gone) {
    deed& what = deeds[producer].at(number);
    what.confirmed = ++confirms;
    what.at = at;
    what.gone = gone;
}

void prepare(database& db) {
    std::vector<command> commands;
    std::vector<reply> replies;
    for (std::size_t t = 0; t < topics; ++t)
        commands.emplace_back(create_topic{names[t], config_of(t)});
    // In an order of their own, so that a source's number tells whose it is.
    for (std::size_t t = 0; t < topics; ++t)
        for (std::size_t p = 0; p < count; ++p)
            commands.emplace_back(open_source{names[t], name_of("s", p), {1}, "", false});
    db.commit(commands, at_ms(1'000), replies);
    for (std::size_t p = 0; p < count; ++p) {
        const std::size_t t = topic_of_group(p);
        const command one =
            create_group{std::get<topic_created>(replies[t].value).topic, name_of("g", p), "", {1}};
        std::vector<reply> answer;
        db.commit({&one, 1}, at_ms(1'000), answer);
    }
}

void produce(database& db, std::uint64_t seed, std::size_t deeds_max, witness& told) {
    committer group(db);
    std::vector<std::unique_ptr<producer>> all;
    for (std::size_t p = 0; p < count; ++p)
        all.push_back(std::make_unique<producer>(group, db, p, seed, told));
    {
        std::vector<std::jthread> threads;
        for (const auto& one : all)
            threads.emplace_back([&one = *one, deeds_max] { one.run(deeds_max); });
    }
    group.close();
}

std::optional<std::string> observe(const database& db, holding& now) {
    return observation(db, now).run();
}

std::optional<std::string> compare(const holding& before, const holding& now, const ledger& since,
                                   std::uint64_t confirms) {
    return comparison(before, now, since, confirms).run();
}

}  // namespace cairn::test::producers
