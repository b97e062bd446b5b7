// cairnd: a store as a program.
#include "program/ports_file.hpp"
#include "program/settings.hpp"
#include "program/supervisor.hpp"
#include "program/upkeep.hpp"

#include "programs/suggestion.hpp"

#include <cairn/error.hpp>
#include <cairn/security.hpp>
#include <cairn/store_server.hpp>

#include <pthread.h>
#include <signal.h>
#include <spdlog/sinks/stdout_color_sinks.h>
#include <spdlog/spdlog.h>
#include <sys/resource.h>
#include <CLI/CLI.hpp>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

using namespace cairn;
using namespace cairn::daemon;

constexpr int exit_failed = 1;
constexpr int exit_usage = 2;
constexpr int exit_unconfirmed = 3;
constexpr int exit_store_failed = 4;
constexpr int exit_damaged = 5;

// How often the disk is asked after.
constexpr std::chrono::microseconds look_interval = std::chrono::seconds(1);

// --- What was asked for -------------------------------------------------------------------------

struct command_line {
    std::string config;
    std::string make_keys;
    std::string backup;
    bool verify = false;
    bool compact = false;
    bool check = false;
    bool print = false;
    given_values given;

    /// It does something else than serving.
    bool leaves() const { return print || check || verify || compact || !backup.empty(); }
};

/// The sources of settings, as they are now: a second reading may find another file.
struct sources {
    const command_line* line = nullptr;
    given_values environment;
    given_values file;

    explicit sources(const command_line& from) : line(&from), environment(read_environment()) {
        if (!from.config.empty()) file = read_file(from.config);
    }
    std::vector<const given_values*> all() const { return {&line->given, &environment, &file}; }
};

void add_options(CLI::App& app, command_line& to,
                 std::vector<std::pair<const setting*, CLI::Option*>>& flags) {
    const auto not_empty = [](const std::string& value) {
        return value.empty() ? std::string("it names nothing") : std::string();
    };
    app.add_option("-c,--config", to.config, "file of settings (TOML)")
        ->envname("CAIRND_CONFIG")
        ->type_name("FILE");
    app.add_flag("--check-config", to.check, "check the settings and leave");
    app.add_flag("--print-config", to.print, "print the settings, as a file, and leave");
    app.add_option("--make-keys", to.make_keys,
                   "make FILE and FILE_secret, the certificates of a store or client, and leave")
        ->type_name("FILE")
        ->check(not_empty);
    CLI::Option* const verify =
        app.add_flag("--verify", to.verify, "check all that is stored, and leave: 5 for damage");
    CLI::Option* const compact = app.add_flag("--compact", to.compact,
                                              "give free room in the data's file back to the disk, "
                                              "make damaged counters anew, and leave");
    app.add_option("--backup", to.backup,
                   "copy the data to DIRECTORY, while another cairnd serves it or none, and leave")
        ->type_name("DIRECTORY")
        ->check(not_empty)
        ->excludes(verify)
        ->excludes(compact);
    verify->excludes(compact);
    for (const setting& s : all_settings()) {
        CLI::Option* const flag =
            app.add_option(
                   flag_of(s), [](const CLI::results_t&) { return true; },
                   std::string(s.meaning) + " [" + variable_of(s) + "]")
                ->type_name(std::string(s.value))
                ->group("Settings (also in the environment, and in the file)");
        flag->expected(1);
        if (s.list) flag->take_all()->expected(1, -1)->allow_extra_args(false);
        flags.emplace_back(&s, flag);
    }
}

/// "--name=": CLI11 would take the next argument for its value. Empty when there is none.
std::string_view without_value(int argc, char** argv) {
    for (int i = 1; i < argc; ++i) {
        const std::string_view argument(argv[i]);
        if (argument == "--") break;  // what follows are no options
        if (argument.starts_with("--") && argument.find('=') == argument.size() - 1)
            return argument;
    }
    return {};
}

/// What the command line says; a number to leave with instead.
std::pair<command_line, std::optional<int>> parse(int argc, char** argv) {
    command_line line;
    CLI::App app{"cairnd keeps what publishers append, and brings it to readers that come later."};
    app.footer(
        "In the file --store-quota is quota of the table [store], and so on; rights are "
        "[[access]], "
        "in the file alone. --print-config shows such a file, with what holds when nothing is "
        "said. HUP has the file read again. More in daemon/README.md.");
    app.set_version_flag("--version", CAIRND_VERSION);
    std::vector<std::pair<const setting*, CLI::Option*>> flags;
    add_options(app, line, flags);
    app.allow_extras();
    std::vector<std::string> known{"--config",    "--check-config", "--print-config",
                                   "--make-keys", "--verify",       "--compact",
                                   "--backup",    "--version",      "--help"};
    for (const auto& [s, flag] : flags) known.push_back(flag_of(*s));
    if (const std::string_view open = without_value(argc, argv); !open.empty()) {
        const std::string flag(open.substr(0, open.size() - 1));
        std::fprintf(stderr, "cairnd: nothing stands behind %s=; write %s '' for an empty value\n",
                     flag.c_str(), flag.c_str());
        return {std::move(line), exit_usage};
    }
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& e) {
        return {std::move(line), app.exit(e) == 0 ? 0 : exit_usage};
    }
    if (const std::vector<std::string> unknown = app.remaining(); !unknown.empty()) {
        const std::vector<std::string>::const_iterator flag = std::find_if(
            unknown.begin(), unknown.end(), [](const auto& u) { return u.starts_with("-"); });
        const std::string& what = flag == unknown.end() ? unknown.front() : *flag;
        std::fprintf(stderr, "cairnd: unknown argument %s%s\n", what.c_str(),
                     programs::suggestion(what, known).c_str());
        return {std::move(line), exit_usage};
    }
    for (const auto& [s, flag] : flags)
        if (flag->count() != 0)
            line.given.by_name[std::string(s->name)] = {flag->results(), flag_of(*s), {}};
    return {std::move(line), std::nullopt};
}

// --- Words --------------------------------------------------------------------------------------

std::string in_words(const store::opening& found) {
    if (found.created) return "made";
    return found.clean ? "closed in good order before" : "recovered: it was not closed before";
}

std::string hex(const store::generation& generation) {
    std::string text;
    for (const std::byte b : generation.bytes) {
        char digits[3];
        std::snprintf(digits, sizeof digits, "%02x", static_cast<unsigned>(b));
        text += digits;
    }
    return text;
}

std::string who_may(const settings& chosen) {
    const security_options& security = chosen.store.network.security;
    if (security.keys.public_key.empty()) return "no keys: whoever reaches it may connect";
    if (security.allow_any_key) return "encrypted; every key may connect";
    const std::size_t keys = security.allowed_keys.size();
    return "encrypted; " + std::to_string(keys) + (keys == 1 ? " key" : " keys") + " may connect";
}

void introduce(const settings& chosen, const store_server& store) {
    const store::database_stats data = store.stats().storage;
    const double ms = std::chrono::duration<double, std::milli>(store.opening_time()).count();
    std::printf(
        "cairnd %s keeps what publishers append, and brings it to readers that come later\n",
        CAIRND_VERSION);
    std::printf("data     %s\n", chosen.store.path.c_str());
    std::printf("         %s; %llu messages, %llu bytes, generation %s; opened in %.1f ms\n",
                in_words(store.opened()).c_str(),
                static_cast<unsigned long long>(data.stored_messages),
                static_cast<unsigned long long>(data.stored_bytes),
                hex(store.opened().generation).c_str(), ms);
    const bool flushed = chosen.store.topic_defaults.confirm == store::durability::flushed;
    for (const std::string& endpoint : store.endpoints())
        std::printf("listens  %s (%s; confirms what is %s)\n", endpoint.c_str(),
                    who_may(chosen).c_str(),
                    flushed ? "flushed to the disk" : "written, before it is flushed");
    if (!flushed)
        std::printf(
            "         a crash of the machine may take what was confirmed last: "
            "topics.confirm = \"written\"\n");
    std::printf("ready\n");
    std::fflush(stdout);
}

std::string mended(const error& e, const settings& chosen, const sources& from) {
    if (e.code() == errc::invalid_argument)
        return e.what() + settings_named_in(e.what(), from.all());
    if (e.code() == errc::address_invalid || e.code() == errc::host_unknown ||
        e.code() == errc::address_in_use)
        return e.what() + ("; listen: " + origin_of("listen", from.all()));
    if (e.code() != errc::insecure_refused) return e.what();
    std::string open;
    for (const std::string& endpoint : chosen.store.network.bind)
        if (!endpoint.starts_with("ipc:") && endpoint.find("//127.") == std::string::npos)
            open = endpoint;
    return "listen " + open +
           ": other machines can reach it, and the store has no keys: strangers could read this "
           "process's memory and send anything. Do one of\n"
           "  cairnd --make-keys store.cert       and start it with\n"
           "  --security-key-file store.cert_secret --security-allowed-keys "
           "PUBLIC_KEY_OF_A_CLIENT\n"
           "  --listen " +
           std::string(default_tcp) +
           "       to be reached from this machine alone\n"
           "  --security-insecure true            in a network without strangers";
}

// --- Running ------------------------------------------------------------------------------------

spdlog::level::level_enum level_of(const std::string& name) {
    return name == "debug"     ? spdlog::level::debug
           : name == "warning" ? spdlog::level::warn
           : name == "error"   ? spdlog::level::err
                               : spdlog::level::info;
}

log_sink sink_of(const std::shared_ptr<spdlog::logger>& logger) {
    return [logger](log_level level, std::string_view line) {
        constexpr std::array levels{spdlog::level::debug, spdlog::level::info, spdlog::level::warn,
                                    spdlog::level::err};
        logger->log(levels[static_cast<std::size_t>(level)], "{}", line);
    };
}

/// Says to the supervisor that the store lives, as long as what is submitted is committed.
class pulse {
public:
    bool beats(const store_server_stats& now) {
        const bool idle = now.waiting_bytes == 0;
        return std::exchange(transactions_, now.transactions) != now.transactions || idle;
    }

private:
    std::uint64_t transactions_ = 0;
};

void reload(const command_line& line, settings& running, store_server& store, spdlog::logger& log) {
    std::optional<sources> from;
    settings fresh;
    try {
        from.emplace(line);
        fresh = settle(from->all());
        store_server::check(fresh.store);
        settings next = running;
        next.store.network.security.allowed_keys = fresh.store.network.security.allowed_keys;
        next.store.access = fresh.store.access;
        next.log_level = fresh.log_level;
        next.close_deadline = fresh.close_deadline;
        // With the keys that it runs with, too: nothing below may fail when a part is done.
        store_server::check(next.store);
        for (const setting& s : all_settings())
            if (!s.reloaded && s.show(fresh) != s.show(running))
                log.warn("reload: {} counts after a restart", s.name);
        if (fresh.store.network.security.keys.public_key !=
            running.store.network.security.keys.public_key)
            log.warn("reload: the keys in security.key_file count after a restart");
        if (!next.store.network.security.keys.public_key.empty())
            store.allow_keys(next.store.network.security.allowed_keys);
        store.allow(next.store.access);
        log.set_level(level_of(next.log_level));
        running = std::move(next);
        for (const std::string& slip : warnings(running, from->all())) log.warn("{}", slip);
        log.info("reloaded: allowed keys, access, log level, close deadline");
    } catch (const error& e) {
        log.error("reload: everything stays as it was: {}",
                  from ? mended(e, fresh, *from) : e.what());
    } catch (const std::exception& e) {
        log.error("reload: everything stays as it was: {}", e.what());
    }
}

// Each connection takes a descriptor; the usual soft limit of 1,024 is for select(2).
void allow_descriptors() {
    rlimit limit{};
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    static_cast<void>(setrlimit(RLIMIT_NOFILE, &limit));
}

void tell_failure(const store_server_stats& stats, const settings& chosen,
                  const supervisor& systemd, spdlog::logger& log) {
    const std::string path = chosen.store.path.string();
    if (stats.storage.file_removed) {
        systemd.tell("STATUS=the data file was removed or replaced");
        log.error(
            "the data file in {} was removed, or another was put in its place, while it was open: "
            "leaving. What was not confirmed its senders still hold; what was confirmed went with "
            "the file. Put the data or a backup there before it is started again: it serves what "
            "it finds, or begins with nothing",
            path);
        return;
    }
    // Only a new opening finds out what the disk has, and confirms again.
    systemd.tell("STATUS=a write or sync failed: the store has to be opened again");
    log.error(
        "a write or a sync of {} failed: leaving, to be started again. What was not confirmed its "
        "senders still hold; what was confirmed is looked at when the store is opened",
        path);
}

int run(const command_line& line, settings chosen, const std::vector<std::string>& slips) {
    allow_descriptors();
    // The threads that are made below inherit the mask: signals come to sigtimedwait alone.
    sigset_t awaited;
    sigemptyset(&awaited);
    for (const int number : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&awaited, number);
    pthread_sigmask(SIG_BLOCK, &awaited, nullptr);

    const auto log = spdlog::stderr_color_mt("cairnd");
    log->set_level(level_of(chosen.log_level));
    chosen.store.network.log = sink_of(log);
    // The last of them the store makes, for its user alone.
    if (const auto above = std::filesystem::absolute(chosen.store.path).parent_path();
        !above.empty())
        std::filesystem::create_directories(above);
    const supervisor systemd;
    store_server store(chosen.store);
    if (!chosen.ports_file.empty()) write_ports_file(chosen.ports_file, store.endpoints());
    introduce(chosen, store);
    for (const std::string& slip : slips) log->warn("{}", slip);
    systemd.tell("READY=1");

    pulse committing;
    const auto period = std::min(systemd.watchdog().value_or(look_interval), look_interval);
    bool full = false;
    bool failed = false;
    while (!failed) {
        const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(period);
        const timespec wait{seconds.count(), std::chrono::nanoseconds(period - seconds).count()};
        const int number = sigtimedwait(&awaited, nullptr, &wait);
        if (number == SIGHUP) {
            const auto now = std::chrono::duration_cast<std::chrono::microseconds>(
                std::chrono::steady_clock::now().time_since_epoch());
            systemd.tell("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(now.count()));
            reload(line, chosen, store, *log);
            systemd.tell("READY=1");
        } else if (number == SIGTERM || number == SIGINT) {
            break;
        }
        const store_server_stats now = store.stats();
        failed = now.storage.failed;
        if (std::exchange(full, now.storage.disk_full) != full)
            systemd.tell(full ? "STATUS=the disk is full: appends are refused" : "STATUS=");
        if (systemd.watchdog() && committing.beats(now)) systemd.tell("WATCHDOG=1");
    }
    systemd.tell("STOPPING=1");
    if (failed) {
        tell_failure(store.stats(), chosen, systemd, *log);
    } else {
        log->info("stopping: what was taken is committed and confirmed first");
    }
    if (chosen.close_deadline.count() == 0) {
        store.close();
    } else if (const store_closing left = store.close(chosen.close_deadline); !left.closed) {
        log->error(
            "the disk of {} has not answered for {} ms: leaving at once (close_deadline). {} "
            "appends, acks and changes that were taken are not flushed, and nobody was told that "
            "they are: their senders hold them, and send them again. What was confirmed is there",
            chosen.store.path.string(), chosen.close_deadline.count(), left.unconfirmed);
        log->flush();
        // The thread that waits for the disk cannot be ended.
        std::_Exit(failed ? exit_store_failed : exit_unconfirmed);
    }
    if (!failed && store.stats().storage.failed) {
        failed = true;
        tell_failure(store.stats(), chosen, systemd, *log);
    }
    if (failed) return exit_store_failed;
    log->info("stopped in good order");
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    const auto [line, leave] = parse(argc, argv);
    if (leave) return *leave;
    int code = exit_usage;
    settings chosen;
    std::optional<sources> from;
    try {
        if (!line.make_keys.empty()) {
            const key_pair keys = generate_keys();
            save_keys(keys, line.make_keys);
            std::printf("%s\n", keys.public_key.c_str());
            return 0;
        }
        from.emplace(line);
        chosen = settle(from->all());
        if (line.print) std::fputs(print(chosen, from->all()).c_str(), stdout);
        if (line.check || !line.leaves()) {
            store_server::check(chosen.store);
            check_ports_file(chosen, from->all());
        }
        const std::vector<std::string> slips = warnings(chosen, from->all());
        if (line.check)
            for (const std::string& slip : slips)
                std::fprintf(stderr, "cairnd: warning: %s\n", slip.c_str());
        code = exit_failed;
        if (line.verify) return verify_data(chosen.store.path) ? 0 : exit_damaged;
        if (line.compact) compact_data(chosen.store.path);
        if (!line.backup.empty()) back_up_data(chosen.store.path, line.backup);
        return line.leaves() ? 0 : run(line, chosen, slips);
    } catch (const error& e) {
        std::fprintf(stderr, "cairnd: %s\n", from ? mended(e, chosen, *from).c_str() : e.what());
    } catch (const std::exception& e) {
        std::fprintf(stderr, "cairnd: %s\n", e.what());
    }
    return code;
}
