#include "session.hpp"

#include "values.hpp"

#include <cairn/security.hpp>

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <mutex>
#include <utility>

namespace cairn::tools {

namespace {

constexpr std::string_view default_tcp = "tcp://127.0.0.1:7700";

std::string variable(const char* name) {
    const char* const text = std::getenv(name);  // NOLINT(concurrency-mt-unsafe)
    return text ? text : "";
}

bool is_socket(const std::string& path) {
    struct stat found {};
    return ::stat(path.c_str(), &found) == 0 && S_ISSOCK(found.st_mode);
}

/// Where cairnd puts its socket when it is told nothing: started by this user, or as a service.
std::vector<std::string> usual_sockets() {
    std::vector<std::string> all;
    if (const std::string run = variable("XDG_RUNTIME_DIR"); !run.empty())
        all.push_back(run + "/cairnd.ipc");
    if (::geteuid() == 0) {
        all.emplace_back("/var/lib/cairnd/cairnd.ipc");
    } else if (const std::string state = variable("XDG_STATE_HOME"); !state.empty()) {
        all.push_back(state + "/cairnd/cairnd.ipc");
    } else if (const std::string home = variable("HOME"); !home.empty()) {
        all.push_back(home + "/.local/state/cairnd/cairnd.ipc");
    }
    all.emplace_back("/run/cairnd/cairnd.ipc");
    return all;
}

/// What nodes say of what goes wrong.
class problem_log {
public:
    void take(std::string_view line) {
        const std::lock_guard holding(lock_);
        last_ = escaped(line);
        if (shown_) std::fprintf(stderr, "cairn: %s\n", last_.c_str());
    }
    std::string last() {
        const std::lock_guard holding(lock_);
        return last_;
    }
    void show() noexcept {
        const std::lock_guard holding(lock_);
        shown_ = true;
    }

private:
    std::mutex lock_;
    std::string last_;
    bool shown_ = false;
};

problem_log& problems() {
    static problem_log all;
    return all;
}

std::string server_key_of(const std::string& text) {
    constexpr std::size_t key_characters = 40;
    if (text.empty() || (text.size() == key_characters && !std::filesystem::exists(text)))
        return text;
    return load_keys(text).public_key;
}

std::string remedy(errc code) {
    switch (code) {
        case errc::timed_out:
        case errc::peer_unreachable:
            return "--store or CAIRN_STORE names another store, --patience gives it more time";
        case errc::topic_unknown:
            return "cairn topic ls shows the topics that there are, cairn topic create makes one";
        case errc::group_unknown:
            return "cairn group ls TOPIC shows the groups that there are, cairn group create makes "
                   "one";
        case errc::topic_exists:
            return "cairn topic alter changes the settings of a topic";
        case errc::not_authorised:
            return "use the --key-file of a client that may, or give this one the right in the "
                   "store's [[access]]";
        case errc::not_supported:
            return "is a store what listens there? name it with --store or CAIRN_STORE";
        case errc::key_invalid:
            return "cairn keygen FILE makes keys: --key-file takes FILE_secret, --server-key the "
                   "other side's public key or the file with it";
        case errc::permission_denied:
            return "check who owns the file and who may read it";
        case errc::mechanism_mismatch:
        case errc::server_key_mismatch:
        case errc::not_cairn:
            return "--store names the store, --key-file our keys, --server-key its public key";
        case errc::insecure_refused:
            return "use --key-file, an endpoint on 127.0.0.1 or ipc, or --insecure in a network "
                   "without strangers";
        case errc::address_in_use:
            return "use another one, or end what uses it";
        case errc::fenced:
            return "another publisher took this source; give each its own with --source";
        case errc::store_full:
        case errc::disk_full:
            return "make room with cairn topic trim or cairn topic rm, or give the store more";
        case errc::store_failed:
        case errc::store_damaged:
            return "the store's own log says what happened to its disk";
        case errc::invalid_argument:
        case errc::topic_invalid:
        case errc::address_invalid:
            return "--help of the verb shows what it takes";
        default:
            return std::string(describe(code));
    }
}

/// Who listens at the store's endpoint, and turns us away again and again: no patience mends that.
/// Once may be a store that is just stopping.
void check_not_refused(const node& at, const std::string& endpoint) {
    constexpr std::uint64_t tries_enough = 3;
    for (const endpoint_stats& e : at.stats().endpoints) {
        const bool may_come =
            e.last_error == errc::peer_unreachable || e.last_error == errc::host_unknown;
        if (e.endpoint == endpoint && e.state == endpoint_state::failing && !may_come &&
            e.failures >= tries_enough) {
            const std::string what = "connect " + e.endpoint + ": " + e.last_error_text;
            // Without any key, or with one that is not allowed: no rule mends that.
            if (e.last_error == errc::not_authorised) throw failure(e.last_error, escaped(what));
            throw error(e.last_error, what);
        }
    }
}

std::atomic<bool> told_to_stop = false;
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler sets it");

}  // namespace

std::string store_endpoint(const common_options& options) {
    if (!options.store.empty()) return options.store;
    if (const std::string said = variable("CAIRN_STORE"); !said.empty()) return said;
    for (const std::string& path : usual_sockets())
        if (is_socket(path)) return "ipc://" + path;
    return std::string(default_tcp);
}

node_options options_of(const common_options& common, const peer_options& peers) {
    node_options made;
    made.name = "cairn-" + std::to_string(::getpid());
    made.log = [](log_level level, std::string_view line) {
        if (level >= log_level::warning) problems().take(line);
    };
    security_options& security = made.security;
    if (!common.key_file.empty()) {
        security.keys = load_keys(common.key_file);
        if (security.keys.secret_key.empty())
            throw error(errc::key_invalid, "read " + common.key_file + ": it has no secret key");
    }
    security.server_key = server_key_of(common.server_key);
    if (!security.server_key.empty() && common.key_file.empty())
        throw usage_error("--server-key needs --key-file as well");
    security.allowed_keys = peers.allowed_keys;
    security.insecure = peers.insecure;
    return made;
}

void meet(node& at, const peer_options& peers) {
    for (const std::string& endpoint : peers.bind)
        std::fprintf(stderr, "cairn: listens on %s\n", escaped(at.bind(endpoint)).c_str());
    for (const std::string& endpoint : peers.connect) at.connect(endpoint);
}

bool wait_for_store(node& at, const common_options& options) {
    const std::string endpoint = store_endpoint(options);
    const auto end = std::chrono::steady_clock::now() + options.patience;
    while (!stopped()) {
        const auto left =
            std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
        if (at.wait_for_peers(1, std::clamp(left, std::chrono::milliseconds(0), look_around)))
            return true;
        check_not_refused(at, endpoint);
        if (left.count() <= 0)
            throw error(errc::timed_out, "connect " + endpoint + ": nobody answered within " +
                                             shown_span(options.patience) + "; start cairnd there");
    }
    return false;
}

std::vector<std::string> endpoint_problems(const node& at) {
    std::vector<std::string> all;
    for (const endpoint_stats& e : at.stats().endpoints) {
        if (e.state != endpoint_state::connected && e.last_error != errc::ok)
            all.push_back(escaped(e.endpoint + ": " + e.last_error_text));
    }
    return all;
}

node_options store_session::with_store(const common_options& options) {
    node_options made = options_of(options);
    made.store = store_endpoint(options);
    return made;
}

std::string last_problem() { return problems().last(); }
void show_problems() noexcept { problems().show(); }

std::string explained(const error& e) {
    std::string text = escaped(e.what());
    const std::string problem = last_problem();
    if (e.code() == errc::timed_out && !problem.empty()) text += " (" + problem + ")";
    return text + "; " + remedy(e.code());
}

void catch_signals() {
    struct sigaction told {};
    // Without SA_RESTART: what waits looks around.
    told.sa_handler = [](int) { told_to_stop = true; };
    for (const int number : {SIGINT, SIGTERM}) ::sigaction(number, &told, nullptr);
}

bool stopped() noexcept { return told_to_stop; }

}  // namespace cairn::tools
