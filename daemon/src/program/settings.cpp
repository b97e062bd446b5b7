#include "settings.hpp"

#include "programs/quantities.hpp"
#include "programs/suggestion.hpp"

#include <cairn/error.hpp>
#include <cairn/security.hpp>

#include <toml++/toml.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <limits>
#include <optional>
#include <sstream>
#include <utility>

namespace cairn::daemon {

namespace {

using programs::suggestion;
using programs::usage_error;
using strings = std::vector<std::string>;

// --- Values -------------------------------------------------------------------------------------

std::uint64_t bytes(const strings& v) { return programs::bytes_of(v.front()); }
std::chrono::milliseconds span(const strings& v) { return programs::span_of(v.front()); }
std::uint64_t count(const strings& v) { return programs::count_of(v.front()); }
std::uint32_t count32(const strings& v) {
    constexpr std::uint32_t most = std::numeric_limits<std::uint32_t>::max();
    const std::uint64_t value = count(v);
    if (value > most)
        throw usage_error("\"" + v.front() + "\" is too many; write " + std::to_string(most) +
                          " or less");
    return static_cast<std::uint32_t>(value);
}
bool yes(const strings& v) { return programs::truth_of(v.front()); }
template <typename Value>
Value choice(const strings& v, std::initializer_list<std::pair<std::string_view, Value>> choices) {
    std::string all;
    for (const auto& [text, value] : choices) {
        if (v.front() == text) return value;
        all += (all.empty() ? "" : " or ") + std::string(text);
    }
    throw usage_error("\"" + v.front() + "\" is not " + all);
}

strings endpoints(const strings& v) {
    if (v.empty()) throw usage_error("names no endpoint; leave it out for the usual ones");
    for (const std::string& one : v) {
        std::string scheme = one.substr(0, one.find(':'));
        for (char& c : scheme) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
        if (scheme == "inproc")
            throw usage_error(one +
                              ": no other process reaches it; name tcp://HOST:PORT or ipc:///PATH");
    }
    return v;
}

std::string toml_text(std::string_view text) {
    std::ostringstream out;
    out << toml::value<std::string>(std::string(text));
    return out.str();
}
std::string toml_text(const strings& all) {
    std::string text = "[";
    for (const std::string& one : all) text += (text.size() == 1 ? "" : ", ") + toml_text(one);
    return text + "]";
}
std::string shown(std::uint64_t value) { return std::to_string(value); }
std::string shown(bool value) { return value ? "true" : "false"; }
std::string shown(std::chrono::milliseconds value) {
    return toml_text(std::to_string(value.count()) + "ms");
}

store::full_policy when_full(const strings& v) {
    return choice<store::full_policy>(v, {{"refuse", store::full_policy::refuse},
                                          {"drop-oldest", store::full_policy::drop_oldest}});
}
std::string shown(store::full_policy value) {
    return toml_text(value == store::full_policy::refuse ? "refuse" : "drop-oldest");
}

// --- Names --------------------------------------------------------------------------------------

strings split(std::string_view text) {
    strings all;
    while (!text.empty()) {
        const std::size_t comma = std::min(text.find(','), text.size());
        all.emplace_back(text.substr(0, comma));
        text.remove_prefix(std::min(comma + 1, text.size()));
    }
    return all;
}

const given_values::value* first(const std::vector<const given_values*>& sources,
                                 std::string_view name) {
    for (const given_values* from : sources) {
        const auto found = from->by_name.find(name);
        if (found != from->by_name.end()) return &found->second;
    }
    return nullptr;
}

/// Those of the last source that has any: only files do.
const std::vector<given_rule>& rules_of(const std::vector<const given_values*>& sources) {
    static const std::vector<given_rule> none;
    const std::vector<given_rule>* found = &none;
    for (const given_values* from : sources)
        if (!from->access.empty()) found = &from->access;
    return *found;
}

// The store checks rules and keys itself, all of them at once: asked for each alone it tells which.

store_server_options nothing_but_a_path() {
    store_server_options made;
    made.path = ".";
    return made;
}

void check_rules(const std::vector<given_rule>& rules) {
    store_server_options alone = nothing_but_a_path();
    for (const auto& [rule, key_at, topics_at] : rules) {
        alone.access = {rule};
        try {
            store_server::check(alone);
        } catch (const error& e) {
            throw settings_error((e.code() == errc::key_invalid ? key_at : topics_at) + ": " +
                                 e.what());
        }
    }
}

void check_allowed_keys(const given_values::value& given, const key_pair& own) {
    store_server_options alone = nothing_but_a_path();
    alone.network.security.keys = own;
    const auto refused = [&](const strings& keys) -> std::optional<std::string> {
        alone.network.security.allowed_keys = keys;
        try {
            store_server::check(alone);
            return std::nullopt;
        } catch (const error& e) {
            return e.what();
        }
    };
    if (!refused(given.values)) return;
    for (std::size_t i = 0; i != given.values.size(); ++i) {
        if (const auto why = refused({given.values[i]}))
            throw settings_error((i < given.places.size() ? given.places[i] : given.origin) +
                                 ": security.allowed_keys: " + *why);
    }
}

std::string environment(const char* name) {
    const char* const value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe)
    return value ? value : "";
}

}  // namespace

// --- The table ----------------------------------------------------------------------------------

// What a setting reads from `v` into `to`, and shows of `from`.
#define CAIRN_READ(...) [](settings& to, const strings& v) { __VA_ARGS__; }
#define CAIRN_SHOW(...) [](const settings& from) -> std::string { return __VA_ARGS__; }

const std::vector<setting>& all_settings() {
    static const std::vector<setting> all{
        {"data", "DIRECTORY", "where the data is", false, false,
         CAIRN_READ(to.store.path = v.front()), CAIRN_SHOW(toml_text(from.store.path.string()))},
        {"listen", "ENDPOINT", "where peers connect: tcp://HOST:PORT, ipc:///PATH; port 0: any",
         true, false, CAIRN_READ(to.store.network.bind = endpoints(v)),
         CAIRN_SHOW(toml_text(from.store.network.bind))},
        {"ports_file", "FILE", "gets the endpoints, one a line, once they are bound", false, false,
         CAIRN_READ(to.ports_file = v.front()), CAIRN_SHOW(toml_text(from.ports_file.string()))},
        {"name", "NAME", "name for peers and logs", false, false,
         CAIRN_READ(to.store.network.name = v.front()),
         CAIRN_SHOW(toml_text(from.store.network.name))},
        {"close_deadline", "TIME",
         "after TERM: then it leaves with 3 although the disk hangs; 0: it waits", false, true,
         CAIRN_READ(to.close_deadline = span(v)), CAIRN_SHOW(shown(from.close_deadline))},
        {"log_level", "LEVEL", "debug, info, warning or error", false, true,
         CAIRN_READ(to.log_level = choice<std::string>(v, {{"debug", "debug"},
                                                           {"info", "info"},
                                                           {"warning", "warning"},
                                                           {"error", "error"}})),
         CAIRN_SHOW(toml_text(from.log_level))},
        {"security.key_file", "FILE", "the store's secret certificate; no file: no keys", false,
         false, CAIRN_READ(to.key_file = v.front()), CAIRN_SHOW(toml_text(from.key_file))},
        {"security.allowed_keys", "KEY", "public keys of the clients that may connect", true, true,
         CAIRN_READ(to.store.network.security.allowed_keys = v),
         CAIRN_SHOW(toml_text(from.store.network.security.allowed_keys))},
        {"security.allow_any_key", "BOOLEAN", "every key may connect", false, false,
         CAIRN_READ(to.store.network.security.allow_any_key = yes(v)),
         CAIRN_SHOW(shown(from.store.network.security.allow_any_key))},
        {"security.insecure", "BOOLEAN", "listen beyond loopback without keys", false, false,
         CAIRN_READ(to.store.network.security.insecure = yes(v)),
         CAIRN_SHOW(shown(from.store.network.security.insecure))},
        {"store.quota", "SIZE", "what all messages may take; 0: what the file may", false, false,
         CAIRN_READ(to.store.storage.quota_bytes = bytes(v)),
         CAIRN_SHOW(shown(from.store.storage.quota_bytes))},
        {"store.when_full", "POLICY", "at the quota: refuse or drop-oldest", false, false,
         CAIRN_READ(to.store.storage.when_full = when_full(v)),
         CAIRN_SHOW(shown(from.store.storage.when_full))},
        {"store.age_max", "TIME", "older messages go, of all topics; 0: none", false, false,
         CAIRN_READ(to.store.storage.age_max = span(v)),
         CAIRN_SHOW(shown(from.store.storage.age_max))},
        {"store.messages_max", "COUNT", "messages of all topics; 0: no limit", false, false,
         CAIRN_READ(to.store.storage.messages_max = count(v)),
         CAIRN_SHOW(shown(from.store.storage.messages_max))},
        {"store.until_acked", "BOOLEAN", "what all groups acked goes, of all topics", false, false,
         CAIRN_READ(to.store.storage.until_acked = yes(v)),
         CAIRN_SHOW(shown(from.store.storage.until_acked))},
        {"store.ballast", "SIZE", "given back when the disk is full, so that trims go on", false,
         false, CAIRN_READ(to.store.storage.ballast_bytes = bytes(v)),
         CAIRN_SHOW(shown(std::uint64_t{from.store.storage.ballast_bytes}))},
        {"store.check_on_open", "WHEN", "its trees are walked first: after-crash or always", false,
         false,
         CAIRN_READ(to.store.storage.on_open =
                        choice<store::check>(v, {{"after-crash", store::check::after_crash},
                                                 {"always", store::check::structure}})),
         CAIRN_SHOW(toml_text(
             from.store.storage.on_open == store::check::structure ? "always" : "after-crash"))},
        {"store.topics_max", "COUNT", "topics", false, false,
         CAIRN_READ(to.store.storage.topics_max = count32(v)),
         CAIRN_SHOW(shown(std::uint64_t{from.store.storage.topics_max}))},
        {"store.sources_per_topic_max", "COUNT", "sources of one topic", false, false,
         CAIRN_READ(to.store.storage.sources_per_topic_max = count32(v)),
         CAIRN_SHOW(shown(std::uint64_t{from.store.storage.sources_per_topic_max}))},
        {"store.groups_per_topic_max", "COUNT", "groups of one topic", false, false,
         CAIRN_READ(to.store.storage.groups_per_topic_max = count32(v)),
         CAIRN_SHOW(shown(std::uint64_t{from.store.storage.groups_per_topic_max}))},
        {"topics.age_max", "TIME", "of a new topic: older messages go; 0: none", false, false,
         CAIRN_READ(to.store.topic_defaults.retention.age_max = span(v)),
         CAIRN_SHOW(shown(from.store.topic_defaults.retention.age_max))},
        {"topics.bytes_max", "SIZE", "of a new topic; 0: no limit", false, false,
         CAIRN_READ(to.store.topic_defaults.retention.bytes_max = bytes(v)),
         CAIRN_SHOW(shown(from.store.topic_defaults.retention.bytes_max))},
        {"topics.messages_max", "COUNT", "of a new topic; 0: no limit", false, false,
         CAIRN_READ(to.store.topic_defaults.retention.messages_max = count(v)),
         CAIRN_SHOW(shown(from.store.topic_defaults.retention.messages_max))},
        {"topics.until_acked", "BOOLEAN", "of a new topic: what all groups acked goes", false,
         false, CAIRN_READ(to.store.topic_defaults.retention.until_acked = yes(v)),
         CAIRN_SHOW(shown(from.store.topic_defaults.retention.until_acked))},
        {"topics.when_full", "POLICY", "of a new topic: refuse or drop-oldest", false, false,
         CAIRN_READ(to.store.topic_defaults.retention.when_full = when_full(v)),
         CAIRN_SHOW(shown(from.store.topic_defaults.retention.when_full))},
        {"topics.confirm", "WHEN", "of a new topic: flushed or written", false, false,
         CAIRN_READ(to.store.topic_defaults.confirm =
                        choice<store::durability>(v, {{"flushed", store::durability::flushed},
                                                      {"written", store::durability::written}})),
         CAIRN_SHOW(toml_text(from.store.topic_defaults.confirm == store::durability::flushed
                                  ? "flushed"
                                  : "written"))},
        {"limits.peers_max", "COUNT", "connections", false, false,
         CAIRN_READ(to.store.network.peers_max = count(v)),
         CAIRN_SHOW(shown(std::uint64_t{from.store.network.peers_max}))},
        {"limits.subscriptions_per_peer_max", "COUNT",
         "subscriptions, and attachments to groups, of one connection", false, false,
         CAIRN_READ(to.store.network.subscriptions_per_peer_max = count(v)),
         CAIRN_SHOW(shown(std::uint64_t{from.store.network.subscriptions_per_peer_max}))},
        {"limits.topics_per_peer_max", "COUNT",
         "sources that one connection may open, and streams that it may follow", false, false,
         CAIRN_READ(to.store.network.topics_per_peer_max = count(v)),
         CAIRN_SHOW(shown(std::uint64_t{from.store.network.topics_per_peer_max}))},
        {"limits.body_bytes_max", "SIZE", "of one message, up to 64 MiB; no larger one is stored",
         false, false, CAIRN_READ(to.store.network.body_bytes_max = bytes(v)),
         CAIRN_SHOW(shown(std::uint64_t{from.store.network.body_bytes_max}))},
        {"limits.topics_made_per_client_max", "COUNT", "topics that one client may make", false,
         false, CAIRN_READ(to.store.topics_made_per_client_max = count(v)),
         CAIRN_SHOW(shown(std::uint64_t{from.store.topics_made_per_client_max}))},
        {"limits.append_window", "SIZE", "that one source may have under way", false, false,
         CAIRN_READ(to.store.append_window_bytes = bytes(v)),
         CAIRN_SHOW(shown(std::uint64_t{from.store.append_window_bytes}))},
        {"limits.append_bytes_max", "SIZE", "that all sources may have under way", false, false,
         CAIRN_READ(to.store.append_bytes_max = bytes(v)),
         CAIRN_SHOW(shown(std::uint64_t{from.store.append_bytes_max}))},
        {"limits.replay_threads", "COUNT", "threads that read history", false, false,
         CAIRN_READ(to.store.replay_threads = count(v)),
         CAIRN_SHOW(shown(std::uint64_t{from.store.replay_threads}))},
        {"limits.replay_page", "SIZE", "that is read at once for one reader", false, false,
         CAIRN_READ(to.store.replay_page_bytes = bytes(v)),
         CAIRN_SHOW(shown(std::uint64_t{from.store.replay_page_bytes}))},
        {"limits.replay_bytes_max", "SIZE", "of history in memory for all readers", false, false,
         CAIRN_READ(to.store.replay_bytes_max = bytes(v)),
         CAIRN_SHOW(shown(std::uint64_t{from.store.replay_bytes_max}))},
    };
    return all;
}

#undef CAIRN_READ
#undef CAIRN_SHOW

std::string flag_of(const setting& s) {
    std::string flag = "--" + std::string(s.name);
    std::replace_if(
        flag.begin() + 2, flag.end(), [](char c) { return c == '.' || c == '_'; }, '-');
    return flag;
}

std::string variable_of(const setting& s) {
    std::string name = "CAIRND_";
    for (const char c : s.name)
        name += c == '.' ? '_' : c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    return name;
}

given_values read_environment() {
    given_values given;
    strings known{"CAIRND_CONFIG"};
    for (const setting& s : all_settings()) known.push_back(variable_of(s));
    for (char** at = environ; *at != nullptr; ++at) {
        const std::string_view entry(*at);
        if (!entry.starts_with("CAIRND_")) continue;
        const std::size_t equals = entry.find('=');
        const std::string name(entry.substr(0, equals));
        if (name == "CAIRND_CONFIG") continue;
        const auto found = std::find(known.begin(), known.end(), name);
        if (found == known.end())
            throw settings_error("environment: unknown variable " + name + suggestion(name, known));
        const setting& s = all_settings()[static_cast<std::size_t>(found - known.begin()) - 1];
        const std::string text(entry.substr(equals + 1));
        given.by_name[std::string(s.name)] = {s.list ? split(text) : strings{text}, name, {}};
    }
    return given;
}

std::filesystem::path default_data() {
    // systemd may name several, separated by colons: the first is ours.
    const std::string service = environment("STATE_DIRECTORY");
    if (!service.empty()) return service.substr(0, service.find(':'));
    if (::geteuid() == 0) return "/var/lib/cairnd";
    const std::string state = environment("XDG_STATE_HOME");
    if (!state.empty()) return std::filesystem::path(state) / "cairnd";
    const std::string home = environment("HOME");
    if (home.empty())
        throw settings_error("data: neither XDG_STATE_HOME nor HOME is set; use --data DIRECTORY");
    return std::filesystem::path(home) / ".local/state/cairnd";
}

std::string default_ipc(const std::filesystem::path& data) {
    for (const char* name : {"RUNTIME_DIRECTORY", "XDG_RUNTIME_DIR"}) {
        const std::string directory = environment(name);
        if (!directory.empty())
            return "ipc://" + directory.substr(0, directory.find(':')) + "/cairnd.ipc";
    }
    return "ipc://" + std::filesystem::absolute(data).string() + "/cairnd.ipc";
}

settings settle(const std::vector<const given_values*>& sources) {
    settings chosen;
    chosen.store.network.name = "cairnd";
    chosen.store.network.peers_max = peers_max_default;
    for (const setting& s : all_settings()) {
        const given_values::value* const v = first(sources, s.name);
        if (!v || (v->values.empty() && !s.list)) continue;
        try {
            s.read(chosen, v->values);
        } catch (const usage_error& e) {
            throw settings_error(v->origin + ": " + std::string(s.name) + ": " + e.what());
        }
    }
    for (const given_rule& given : rules_of(sources)) chosen.store.access.push_back(given.rule);
    if (chosen.store.path.empty()) chosen.store.path = default_data();
    if (chosen.store.network.bind.empty())
        chosen.store.network.bind = {default_ipc(chosen.store.path), std::string(default_tcp)};
    const security_options& security = chosen.store.network.security;
    if (chosen.key_file.empty() && (!security.allowed_keys.empty() || security.allow_any_key))
        throw settings_error(
            origin_of(security.allow_any_key ? "security.allow_any_key" : "security.allowed_keys",
                      sources) +
            ": security.allowed_keys and security.allow_any_key need security.key_file, the "
            "store's "
            "own; `cairnd --make-keys store.cert` makes store.cert_secret");
    if (!chosen.key_file.empty()) {
        const std::string at = origin_of("security.key_file", sources) + ": security.key_file: ";
        try {
            chosen.store.network.security.keys = load_keys(chosen.key_file);
        } catch (const error& e) {
            throw settings_error(at + e.what());
        }
        if (chosen.store.network.security.keys.secret_key.empty())
            throw settings_error(at + chosen.key_file +
                                 " holds no secret key; name the file that ends in _secret");
    }
    check_rules(rules_of(sources));
    if (const given_values::value* const keys = first(sources, "security.allowed_keys"))
        check_allowed_keys(*keys, security.keys);
    return chosen;
}

strings warnings(const settings& chosen, const std::vector<const given_values*>& sources) {
    const security_options& security = chosen.store.network.security;
    const bool keys = !security.keys.public_key.empty();
    const strings& allowed = security.allowed_keys;
    strings all;
    if (keys && !security.allow_any_key && allowed.empty())
        all.emplace_back(
            "no key may connect: name the clients' public keys in security.allowed_keys");
    for (const auto& [rule, key_at, topics_at] : rules_of(sources)) {
        if (rule.key == "*" || (keys && security.allow_any_key)) continue;
        if (std::find(allowed.begin(), allowed.end(), rule.key) != allowed.end()) continue;
        all.push_back(
            key_at + ": access.key: nobody who may connect has \"" + rule.key + "\"" +
            (keys ? ", which is not in security.allowed_keys" + suggestion(rule.key, allowed)
                  : ": the store has no keys, so write \"*\" or give it "
                    "security.key_file"));
    }
    return all;
}

std::string origin_of(std::string_view name, const std::vector<const given_values*>& sources) {
    const given_values::value* const v = first(sources, name);
    return v ? v->origin : "default";
}

// An option has the name of its setting, or that with its unit.
std::string settings_named_in(std::string_view text,
                              const std::vector<const given_values*>& sources) {
    const auto part_of_a_name = [](char c) {
        return c == '_' || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    };
    const auto names = [&](const std::string& option) {
        for (std::size_t at = text.find(option); at != std::string_view::npos;
             at = text.find(option, at + 1)) {
            const std::size_t end = at + option.size();
            if ((at == 0 || !part_of_a_name(text[at - 1])) &&
                (end == text.size() || !part_of_a_name(text[end])))
                return true;
        }
        return false;
    };
    std::string all;
    for (const setting& s : all_settings()) {
        const std::size_t dot = s.name.find('.');
        if (dot == std::string_view::npos) continue;
        const std::string option(s.name.substr(dot + 1));
        if (!names(option) && !names(option + "_bytes")) continue;
        all += "; " + std::string(s.name) + ": " + origin_of(s.name, sources);
    }
    return all;
}

std::string print(const settings& chosen, const std::vector<const given_values*>& sources) {
    std::string text;
    std::string table;
    for (const setting& s : all_settings()) {
        const std::size_t dot = s.name.find('.');
        const std::string of(dot == std::string_view::npos ? "" : s.name.substr(0, dot));
        if (of != table) text += "\n[" + of + "]\n";
        table = of;
        text += std::string(dot == std::string_view::npos ? s.name : s.name.substr(dot + 1)) +
                " = " + s.show(chosen) + "  # " + origin_of(s.name, sources) + "\n";
    }
    for (const access_rule& r : chosen.store.access) {
        strings may;
        if (r.may.publish) may.emplace_back("publish");
        if (r.may.subscribe) may.emplace_back("subscribe");
        if (r.may.consume) may.emplace_back("consume");
        if (r.may.admin) may.emplace_back("admin");
        text += "\n[[access]]\nkey = " + toml_text(r.key) + "\ntopics = " + toml_text(r.topics) +
                "\nmay = " + toml_text(may) + "\n";
    }
    return text;
}

}  // namespace cairn::daemon
