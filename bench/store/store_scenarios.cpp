#include "store/store_scenarios.hpp"

#include "harness/processes.hpp"
#include "harness/statistics.hpp"
#include "store/lab.hpp"

#include <cairn/wire/records.hpp>

#include <algorithm>
#include <array>
#include <stdexcept>
#include <thread>

namespace cairn::bench {

namespace {

using std::chrono::steady_clock;
using clock_time = std::chrono::nanoseconds;

double seconds_since(steady_clock::time_point begin) {
    return std::chrono::duration<double>(steady_clock::now() - begin).count();
}

row row_for(const scenario& self, std::size_t size, std::size_t rounds = 1) {
    row line;
    line.scenario = self.name;
    line.size = size;
    line.transport = "none";
    line.rounds = rounds;
    return line;
}

void run_append(const scenario& self, const options& wanted, const row_sink& sink) {
    const std::size_t rounds = rounds_of(wanted, 3);
    const std::size_t size = wanted.size.value_or(100);
    const batch_of b(size, gathered(size));
    const clock_time time = share_of(wanted, 1.0 / (3.0 * static_cast<double>(rounds)));
    std::vector<double> ours, theirs, ratios, disk, commits;
    for (std::size_t i = 0; i < rounds; ++i) {
        const scratch where(wanted.directory);
        store::database db(where / "db");
        stream to(db, "bench", "a");
        const rate mine = append_for(db, to, b, time);
        const auto bytes = static_cast<std::size_t>(mine.bytes_per_commit);
        const double lmdb = lmdb_bytes_per_s(where / "lmdb", bytes, time) /
                            static_cast<double>(b.body.size()) * b.messages;
        ours.push_back(mine.messages_per_s);
        theirs.push_back(lmdb);
        ratios.push_back(mine.messages_per_s / lmdb);
        disk.push_back(disk_bytes_per_s(where / "disk", bytes, time) /
                       static_cast<double>(b.body.size()) * b.messages);
        commits.push_back(mine.bytes_per_commit);
    }
    row line = row_for(self, size, rounds);
    set_rate(line, median(ours));
    line.baseline_messages_per_s = median(theirs);
    set_ratio(line, ratios);
    line.details = {{"disk_messages_per_s", median(disk)}, {"bytes_per_commit", median(commits)}};
    line.baseline = "LMDB, the same bytes a commit";
    line.target = size == 100 ? ">= 0.85, and 4 M/s or the disk" : ">= 0.85";
    line.met = *line.ratio >= 0.85 &&
               (size != 100 || *line.messages_per_s >= std::min(4e6, 0.85 * median(disk)));
    sink(line);
}

void run_commit(const scenario& self, const options& wanted, const row_sink& sink) {
    const std::size_t rounds = rounds_of(wanted, 15);
    const std::size_t size = wanted.size.value_or(100);
    const batch_of b(size, 1);
    const clock_time time = share_of(wanted, 1.0 / (2.0 * static_cast<double>(rounds)));
    std::vector<double> ours, theirs, ratios, p99;
    for (std::size_t i = 0; i < rounds; ++i) {
        const scratch where(wanted.directory);
        store::database db(where / "db");
        stream to(db, "bench", "a");
        std::vector<double> each;
        const auto begin = steady_clock::now();
        for (auto at = begin; at - begin < time;) {
            commit(db, {to.next(b)});
            const auto now = steady_clock::now();
            each.push_back(std::chrono::duration<double, std::micro>(now - at).count());
            at = now;
        }
        const double lmdb = percentile(lmdb_commit_us(where / "lmdb", size, time), 0.5);
        ours.push_back(percentile(each, 0.5));
        p99.push_back(percentile(each, 0.99));
        theirs.push_back(lmdb);
        ratios.push_back(ours.back() / lmdb);
    }
    row line = row_for(self, size, rounds);
    line.p50_us = median(ours);
    line.p99_us = median(p99);
    line.baseline_p50_us = median(theirs);
    set_ratio(line, ratios);
    line.baseline = "LMDB, one value a commit";
    line.target = "<= 1.15";
    line.met = *line.ratio <= 1.15;
    sink(line);
}

/// So many threads, each waiting for each confirm: confirms a second.
double confirms_per_s(store::database& db, std::size_t threads, const batch_of& b,
                      clock_time time) {
    std::vector<stream> streams;
    for (std::size_t i = 0; i < threads; ++i)
        streams.emplace_back(db, "bench", "s" + std::to_string(i));
    std::vector<std::uint64_t> done(threads);
    const auto begin = steady_clock::now();
    {
        store::committer group(db);
        std::vector<std::jthread> all;
        for (std::size_t i = 0; i < threads; ++i)
            all.emplace_back([&, i] {
                for (; steady_clock::now() - begin < time; ++done[i])
                    if (!group.commit(streams[i].next(b)).ok()) return;
            });
    }
    std::uint64_t sum = 0;
    for (const std::uint64_t n : done) sum += n;
    return static_cast<double>(sum) / seconds_since(begin);
}

void run_producers(const scenario& self, const options& wanted, const row_sink& sink) {
    const std::size_t rounds = rounds_of(wanted, 3);
    const std::size_t size = wanted.size.value_or(100);
    const std::size_t threads = wanted.peers.value_or(64);
    const batch_of b(size, 1);
    const clock_time time = share_of(wanted, 1.0 / (2.0 * static_cast<double>(rounds)));
    std::vector<double> one, many, ratios;
    for (std::size_t i = 0; i < rounds; ++i) {
        const scratch where(wanted.directory);
        store::database alone(where / "one");
        one.push_back(confirms_per_s(alone, 1, b, time));
        store::database together(where / "many");
        many.push_back(confirms_per_s(together, threads, b, time));
        ratios.push_back(many.back() / one.back());
    }
    row line = row_for(self, size, rounds);
    line.peers = threads;
    set_rate(line, median(many));
    line.baseline_messages_per_s = median(one);
    set_ratio(line, ratios);
    line.baseline = "one producer";
    line.target = ">= 30";
    if (threads == 64) line.met = *line.ratio >= 30;
    sink(line);
}

void run_queue(const scenario& self, const options& wanted, const row_sink& sink) {
    const std::size_t size = wanted.size.value_or(100);
    const std::uint64_t messages = wanted.messages.value_or(10'000'000);
    const batch_of b(size, gathered(size));
    const scratch where(wanted.directory);
    const std::uint64_t per_commit = in_flight_commit_bytes / b.body.size() * b.messages;
    const std::uint64_t kept = std::max<std::uint64_t>(per_commit * 4, messages / 10);

    store::database plain(where / "plain");
    stream alone(plain, "bench", "a");
    auto begin = steady_clock::now();
    fill(plain, alone, b, messages);
    const double append_rate = static_cast<double>(alone.last()) / seconds_since(begin);
    plain.close();

    store::database db(where / "queue");
    stream to(db, "bench", "a");
    fill(db, to, b, 2 * kept);  // into the steady state
    std::uint64_t early_bytes = 0;
    std::uint64_t largest = 0;
    const std::uint64_t first = to.last();
    begin = steady_clock::now();
    while (to.last() - first < messages) {
        std::vector<store::command> commands;
        for (std::uint64_t n = 0; n < per_commit; n += b.messages)
            commands.emplace_back(to.next(b));
        commands.emplace_back(store::trim{to.topic(), {to.last() - per_commit - kept}});
        commit(db, commands);
        largest = std::max(largest, db.stats().file_bytes);
        if (to.last() - first < messages / 4) early_bytes = largest;
    }
    const double queue_rate = static_cast<double>(to.last() - first) / seconds_since(begin);
    row line = row_for(self, size);
    set_rate(line, queue_rate);
    line.baseline_messages_per_s = append_rate;
    set_ratio(line, {queue_rate / append_rate});
    const double growth =
        early_bytes > 0 ? static_cast<double>(largest) / static_cast<double>(early_bytes) : 0;
    line.details = {{"messages", static_cast<double>(messages)},
                    {"file_mb", static_cast<double>(largest) * 1e-6},
                    {"file_growth", growth}};
    line.baseline = "append alone";
    line.target = ">= 0.8, file flat";
    line.met = *line.ratio >= 0.8 && growth <= 1.1;
    sink(line);
}

/// Two topics take turns until they hold so many bytes together; then one of them goes.
void leave_holes(store::database& db, std::uint64_t bytes) {
    const batch_of small(100, 39);  // a piece each
    stream kept(db, "kept", "a");
    stream trimmed(db, "trimmed", "b");
    for (std::uint64_t written = 0; written < bytes;) {
        std::vector<store::command> commands;
        for (int i = 0; i < 500; ++i) {
            commands.emplace_back(kept.next(small));
            commands.emplace_back(trimmed.next(small));
            written += 2 * small.body.size();
        }
        commit(db, commands);
    }
    commit(db, {store::trim{trimmed.topic(), {trimmed.last()}}});
    std::vector<store::reply> replies;
    while (db.commit({}, wall_time::clock::now(), replies)) {
    }
}

void run_interleaved(const scenario& self, const options& wanted, const row_sink& sink) {
    const std::size_t rounds = rounds_of(wanted, 5);
    const std::size_t size = wanted.size.value_or(65'536);
    const std::uint64_t bytes = wanted.messages.value_or(1'000'000) * 256;
    const batch_of large(size, 1);
    const auto large_per_s = [&](store::database& db) {
        stream to(db, "large", "c");
        const auto begin = steady_clock::now();
        fill(db, to, large, std::max<std::uint64_t>(1, bytes / 2 / size));  // as much as went
        return static_cast<double>(to.last()) / seconds_since(begin);
    };
    std::vector<double> mixed, fresh, ratios, growth;
    for (std::size_t i = 0; i < rounds; ++i) {
        const scratch where(wanted.directory);
        store::database with_holes(where / "mixed");
        leave_holes(with_holes, bytes);
        store::database without(where / "fresh");
        const auto before = static_cast<double>(with_holes.stats().file_bytes);
        // The disk may be slower the longer it has written: by turns, each is the first.
        if (i % 2 == 0) mixed.push_back(large_per_s(with_holes));
        fresh.push_back(large_per_s(without));
        if (i % 2 != 0) mixed.push_back(large_per_s(with_holes));
        growth.push_back(static_cast<double>(with_holes.stats().file_bytes) / before);
        ratios.push_back(mixed.back() / fresh.back());
    }
    row line = row_for(self, size, rounds);
    set_rate(line, median(mixed));
    line.baseline_messages_per_s = median(fresh);
    set_ratio(line, ratios);
    line.details = {{"file_growth", median(growth)}};
    line.baseline = "a fresh store";
    line.target = ">= 0.8";
    line.met = *line.ratio >= 0.8;
    sink(line);
}

void run_read(const scenario& self, const options& wanted, const row_sink& sink) {
    for (const std::size_t size :
         wanted.size ? std::vector{*wanted.size} : std::vector<std::size_t>{100, 65'536}) {
        const batch_of b(size, gathered(size));
        const scratch where(wanted.directory);
        store::database db(where / "db");
        stream to(db, "bench", "a");
        const std::uint64_t bytes = wanted.messages.value_or(5'000'000) * 100;
        fill(db, to, b, std::max<std::uint64_t>(b.messages, bytes / size));
        store::reader from(db);
        std::vector<std::byte> buffer;
        store::page page;
        std::uint64_t messages = 0;
        std::uint64_t read_bytes = 0;
        const auto once = [&] {
            for (store::offset at{1}; at.value <= to.last(); at = page.next) {
                if (from.read(to.topic(), at, std::size_t{1} << 20, buffer, page) != errc::ok)
                    throw std::runtime_error("the store cannot be read");
                for (const store::entry& e : page.entries)
                    for (wire::record_reader r(e.body); !r.done(); ++messages)
                        read_bytes += r.next().body.size();
            }
        };
        once();  // warms the cache
        messages = read_bytes = 0;
        const auto begin = steady_clock::now();
        do once();
        while (steady_clock::now() - begin < share_of(wanted, 0.3));
        row line = row_for(self, size);
        set_rate(line, static_cast<double>(messages) / seconds_since(begin));
        if (size == 100) {
            line.target = ">= 5 M/s";
            line.met = *line.messages_per_s >= 5e6;
        } else if (size == 65'536) {
            line.target = ">= 1,500 MB/s";
            line.met = *line.mb_per_s >= 1'500;
        }
        sink(line);
    }
}

void run_open(const scenario& self, const options& wanted, const row_sink& sink) {
    const std::size_t size = wanted.size.value_or(100);
    const std::uint64_t messages = wanted.messages.value_or(5'000'000);
    const batch_of b(size, gathered(size));
    const scratch where(wanted.directory);
    {
        store::database db(where / "db");
        stream to(db, "bench", "a");
        fill(db, to, b, messages);
    }
    std::vector<double> ms;
    std::uint64_t memory = 0;
    for (std::size_t i = 0; i < rounds_of(wanted, 5); ++i) {
        const std::uint64_t before = status_bytes_of(0, "RssAnon");
        const auto begin = steady_clock::now();
        const store::database db(where / "db");
        ms.push_back(seconds_since(begin) * 1e3);
        const std::uint64_t after = status_bytes_of(0, "RssAnon");
        memory = std::max(memory, after > before ? after - before : 0);
    }
    row line = row_for(self, size, ms.size());
    line.p50_us = median(ms) * 1e3;
    line.details = {{"messages", static_cast<double>(messages)},
                    {"open_ms", median(ms)},
                    {"memory_mb", static_cast<double>(memory) * 1e-6}};
    line.target = "<= 100 ms, 50 MB";
    line.met = median(ms) <= 100 && memory <= 50'000'000;
    sink(line);
}

void run_growth(const scenario& self, const options& wanted, const row_sink& sink) {
    constexpr int commits_a_round = 300;
    const std::size_t rounds = rounds_of(wanted, 9);
    const std::size_t size = wanted.size.value_or(100);
    const std::uint64_t messages = wanted.messages.value_or(5'000'000);
    const batch_of b(size, gathered(size));
    const batch_of single(size, 1);
    const scratch where(wanted.directory);
    store::database small(where / "small");
    store::database large(where / "large");
    stream to_small(small, "bench", "a");
    stream to_large(large, "bench", "a");
    fill(small, to_small, b, std::min<std::uint64_t>(messages, 1'000'000));
    fill(large, to_large, b, messages);
    const auto commit_us = [&](store::database& db, stream& to) {
        std::vector<double> each;
        for (int i = 0; i < commits_a_round; ++i) {
            const auto begin = steady_clock::now();
            commit(db, {to.next(single)});
            each.push_back(seconds_since(begin) * 1e6);
        }
        return percentile(each, 0.5);
    };
    std::vector<double> early, late, ratios;
    for (std::size_t i = 0; i < rounds; ++i) {
        if (i % 2 == 0) early.push_back(commit_us(small, to_small));
        late.push_back(commit_us(large, to_large));
        if (i % 2 != 0) early.push_back(commit_us(small, to_small));
        ratios.push_back(late.back() / early.back());
    }
    row line = row_for(self, size, rounds);
    line.p50_us = median(late);
    line.baseline_p50_us = median(early);
    set_ratio(line, ratios);
    line.details = {{"messages", static_cast<double>(messages)}};
    line.baseline = "with 1 M stored";
    line.target = "<= 1.2";
    line.met = *line.ratio <= 1.2;
    sink(line);
}

constexpr std::array scenarios{
    scenario{"store-append", "messages as they gather, full sync; LMDB", run_append, false},
    scenario{"store-commit", "one message a commit, full sync; LMDB", run_commit, false},
    scenario{"store-producers", "64 producers, each waits for each confirm; one producer",
             run_producers, false},
    scenario{"store-queue", "append and trim in a steady state; append alone", run_queue, false},
    scenario{"store-interleaved", "64 KiB after one of two mixed topics was trimmed; fresh",
             run_interleaved, false},
    scenario{"store-read", "sequential, warm cache", run_read, false},
    scenario{"store-open", "opening with 5 M messages stored (--messages)", run_open, false},
    scenario{"store-growth", "one commit with 5 M stored (--messages); with 1 M", run_growth,
             false},
};

}  // namespace

std::span<const scenario> store_scenarios() { return scenarios; }

}  // namespace cairn::bench
