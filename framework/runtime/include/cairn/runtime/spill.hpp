#pragma once

#include <cairn/ids.hpp>
#include <cairn/runtime/block.hpp>

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

namespace cairn::runtime {

/// What one source puts aside while its store is away: batches in files of a directory, in order,
/// each run of the source for itself.
///
/// A file is written beside its place, flushed, and renamed: what has its name is whole. It goes
/// when all that is in it was dropped. A thread of the spill's own writes, so that the loop does
/// not wait for the disk; reading is the loop's, batch by batch.
///
/// Owns:    the files of its topic and source, its thread while it writes.
/// Threads: loop.
/// Fails:   construction throws error (permission_denied, address_invalid; malformed when a file
///          is damaged or of another source: the text says which). Later failures are outcomes.
/// Limits:  bytes() is what the files take; their owner keeps it below its limit.
class spill {
public:
    struct part {
        cairn::epoch epoch;
        sequence_range range;
    };
    /// An encoded batch: its header and, if they are together, its body; else the body is in
    /// `block`.
    struct batch {
        sequence first;
        sequence last;
        wall_time time;
        std::size_t header_bytes = 0;
        std::vector<std::byte> head;
        block_ref block;
        std::size_t block_bytes = 0;

        std::size_t bytes() const noexcept { return head.size() + block_bytes; }
        std::span<const std::byte> body() const noexcept {
            if (block) return {block.data(), block_bytes};
            return std::span(head).subspan(header_bytes);
        }
    };
    struct outcome {
        sequence_range range;
        std::string failure;  ///< empty: it is on disk, flushed
    };

    /// Whether the source has ever put anything aside there.
    static bool exists(const std::filesystem::path& state_directory, std::string_view topic,
                       std::string_view source);

    /// `told` is called on the spill's thread when a write has an outcome.
    spill(const std::filesystem::path& state_directory, std::string_view topic,
          std::string_view source, std::function<void()> told);
    /// Waits for a write that is under way.
    ~spill();
    spill(const spill&) = delete;
    spill& operator=(const spill&) = delete;

    /// What is held, older runs first.
    std::vector<part> runs() const;
    std::size_t bytes() const noexcept { return bytes_; }

    /// Writes batches that follow one another. Requires: no write is under way, batches not empty.
    void write(cairn::epoch run, std::vector<batch> batches);
    bool writing() const noexcept { return writing_; }
    std::optional<outcome> take_outcome();

    /// The batch with that message, header first; its body is checked. Nothing: it is damaged or
    /// missing, and `resumes` says where the next one is that can be read, if any.
    std::optional<batch> read(cairn::epoch run, sequence wanted, sequence& resumes);
    /// Deletes files of which all is at or before `last`; max: all of the run.
    void drop(cairn::epoch run, sequence last);

private:
    struct entry {
        sequence_range range;
        std::uint64_t file;  // its first sequence
        std::uint64_t offset;
        std::uint32_t header_bytes;
        std::uint32_t body_bytes;
    };
    struct file {
        sequence last;
        std::size_t bytes;
    };
    struct held {
        std::deque<entry> entries;
        std::map<std::uint64_t, file> files;  // by first sequence
    };
    struct job {
        cairn::epoch run;
        std::vector<batch> batches;
    };

    std::filesystem::path path_of(cairn::epoch run, std::uint64_t first) const;
    void load(const std::filesystem::path& path, cairn::epoch run, std::uint64_t first);
    std::string store(const job& what, std::vector<entry>& entries, std::size_t& bytes) const;
    void work();

    const std::filesystem::path directory_;
    const std::string names_;  // topic and source, as they stand in each file
    const std::function<void()> told_;
    std::map<cairn::epoch, held> runs_;
    std::size_t bytes_ = 0;
    bool writing_ = false;

    std::mutex mutex_;
    std::condition_variable wake_;
    std::optional<job> job_;          // guarded by mutex_
    std::optional<outcome> outcome_;  // guarded by mutex_
    std::vector<entry> written_;      // with outcome_
    std::size_t written_bytes_ = 0;
    cairn::epoch written_run_;
    bool stopping_ = false;  // guarded by mutex_
    std::thread thread_;
};

}  // namespace cairn::runtime
