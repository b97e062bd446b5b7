#include "store/lab.hpp"

#include "harness/statistics.hpp"

#include <cairn/wire/frames.hpp>
#include <cairn/wire/limits.hpp>
#include <cairn/wire/records.hpp>

#include <fcntl.h>
#include <lmdb.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <stdexcept>

namespace cairn::bench {

using std::chrono::steady_clock;

namespace {

constexpr std::size_t in_flight_bytes = std::size_t{16} << 20;

wall_time system_now() {
    return std::chrono::time_point_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now());
}

/// The few calls of LMDB that the yardstick needs.
class plain_lmdb {
public:
    explicit plain_lmdb(const std::filesystem::path& directory) {
        std::filesystem::create_directory(directory);
        check(mdb_env_create(&env_));
        check(mdb_env_set_mapsize(env_, std::size_t{1} << 40));
        check(mdb_env_open(env_, directory.c_str(), MDB_NOTLS, 0600));
        MDB_txn* txn = nullptr;
        check(mdb_txn_begin(env_, nullptr, 0, &txn));
        check(mdb_dbi_open(txn, nullptr, 0, &dbi_));
        check(mdb_txn_commit(txn));
    }
    ~plain_lmdb() { mdb_env_close(env_); }
    plain_lmdb(const plain_lmdb&) = delete;
    plain_lmdb& operator=(const plain_lmdb&) = delete;

    void commit(std::size_t bytes) {
        MDB_txn* txn = nullptr;
        check(mdb_txn_begin(env_, nullptr, 0, &txn));
        while (bytes > 0) {
            const std::size_t size = std::min(bytes, value_.size());
            std::array<unsigned char, 16> k{};
            for (std::size_t i = 0; i < 8; ++i)
                k[8 + i] = static_cast<unsigned char>(next_ >> (56 - 8 * i));
            ++next_;
            MDB_val key{k.size(), k.data()};
            MDB_val value{size, value_.data()};
            check(mdb_put(txn, dbi_, &key, &value, 0));
            bytes -= size;
        }
        check(mdb_txn_commit(txn));
    }

private:
    static void check(int code) {
        if (code != 0) throw std::runtime_error(std::string("LMDB: ") + mdb_strerror(code));
    }

    MDB_env* env_ = nullptr;
    MDB_dbi dbi_ = 0;
    std::uint64_t next_ = 0;
    std::array<char, 4'080> value_{};
};

double per_second(std::uint64_t amount, steady_clock::time_point since) {
    return static_cast<double>(amount) /
           std::chrono::duration<double>(steady_clock::now() - since).count();
}

}  // namespace

scratch::scratch(const std::string& parent) {
    const auto where =
        parent.empty() ? std::filesystem::temp_directory_path() : std::filesystem::path(parent);
    std::string name = (where / "cairn-bench-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("cannot make " + name);
    path_ = name;
}

scratch::~scratch() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
}

batch_of::batch_of(std::size_t message_bytes, std::uint32_t count) : messages(count) {
    const std::vector<std::byte> message(message_bytes, std::byte{'x'});
    body.resize(count * wire::record_bytes(0, message_bytes));
    std::byte* at = body.data();
    for (std::uint32_t i = 0; i < count; ++i) at = wire::write_record(at, {}, message);
    checksum = wire::checksum(body);
}

std::uint32_t gathered(std::size_t message_bytes) {
    return static_cast<std::uint32_t>(
        std::max<std::size_t>(1, wire::batch_bytes_default / wire::record_bytes(0, message_bytes)));
}

stream::stream(store::database& db, const std::string& topic, const std::string& source) {
    std::vector<store::reply> replies;
    const std::vector<store::command> open{store::open_source{topic, source, {1}, "", true}};
    db.commit(open, system_now(), replies);
    opened_ = std::get<store::source_opened>(replies.at(0).value);
}

store::append stream::next(const batch_of& b) {
    store::append a;
    a.topic = opened_.topic;
    a.source = opened_.source;
    a.epoch = {1};
    a.first = {next_};
    a.count = b.messages;
    a.time = system_now();
    a.checksum = b.checksum;
    a.body.bytes = b.body;
    next_ += b.messages;
    return a;
}

void reply_tally::replied(std::uint64_t, const store::reply& answer, bool) {
    bool wake = false;
    {
        const std::lock_guard hold(mutex_);
        ++answered_;
        if (!answer.ok()) problem_ = answer.code;
        wake = answered_ >= awaited_;
    }
    if (wake) changed_.notify_one();  // who wakes finds the mutex free
}

void reply_tally::wait(std::uint64_t count) {
    std::unique_lock hold(mutex_);
    awaited_ = count;
    changed_.wait(hold, [&] { return answered_ >= count; });
    if (problem_ != errc::ok)
        throw std::runtime_error("the store refused: " + std::string(name(problem_)));
}

void commit(store::database& db, const std::vector<store::command>& commands) {
    std::vector<store::reply> replies;
    db.commit(commands, system_now(), replies);
    for (const store::reply& one : replies)
        if (!one.ok())
            throw std::runtime_error("the store refused: " + std::string(name(one.code)));
}

void fill(store::database& db, stream& to, const batch_of& b, std::uint64_t messages) {
    const std::uint64_t in_commit =
        std::max<std::uint64_t>(1, in_flight_commit_bytes / b.body.size());
    std::vector<store::command> commands;
    for (const std::uint64_t end = to.last() + messages; to.last() < end;) {
        commands.clear();
        for (std::uint64_t i = 0; i < in_commit && to.last() < end; ++i)
            commands.emplace_back(to.next(b));
        commit(db, commands);
    }
}

rate append_for(store::database& db, stream& to, const batch_of& b, std::chrono::nanoseconds time) {
    reply_tally answers;
    store::committer group(db);
    const std::uint64_t window = std::max<std::uint64_t>(2, in_flight_bytes / b.body.size());
    std::uint64_t sent = 0;
    const auto begin = steady_clock::now();
    while (steady_clock::now() - begin < time) {
        if (sent >= window) answers.wait(sent - window + 1);
        store::command one = to.next(b);
        if (group.submit_until(one, answers, sent, clock::now() + std::chrono::minutes(1)) !=
            errc::ok)
            throw std::runtime_error("the committer takes nothing");
        ++sent;
    }
    answers.wait(sent);
    rate result;
    result.messages_per_s = per_second(sent * b.messages, begin);
    result.bytes_per_commit =
        static_cast<double>(sent * b.body.size()) / static_cast<double>(group.stats().transactions);
    return result;
}

double lmdb_bytes_per_s(const std::filesystem::path& directory, std::size_t bytes_per_commit,
                        std::chrono::nanoseconds time) {
    plain_lmdb db(directory);
    std::uint64_t bytes = 0;
    const auto begin = steady_clock::now();
    for (; steady_clock::now() - begin < time; bytes += bytes_per_commit)
        db.commit(bytes_per_commit);
    return per_second(bytes, begin);
}

std::vector<double> lmdb_commit_us(const std::filesystem::path& directory, std::size_t bytes,
                                   std::chrono::nanoseconds time) {
    plain_lmdb db(directory);
    std::vector<double> each;
    const auto begin = steady_clock::now();
    for (auto at = begin; at - begin < time;) {
        db.commit(bytes);
        const auto now = steady_clock::now();
        each.push_back(std::chrono::duration<double, std::micro>(now - at).count());
        at = now;
    }
    return each;
}

double disk_bytes_per_s(const std::filesystem::path& file, std::size_t bytes_per_sync,
                        std::chrono::nanoseconds time) {
    const std::vector<std::byte> block(std::max<std::size_t>(bytes_per_sync, 4'096));
    const int fd = ::open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) throw std::runtime_error("cannot write " + file.string());
    std::uint64_t bytes = 0;
    const auto begin = steady_clock::now();
    for (; steady_clock::now() - begin < time; bytes += block.size())
        if (::write(fd, block.data(), block.size()) < 0 || ::fdatasync(fd) != 0)
            throw std::runtime_error("cannot write " + file.string());
    const double result = per_second(bytes, begin);
    ::close(fd);
    std::filesystem::remove(file);
    return result;
}

std::chrono::nanoseconds share_of(const options& wanted, double share) {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(
        std::chrono::duration<double>(wanted.seconds * share));
}

std::size_t rounds_of(const options& wanted, std::size_t usual) {
    return wanted.rounds > 0 ? wanted.rounds : usual;
}

void set_rate(row& line, double messages_per_s) {
    line.messages_per_s = messages_per_s;
    line.mb_per_s = messages_per_s * static_cast<double>(line.size) * 1e-6;
}

void set_ratio(row& line, std::vector<double> ratios) {
    std::sort(ratios.begin(), ratios.end());
    line.ratio = median(ratios);
    line.ratio_min = ratios.front();
    line.ratio_max = ratios.back();
}

double percentile(std::vector<double> values, double share) {
    if (values.empty()) return 0;
    std::sort(values.begin(), values.end());
    return values[static_cast<std::size_t>(share * static_cast<double>(values.size() - 1))];
}

}  // namespace cairn::bench
