#pragma once

#include "directory.hpp"

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <mutex>
#include <thread>

namespace cairn::store {

/// While a large transaction hands its pages to the kernel, lets the disk begin with those that are
/// there, which otherwise waits for the sync. It says nothing of what is durable: the sync after it
/// waits for the same pages, and hears of those that failed, since LMDB has a descriptor of its own
/// (errors of writing back are told once for each open file, fsync(2)).
///
/// Owns:    a descriptor of the file, and a thread from the first large transaction on; until
///          close().
/// Threads: one at a time.
/// Fails:   never: without descriptor or thread the sync does all, as it would without this.
class early_writeback {
public:
    /// Bytes of commands from which a transaction is large: below, the sync is soon there.
    static constexpr std::size_t least_bytes = std::size_t{1} << 20;

    explicit early_writeback(const std::filesystem::path& file) noexcept;
    /// Closes.
    ~early_writeback();
    early_writeback(const early_writeback&) = delete;
    early_writeback& operator=(const early_writeback&) = delete;

    /// A transaction of so many bytes is about to be committed.
    void begin(std::size_t bytes) noexcept;
    /// It is over.
    void end() noexcept;
    /// Waits for the thread, and gives the file back. Nothing may begin from now on.
    void close() noexcept;

private:
    void run() noexcept;

    unique_fd file_;
    std::thread thread_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::uint64_t begun_ = 0;  // guarded by mutex_, as is the rest
    bool under_way_ = false;
    bool closing_ = false;
};

}  // namespace cairn::store
