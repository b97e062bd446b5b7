#include "ports_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string_view>
#include <system_error>

namespace cairn::daemon {

namespace fs = std::filesystem;

namespace {

fs::path aside_of(fs::path file) { return file += ".new"; }

/// The directory of the data is made when the data is, and so are those above it.
bool is_made_with_the_data(const settings& chosen) {
    std::error_code unknown;
    const auto whole = [&](const fs::path& of) {
        return fs::weakly_canonical(fs::absolute(of, unknown), unknown);
    };
    const fs::path in = whole(chosen.ports_file).parent_path();
    const fs::path data = whole(chosen.store.path);
    return !in.empty() && !fs::exists(in, unknown) &&
           std::mismatch(in.begin(), in.end(), data.begin(), data.end()).first == in.end();
}

/// Why it must not be replaced by a file; empty: it is one, or nothing is there.
std::string_view what_is_in_the_way(const fs::path& file) {
    std::error_code unknown;
    const fs::file_status there = fs::symlink_status(file, unknown);
    if (!fs::exists(there) || fs::is_regular_file(there)) return {};
    return fs::is_symlink(there)     ? "it is a symbolic link; name the file that it leads to"
           : fs::is_directory(there) ? "Is a directory"
                                     : "it is a pipe, a socket or a device; name a file";
}

std::string not_written(const fs::path& file, std::string_view why) {
    return "ports_file: " + file.string() + " cannot be written: " + std::string(why);
}

std::string not_written(const fs::path& file, int number) {
    return not_written(file, std::generic_category().message(number));
}

void refuse_what_is_in_the_way(const fs::path& file) {
    for (const fs::path& one : {file, aside_of(file)})
        if (const std::string_view why = what_is_in_the_way(one); !why.empty())
            throw settings_error(not_written(one, why));
}

}  // namespace

void check_ports_file(const settings& chosen, const std::vector<const given_values*>& sources) {
    const fs::path& file = chosen.ports_file;
    if (file.empty() || is_made_with_the_data(chosen)) return;
    try {
        refuse_what_is_in_the_way(file);
        // What is aside may be another's, who is writing it.
        const fs::path attempt = file.string() + "." + std::to_string(::getpid());
        const int made = ::open(attempt.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (made < 0) throw settings_error(not_written(file, errno));
        ::close(made);
        ::unlink(attempt.c_str());
    } catch (const settings_error& e) {
        throw settings_error(origin_of("ports_file", sources) + ": " + e.what());
    }
}

void write_ports_file(const fs::path& file, const std::vector<std::string>& endpoints) {
    std::string text;
    for (const std::string& e : endpoints) text += e + '\n';
    refuse_what_is_in_the_way(file);
    const fs::path aside = aside_of(file);
    ::unlink(aside.c_str());  // of one that was killed
    // Whatever somebody puts there meanwhile is neither followed nor written to.
    const int to =
        ::open(aside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (to < 0) throw settings_error(not_written(aside, errno));
    errno = ENOSPC;  // for a write that is cut short
    const bool whole = ::write(to, text.data(), text.size()) == static_cast<ssize_t>(text.size());
    const int problem = errno;
    ::close(to);
    if (!whole) throw settings_error(not_written(aside, problem));
    fs::rename(aside, file);
}

}  // namespace cairn::daemon
