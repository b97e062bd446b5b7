// Another process that meddles with a database:
// store_visitor open DIRECTORY       opens it and says "ok" or the error's name and text
// store_visitor stranger DIRECTORY   the same as a user without rights
// store_visitor narrow DIRECTORY     the same with 640 MiB of address space, and says its quota
// store_visitor pin DIRECTORY        holds a read transaction of LMDB's own, past the store's lock
// store_visitor backup DIRECTORY     copies it to DIRECTORY.copy, past the store's lock
// store_visitor upgrade DIRECTORY    opens it from the synthetic format, and says what it does
// store_visitor drain                reads its input and says the bytes when it ends
#include "store/support/made.hpp"
#include "store/support/older_format.hpp"

#include <cairn/store/database.hpp>
#include <cairn/store/maintenance.hpp>

#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <filesystem>
#include <iostream>
#include <string>
#include <string_view>

namespace cairn::store {

// In the place of the library's own, for databases of the synthetic format.
std::span<const upgrade_step> known_steps() {
    static constexpr upgrade_step steps[] = {{test::older_format, test::run_older_step, "0.1.0"}};
    return steps;
}

}  // namespace cairn::store

namespace {

using namespace cairn;

int open(const char* directory) {
    try {
        const store::database db(directory, test::small_options());
        std::cout << "ok" << std::endl;
    } catch (const error& refused) {
        std::cout << name(refused.code()) << " " << refused.what() << std::endl;
    }
    return 0;
}

int narrow(const char* directory) {
    constexpr rlim_t bytes = rlim_t{640} << 20;
    const rlimit limit{bytes, bytes};
    if (::setrlimit(RLIMIT_AS, &limit) != 0) return 3;
    const store::database db(directory, {.ballast_bytes = 0});
    std::cout << "ok " << db.stats().quota_bytes << std::endl;
    return 0;
}

int pin(const char* directory) {
    store::lmdb::environment env(directory, {.map_bytes = std::size_t{1} << 30});
    const store::lmdb::transaction txn(env, store::lmdb::transaction::mode::read);
    std::cout << "pinned" << std::endl;
    for (;;) ::pause();
}

int backup(const std::string& directory) {
    store::backup(std::filesystem::path(directory), directory + ".copy");
    return 0;
}

int upgrade(const char* directory) {
    test::tell_of_upgrade = true;
    const store::database db(directory, test::small_options());
    (void)!::write(1, "d", 1);
    return 0;
}

int drain() {
    std::array<char, 4'096> buffer{};
    std::size_t sum = 0;
    for (ssize_t n = 0; (n = ::read(0, buffer.data(), buffer.size())) > 0;)
        sum += static_cast<std::size_t>(n);
    std::cout << sum << std::endl;
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    const std::string_view verb = argc > 1 ? argv[1] : "";
    if (verb == "drain") return drain();
    if (argc != 3) return 2;
    if (verb == "open") return open(argv[2]);
    if (verb == "narrow") return narrow(argv[2]);
    if (verb == "pin") return pin(argv[2]);
    if (verb == "backup") return backup(argv[2]);
    if (verb == "upgrade") return upgrade(argv[2]);
    constexpr uid_t nobody = 65'534;
    if (verb == "stranger") return ::geteuid() == 0 && ::setuid(nobody) != 0 ? 3 : open(argv[2]);
    return 2;
}
