#pragma once

#include "harness/options.hpp"
#include "harness/report.hpp"

#include <cairn/store/committer.hpp>
#include <cairn/store/database.hpp>
#include <cairn/store/reader.hpp>

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

/// What the store's scenarios measure with: databases, batches, LMDB and the disk alone.
namespace cairn::bench {

/// A directory that is gone with the object; in `parent`, or where temporary files go.
class scratch {
public:
    explicit scratch(const std::string& parent);
    ~scratch();
    scratch(const scratch&) = delete;
    scratch& operator=(const scratch&) = delete;
    std::filesystem::path operator/(const char* name) const { return path_ / name; }

private:
    std::filesystem::path path_;
};

/// A batch body that is appended again and again.
struct batch_of {
    batch_of(std::size_t message_bytes, std::uint32_t count);
    std::vector<std::byte> body;
    std::uint32_t messages;
    std::uint64_t checksum;
};

/// As many messages as an open batch of a publisher takes.
std::uint32_t gathered(std::size_t message_bytes);

/// One source on one topic of a database, and what it sends next.
class stream {
public:
    stream(store::database& db, const std::string& topic, const std::string& source);
    store::append next(const batch_of& b);
    store::topic_id topic() const { return opened_.topic; }
    std::uint64_t last() const { return next_ - 1; }

private:
    store::source_opened opened_;
    std::uint64_t next_ = 1;
};

/// Counts replies; what was refused ends the run. Must outlive the committer.
class reply_tally final : public store::completion {
public:
    void replied(std::uint64_t token, const store::reply& answer, bool flushed) override;
    /// Waits until so many were answered. Throws when one was refused.
    void wait(std::uint64_t count);

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    std::uint64_t answered_ = 0;
    std::uint64_t awaited_ = 0;
    errc problem_ = errc::ok;
};

/// Commits one after another on this thread. Throws when a command is refused.
void commit(store::database& db, const std::vector<store::command>& commands);

struct rate {
    double messages_per_s = 0;
    double bytes_per_commit = 0;
};

/// What fill() puts into one commit.
inline constexpr std::uint64_t in_flight_commit_bytes = std::uint64_t{4} << 20;

/// Appends so many messages.
void fill(store::database& db, stream& to, const batch_of& b, std::uint64_t messages);

/// Appends through a committer for so long, with at most 16 MiB in flight.
rate append_for(store::database& db, stream& to, const batch_of& b, std::chrono::nanoseconds time);

/// LMDB alone: so many bytes a commit, in values of 4,080, full sync. Bytes a second.
double lmdb_bytes_per_s(const std::filesystem::path& directory, std::size_t bytes_per_commit,
                        std::chrono::nanoseconds time);
/// LMDB alone, one value of so many bytes a commit: the time of each, in us.
std::vector<double> lmdb_commit_us(const std::filesystem::path& directory, std::size_t bytes,
                                   std::chrono::nanoseconds time);
/// The disk alone: so many bytes written one after another, then fdatasync. Bytes a second.
double disk_bytes_per_s(const std::filesystem::path& file, std::size_t bytes_per_sync,
                        std::chrono::nanoseconds time);

/// A part of the time that the whole scenario may take.
std::chrono::nanoseconds share_of(const options& wanted, double share);
std::size_t rounds_of(const options& wanted, std::size_t usual);
void set_rate(row& line, double messages_per_s);
/// The median of the rounds' ratios, the smallest and the largest.
void set_ratio(row& line, std::vector<double> ratios);
/// `share`: 0 to 1.
double percentile(std::vector<double> values, double share);

}  // namespace cairn::bench
