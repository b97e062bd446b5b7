#include <cairn/error.hpp>
#include <cairn/runtime/saved_epochs.hpp>
#include <cairn/runtime/zmq_calls.hpp>

#include "file_calls.hpp"
#include "unique_fd.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

namespace cairn::runtime {

namespace {

constexpr std::string_view epochs_first_line = "cairn epochs 1\n";
constexpr std::size_t file_bytes_max = 128;

// FNV-1a, 64 bits (draft-eastlake-fnv): a damaged file must not pass for a lower number.
std::uint64_t fnv1a(std::string_view text) {
    std::uint64_t hash = 0xcbf29ce484222325;
    for (unsigned char c : text) hash = (hash ^ c) * 0x100000001b3;
    return hash;
}

std::uint64_t milliseconds_of(wall_time now) {
    const auto count =
        std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch()).count();
    return static_cast<std::uint64_t>(std::max<std::int64_t>(count, 1));
}

std::string encode(std::uint64_t number) {
    std::string text{epochs_first_line};
    text += "all below " + std::to_string(number) + " are used\n";
    return text + "check " + std::to_string(fnv1a(text)) + "\n";
}

std::optional<std::uint64_t> decode(std::string_view text) {
    const std::string_view before = "all below ";
    if (!text.starts_with(epochs_first_line)) return std::nullopt;
    const std::string_view line = text.substr(epochs_first_line.size());
    if (!line.starts_with(before)) return std::nullopt;
    std::uint64_t number = 0;
    std::from_chars(line.data() + before.size(), line.data() + line.size(), number);
    // Compared as a whole: there is one way to write a number.
    return encode(number) == text ? std::optional(number) : std::nullopt;
}

std::filesystem::path ensured(std::filesystem::path directory) {
    make_directory("make the state directory", directory);
    if (!std::filesystem::is_directory(directory))
        throw_file_error("open the state directory", directory, ENOTDIR);
    return directory;
}

std::filesystem::path file_in(const std::filesystem::path& directory) {
    return directory / "epochs";
}

std::uint64_t load(const std::filesystem::path& file) {
    const unique_fd from(::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!from) {
        if (errno == ENOENT) return 0;
        throw_file_error("read", file, errno);
    }
    char text[file_bytes_max + 1];
    const ssize_t size = ::read(from.get(), text, sizeof text);
    if (size < 0) throw_file_error("read", file, errno);
    const std::optional<std::uint64_t> number = decode({text, static_cast<std::size_t>(size)});
    if (!number)
        throw error(errc::malformed,
                    "read " + file.string() +
                        ": the file is damaged, so that the last epoch is unknown. If this "
                        "machine's clock is right and never ran ahead, delete the file: epochs "
                        "then come from the clock. Otherwise restore it from a backup");
    return *number;
}

// After a crash at any point the file has the old or the new number, and the new one when this
// returned.
void save(const std::filesystem::path& directory, std::uint64_t number) {
    const std::filesystem::path file = file_in(directory);
    const std::filesystem::path aside = directory / "epochs.new";
    const std::string text = encode(number);
    {
        const unique_fd to(
            ::open(aside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
        if (!to) throw_file_error("write", aside, errno);
        const ssize_t written = ::write(to.get(), text.data(), text.size());
        if (written != static_cast<ssize_t>(text.size()))
            throw_file_error("write", aside, written < 0 ? errno : ENOSPC);
        if (fsync(to.get()) != 0) throw_file_error("sync", aside, errno);
    }
    if (::rename(aside.c_str(), file.c_str()) != 0) throw_file_error("replace", file, errno);
    if (!sync_directory(directory)) throw_file_error("sync", directory, errno);
}

}  // namespace

epoch epoch_of(wall_time now) noexcept {
    // Two runs of one source may begin in one millisecond.
    static std::atomic<std::uint64_t> last{0};
    std::uint64_t before = last.load(std::memory_order_relaxed);
    std::uint64_t next;
    do {
        next = std::max(before + 1, milliseconds_of(now));
    } while (!last.compare_exchange_weak(before, next, std::memory_order_relaxed));
    return {next};
}

saved_epochs::saved_epochs(std::filesystem::path directory)
    : directory_(ensured(std::move(directory))),
      lock_(directory_ / "epochs", "open the state directory " + directory_.string()),
      last_(load(file_in(directory_))),
      saved_(last_) {}

epoch saved_epochs::take(wall_time now) {
    const std::lock_guard lock(mutex_);
    const std::uint64_t next = std::max(last_ + 1, milliseconds_of(now));
    if (next > saved_) {
        save(directory_, next + epochs_ahead);
        saved_ = next + epochs_ahead;
    }
    last_ = next;
    return {next};
}

}  // namespace cairn::runtime
