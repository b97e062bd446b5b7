#include "ports_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
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

}  // namespace

void check_ports_file(const settings& chosen, const std::vector<const given_values*>& sources) {
    const fs::path& file = chosen.ports_file;
    if (file.empty() || is_made_with_the_data(chosen)) return;
    const auto refuse = [&](int number) {
        throw settings_error(origin_of("ports_file", sources) + ": ports_file: " + file.string() +
                             " cannot be written: " + std::generic_category().message(number));
    };
    std::error_code unknown;
    if (fs::is_directory(file, unknown)) refuse(EISDIR);
    // What is aside may be another's, who is writing it.
    const fs::path attempt = file.string() + "." + std::to_string(::getpid());
    const int made = ::open(attempt.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (made < 0) refuse(errno);
    ::close(made);
    fs::remove(attempt, unknown);
}

void write_ports_file(const fs::path& file, const std::vector<std::string>& endpoints) {
    const fs::path aside = aside_of(file);
    {
        std::ofstream to(aside);
        for (const std::string& e : endpoints) to << e << '\n';
        if (!to.flush())
            throw settings_error("ports_file: " + aside.string() + " cannot be written");
    }
    fs::rename(aside, file);
}

}  // namespace cairn::daemon
