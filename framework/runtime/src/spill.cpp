#include <cairn/error.hpp>
#include <cairn/runtime/spill.hpp>
#include <cairn/runtime/zmq_calls.hpp>
#include <cairn/wire/frames.hpp>

#include "file_calls.hpp"
#include "unique_fd.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <limits>

namespace cairn::runtime {

namespace {

namespace fs = std::filesystem;

// A file is: this line, topic, 0, source, 0, then records: two 32-bit little-endian numbers, the
// bytes of the header and of the body, two 64-bit ones, first and last sequence, header and body.
constexpr std::string_view spill_first_line = "cairn spill 1\n";
constexpr std::size_t record_head_bytes = 24;
constexpr std::string_view suffix = ".spill";

struct record_head {
    std::uint32_t header_bytes = 0;
    std::uint32_t body_bytes = 0;
    std::uint64_t first = 0;
    std::uint64_t last = 0;
};

template <typename Number>
void put(std::byte*& at, Number value) {
    for (std::size_t i = 0; i != sizeof value; ++i)
        *at++ = static_cast<std::byte>(value >> (8 * i));
}

template <typename Number>
Number get(const std::byte*& at) {
    Number value = 0;
    for (std::size_t i = 0; i != sizeof value; ++i)
        value |= static_cast<Number>(static_cast<Number>(*at++) << (8 * i));
    return value;
}

std::array<std::byte, record_head_bytes> encode(const record_head& head) {
    std::array<std::byte, record_head_bytes> out{};
    std::byte* at = out.data();
    put(at, head.header_bytes);
    put(at, head.body_bytes);
    put(at, head.first);
    put(at, head.last);
    return out;
}

record_head decode(std::span<const std::byte, record_head_bytes> bytes) {
    const std::byte* at = bytes.data();
    record_head head;
    head.header_bytes = get<std::uint32_t>(at);
    head.body_bytes = get<std::uint32_t>(at);
    head.first = get<std::uint64_t>(at);
    head.last = get<std::uint64_t>(at);
    return head;
}

std::string hexadecimal(std::uint64_t number) {
    char text[17];
    std::snprintf(text, sizeof text, "%016llx", static_cast<unsigned long long>(number));
    return text;
}

std::optional<std::uint64_t> number_in(std::string_view text) {
    std::uint64_t number = 0;
    if (text.size() != 16) return std::nullopt;
    for (const char c : text) {
        const char* digits = "0123456789abcdef";
        const char* found = std::strchr(digits, c);
        if (c == '\0' || !found) return std::nullopt;
        number = number << 4 | static_cast<std::uint64_t>(found - digits);
    }
    return number;
}

bool read_at(int from, std::uint64_t offset, std::span<std::byte> to) {
    while (!to.empty()) {
        const ssize_t got = ::pread(from, to.data(), to.size(), static_cast<off_t>(offset));
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return false;
        offset += static_cast<std::uint64_t>(got);
        to = to.subspan(static_cast<std::size_t>(got));
    }
    return true;
}

bool write_all(int to, std::span<const std::byte> bytes) {
    while (!bytes.empty()) {
        const ssize_t put = ::write(to, bytes.data(), bytes.size());
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) return false;
        bytes = bytes.subspan(static_cast<std::size_t>(put));
    }
    return true;
}

[[noreturn]] void damaged(const fs::path& path, std::string_view how) {
    throw error(errc::malformed, "read " + path.string() + ": " + std::string(how) +
                                     "; move it away, and what is in it is lost");
}

std::string names_of(std::string_view topic, std::string_view source) {
    return std::string(topic) + '\0' + std::string(source) + '\0';
}

// The names themselves stand in the files: they may be too long, or mean something, in a path.
fs::path directory_of(const fs::path& state_directory, const std::string& names) {
    const auto bytes = std::as_bytes(std::span(names));
    return state_directory / "spill" / hexadecimal(wire::checksum(bytes));
}

fs::path made(const fs::path& directory) {
    const fs::path all = directory.parent_path();
    make_directory("make the state directory", all.parent_path());
    make_directory("make", all);
    make_directory("make", directory);
    return directory;
}

}  // namespace

bool spill::exists(const fs::path& state_directory, std::string_view topic,
                   std::string_view source) {
    std::error_code fault;
    return !state_directory.empty() &&
           fs::exists(directory_of(state_directory, names_of(topic, source)), fault);
}

spill::spill(const fs::path& state_directory, std::string_view topic, std::string_view source,
             std::function<void()> told)
    : directory_(made(directory_of(state_directory, names_of(topic, source)))),
      names_(names_of(topic, source)),
      told_(std::move(told)) {
    std::error_code fault;
    for (const fs::directory_entry& found : fs::directory_iterator(directory_, fault)) {
        const std::string name = found.path().filename();
        const auto run = number_in(std::string_view(name).substr(0, 16));
        const bool whole = name.size() == 33 + suffix.size() && name.ends_with(suffix);
        const auto first = whole ? number_in(std::string_view(name).substr(17, 16)) : std::nullopt;
        if (run && first)
            load(found.path(), {*run}, *first);
        else
            ::unlink(found.path().c_str());  // what was not finished
    }
    if (fault) throw_file_error("list", directory_, fault.value());
    for (auto& [run, what] : runs_)
        std::sort(what.entries.begin(), what.entries.end(),
                  [](const entry& a, const entry& b) { return a.range < b.range; });
}

spill::~spill() {
    if (!thread_.joinable()) return;
    {
        const std::lock_guard lock(mutex_);
        stopping_ = true;
    }
    wake_.notify_one();
    thread_.join();
}

fs::path spill::path_of(cairn::epoch run, std::uint64_t first) const {
    return directory_ / (hexadecimal(run.value) + "-" + hexadecimal(first) + std::string(suffix));
}

void spill::load(const fs::path& path, cairn::epoch run, std::uint64_t first) {
    const unique_fd from(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    struct stat facts {};
    if (!from || ::fstat(from.get(), &facts) != 0) throw_file_error("read", path, errno);
    const auto size = static_cast<std::uint64_t>(facts.st_size);
    const std::string expected = std::string(spill_first_line) + names_;
    std::string beginning(expected.size(), '\0');
    if (!read_at(from.get(), 0, std::as_writable_bytes(std::span(beginning))) ||
        beginning != expected)
        damaged(path, "it is not what its name says");
    held& to = runs_[run];
    sequence last;
    for (std::uint64_t at = expected.size(); at != size;) {
        std::array<std::byte, record_head_bytes> bytes{};
        if (!read_at(from.get(), at, bytes)) damaged(path, "it ends within a record");
        const record_head head = decode(bytes);
        at += record_head_bytes;
        const std::uint64_t length = std::uint64_t{head.header_bytes} + head.body_bytes;
        if (length > size - at || head.last < head.first || head.first <= last.value)
            damaged(path, "its records do not add up");
        last = {head.last};
        to.entries.push_back(
            {{{head.first}, {head.last}}, first, at, head.header_bytes, head.body_bytes});
        at += length;
    }
    to.files[first] = {last, static_cast<std::size_t>(size)};
    bytes_ += static_cast<std::size_t>(size);
}

std::vector<spill::part> spill::runs() const {
    std::vector<part> all;
    for (const auto& [run, what] : runs_)
        if (!what.entries.empty())
            all.push_back(
                {run, {what.entries.front().range.first, what.entries.back().range.last}});
    return all;
}

// --- Writing ----------------------------------------------------------------------------------

void spill::write(cairn::epoch run, std::vector<batch> batches) {
    writing_ = true;
    {
        const std::lock_guard lock(mutex_);
        job_.emplace(job{run, std::move(batches)});
    }
    if (!thread_.joinable()) thread_ = std::thread([this] { work(); });
    wake_.notify_one();
}

void spill::work() {
    std::unique_lock lock(mutex_);
    for (;;) {
        wake_.wait(lock, [&] { return job_ || stopping_; });
        if (!job_) return;
        const job what = *std::exchange(job_, std::nullopt);
        lock.unlock();
        std::vector<entry> entries;
        std::size_t bytes = 0;
        std::string failure = store(what, entries, bytes);
        lock.lock();
        outcome_ = {{what.batches.front().first, what.batches.back().last}, std::move(failure)};
        written_ = std::move(entries);
        written_bytes_ = bytes;
        written_run_ = what.run;
        if (stopping_) return;
        lock.unlock();
        told_();
        lock.lock();
    }
}

std::string spill::store(const job& what, std::vector<entry>& entries, std::size_t& bytes) const {
    const std::uint64_t first = what.batches.front().first.value;
    const fs::path place = path_of(what.run, first);
    fs::path beside = place;
    beside.replace_extension(".new");
    const auto failed = [&](const char* operation) {
        const int fault = errno;
        ::unlink(beside.c_str());
        return std::string(operation) + " " + beside.string() + ": " + std::strerror(fault);
    };
    const unique_fd to(
        ::open(beside.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!to) return failed("make");
    const std::string beginning = std::string(spill_first_line) + names_;
    if (!write_all(to.get(), std::as_bytes(std::span(beginning)))) return failed("write");
    bytes = beginning.size();
    for (const batch& b : what.batches) {
        const record_head head{static_cast<std::uint32_t>(b.header_bytes),
                               static_cast<std::uint32_t>(b.bytes() - b.header_bytes),
                               b.first.value, b.last.value};
        const auto encoded = encode(head);
        if (!write_all(to.get(), encoded) || !write_all(to.get(), b.head)) return failed("write");
        if (b.block && !write_all(to.get(), {b.block.data(), b.block_bytes}))
            return failed("write");
        entries.push_back({{b.first, b.last},
                           first,
                           bytes + record_head_bytes,
                           head.header_bytes,
                           head.body_bytes});
        bytes += record_head_bytes + b.bytes();
    }
    if (::fdatasync(to.get()) != 0) return failed("flush");
    if (::rename(beside.c_str(), place.c_str()) != 0) return failed("rename");
    if (!sync_directory(directory_)) return failed("flush the directory of");
    return {};
}

std::optional<spill::outcome> spill::take_outcome() {
    const std::lock_guard lock(mutex_);
    if (!outcome_) return std::nullopt;
    outcome told = *std::exchange(outcome_, std::nullopt);
    writing_ = false;
    if (told.failure.empty()) {
        held& to = runs_[written_run_];
        to.entries.insert(to.entries.end(), written_.begin(), written_.end());
        to.files[told.range.first.value] = {told.range.last, written_bytes_};
        bytes_ += written_bytes_;
    }
    return told;
}

// --- Reading ----------------------------------------------------------------------------------

std::optional<spill::batch> spill::read(cairn::epoch run, sequence wanted, sequence& resumes) {
    resumes = {std::numeric_limits<std::uint64_t>::max()};
    const auto found = runs_.find(run);
    if (found == runs_.end()) return std::nullopt;
    const auto& entries = found->second.entries;
    auto at = std::lower_bound(entries.begin(), entries.end(), wanted,
                               [](const entry& e, sequence s) { return e.range.last < s; });
    if (at == entries.end()) return std::nullopt;
    resumes = at->range.first;
    if (at->range.first > wanted) return std::nullopt;
    resumes = at->range.last + 1;
    const unique_fd from(::open(path_of(run, at->file).c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
    if (!from) return std::nullopt;
    batch out;
    out.first = at->range.first;
    out.last = at->range.last;
    out.header_bytes = at->header_bytes;
    out.head.resize(at->header_bytes);
    out.block = block_ref::make(std::max<std::size_t>(1, at->body_bytes));
    out.block_bytes = at->body_bytes;
    if (!read_at(from.get(), at->offset, out.head) ||
        !read_at(from.get(), at->offset + at->header_bytes, {out.block.data(), out.block_bytes}))
        return std::nullopt;
    const auto header = wire::decode_batch(out.head);
    if (!header || header->header.first != out.first || header->header.last() != out.last ||
        header->header.checksum != wire::checksum(out.body()))
        return std::nullopt;
    out.time = header->header.time;
    return out;
}

void spill::drop(cairn::epoch run, sequence last) {
    const auto found = runs_.find(run);
    if (found == runs_.end()) return;
    held& from = found->second;
    while (!from.files.empty() && from.files.begin()->second.last <= last) {
        const auto gone = from.files.begin();
        ::unlink(path_of(run, gone->first).c_str());
        bytes_ -= gone->second.bytes;
        while (!from.entries.empty() && from.entries.front().file == gone->first)
            from.entries.pop_front();
        from.files.erase(gone);
    }
    if (from.files.empty()) runs_.erase(found);
}

}  // namespace cairn::runtime
