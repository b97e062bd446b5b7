#include "settings.hpp"

#include <cairn/security.hpp>

#include <toml++/toml.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <numeric>
#include <optional>
#include <sstream>
#include <system_error>
#include <utility>

namespace cairn::daemon {

namespace {

using strings = std::vector<std::string>;

// --- Values -------------------------------------------------------------------------------------

struct unit {
    std::string_view name;
    std::uint64_t factor;
};

constexpr std::array byte_units{
    unit{"", 1},
    unit{"B", 1},
    unit{"KiB", std::uint64_t{1} << 10},
    unit{"MiB", std::uint64_t{1} << 20},
    unit{"GiB", std::uint64_t{1} << 30},
    unit{"TiB", std::uint64_t{1} << 40},
    unit{"kB", 1'000},
    unit{"MB", 1'000'000},
    unit{"GB", 1'000'000'000},
    unit{"TB", 1'000'000'000'000},
};
constexpr std::array time_units{
    unit{"ms", 1},        unit{"s", 1'000},      unit{"min", 60'000},
    unit{"h", 3'600'000}, unit{"d", 86'400'000},
};

template <typename Units>
std::uint64_t number(const std::string& text, const Units& units, std::string_view example) {
    std::uint64_t value = 0;
    const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), value);
    std::string_view rest(end, static_cast<std::size_t>(text.data() + text.size() - end));
    while (rest.starts_with(' ')) rest.remove_prefix(1);
    const auto found =
        std::find_if(units.begin(), units.end(), [&](const unit& u) { return u.name == rest; });
    const bool zero = fault == std::errc() && value == 0 && rest.empty();
    if (zero) return 0;
    if (fault != std::errc() || found == units.end() ||
        value > std::numeric_limits<std::uint64_t>::max() / found->factor)
        throw settings_error("\"" + text + "\" is not understood; write for example " +
                             std::string(example));
    return value * found->factor;
}

std::uint64_t bytes(const strings& v) { return number(v.front(), byte_units, "512MiB or 20GB"); }
std::chrono::milliseconds span(const strings& v) {
    return std::chrono::milliseconds(number(v.front(), time_units, "30s, 12h or 7d"));
}
std::uint64_t count(const strings& v) {
    constexpr std::array plain{unit{"", 1}};
    return number(v.front(), plain, "1000");
}
std::uint32_t count32(const strings& v) {
    return static_cast<std::uint32_t>(
        std::min<std::uint64_t>(count(v), std::numeric_limits<std::uint32_t>::max()));
}
bool yes(const strings& v) {
    if (v.front() == "true" || v.front() == "yes" || v.front() == "1") return true;
    if (v.front() == "false" || v.front() == "no" || v.front() == "0") return false;
    throw settings_error("\"" + v.front() + "\" is neither true nor false");
}
template <typename Value>
Value choice(const strings& v, std::initializer_list<std::pair<std::string_view, Value>> choices) {
    std::string all;
    for (const auto& [text, value] : choices) {
        if (v.front() == text) return value;
        all += (all.empty() ? "" : " or ") + std::string(text);
    }
    throw settings_error("\"" + v.front() + "\" is not " + all);
}

strings endpoints(const strings& v) {
    if (v.empty()) throw settings_error("names no endpoint; leave it out for the usual ones");
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

std::size_t distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 0; i != a.size(); ++i) {
        std::size_t diagonal = row[0]++;
        for (std::size_t j = 0; j != b.size(); ++j) {
            const std::size_t change = diagonal + (a[i] == b[j] ? 0 : 1);
            diagonal = row[j + 1];
            row[j + 1] = std::min({row[j] + 1, row[j + 1] + 1, change});
        }
    }
    return row.back();
}

const setting* find(std::string_view name) {
    for (const setting& s : all_settings())
        if (s.name == name) return &s;
    return nullptr;
}

strings names_in_file(bool tables) {
    strings all{"access"};
    for (const setting& s : all_settings())
        all.emplace_back(tables ? s.name.substr(0, s.name.find('.')) : s.name);
    return all;
}

// --- The file -----------------------------------------------------------------------------------

std::string place(const std::filesystem::path& file, const toml::source_region& at) {
    return file.string() + ":" + std::to_string(at.begin.line) + ":" +
           std::to_string(at.begin.column) + ": ";
}

/// Reads one file.
class file_reader {
public:
    file_reader(const std::filesystem::path& file, given_values& out) : file_(file), out_(out) {}

    void read(const toml::table& table, const std::string& prefix) {
        for (const auto& [key, node] : table) {
            const std::string name = prefix + std::string(key.str());
            if (name == "access") {
                read_access(node);
            } else if (find(name)) {
                read_value(name, node);
            } else if (node.is_table() && is_table(name)) {
                read(*node.as_table(), name + ".");
            } else {
                const bool table_like = node.is_table() || node.is_array_of_tables();
                throw settings_error(place(file_, key.source()) + "unknown " +
                                     (table_like ? "table" : "key") + " \"" + name + "\"" +
                                     suggestion(name, names_in_file(table_like)));
            }
        }
    }

private:
    static bool is_table(const std::string& name) {
        return std::any_of(all_settings().begin(), all_settings().end(),
                           [&](const setting& s) { return s.name.starts_with(name + "."); });
    }

    std::string text(const std::string& name, const toml::node& node) const {
        if (const auto* s = node.as_string()) return s->get();
        if (const auto* i = node.as_integer()) return std::to_string(i->get());
        if (const auto* b = node.as_boolean()) return b->get() ? "true" : "false";
        throw settings_error(place(file_, node.source()) + name +
                             " must be a string, a whole number or a boolean");
    }

    strings values(const std::string& name, const toml::node& node) const {
        strings all;
        if (const auto* list = node.as_array())
            for (const toml::node& one : *list) all.push_back(text(name, one));
        else
            all.push_back(text(name, node));
        return all;
    }

    void read_value(const std::string& name, const toml::node& node) {
        const setting& s = *find(name);
        if (node.is_array() && !s.list)
            throw settings_error(place(file_, node.source()) + name + " takes one value");
        std::string origin = place(file_, node.source());
        origin.resize(origin.size() - 2);
        out_.by_name[name] = {values(name, node), origin};
    }

    void read_access(const toml::node& node) {
        const auto* rules = node.as_array();
        if (!rules)
            throw settings_error(place(file_, node.source()) +
                                 "access must be tables: write [[access]]");
        out_.access_origin = file_.string();
        for (const toml::node& one : *rules) {
            const auto* rule = one.as_table();
            if (!rule)
                throw settings_error(place(file_, one.source()) +
                                     "access must be tables: write [[access]]");
            read_rule(*rule);
        }
    }

    void read_rule(const toml::table& rule) {
        access_rule made;
        for (const auto& [key, node] : rule) {
            if (key == "key") {
                made.key = text("access.key", node);
            } else if (key == "topics") {
                made.topics = text("access.topics", node);
            } else if (key == "may") {
                for (const std::string& what : values("access.may", node)) {
                    bool& granted = what == "publish"     ? made.may.publish
                                    : what == "subscribe" ? made.may.subscribe
                                    : what == "consume"   ? made.may.consume
                                    : what == "admin"     ? made.may.admin
                                                          : unknown(what, node);
                    granted = true;
                }
            } else {
                throw settings_error(place(file_, key.source()) + "unknown key \"access." +
                                     std::string(key.str()) + "\"" +
                                     suggestion(key.str(), {"key", "topics", "may"}));
            }
        }
        out_.access.push_back(std::move(made));
    }

    [[noreturn]] bool& unknown(const std::string& right, const toml::node& node) const {
        const std::string near = suggestion(right, {"publish", "subscribe", "consume", "admin"});
        throw settings_error(
            place(file_, node.source()) + "there is no right \"" + right + "\"" +
            (near.empty() ? "; there are publish, subscribe, consume, admin" : near));
    }

    const std::filesystem::path& file_;
    given_values& out_;
};

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

std::string suggestion(std::string_view unknown, const strings& known) {
    const std::string* best = nullptr;
    std::size_t least = std::max<std::size_t>(2, unknown.size() / 3) + 1;
    for (const std::string& k : known) {
        const std::size_t d = distance(unknown, k);
        if (d < least) {
            least = d;
            best = &k;
        }
    }
    return best ? "; did you mean \"" + *best + "\"?" : "";
}

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

given_values read_file(const std::filesystem::path& file) {
    given_values given;
    if (std::filesystem::is_directory(file))
        throw settings_error(file.string() + ": is a directory; name the file in it");
    std::ifstream text(file);
    if (!text) throw settings_error(file.string() + ": " + std::generic_category().message(errno));
    try {
        const toml::table table = toml::parse(text, file.string());
        file_reader(file, given).read(table, "");
    } catch (const toml::parse_error& e) {
        throw settings_error(place(file, e.source()) + std::string(e.description()));
    }
    return given;
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
        given.by_name[std::string(s.name)] = {s.list ? split(text) : strings{text}, name};
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
        } catch (const settings_error& e) {
            throw settings_error(v->origin + ": " + std::string(s.name) + ": " + e.what());
        }
    }
    for (const given_values* from : sources)
        if (!from->access.empty()) chosen.store.access = from->access;
    if (chosen.store.path.empty()) chosen.store.path = default_data();
    if (chosen.store.network.bind.empty())
        chosen.store.network.bind = {default_ipc(chosen.store.path), std::string(default_tcp)};
    const security_options& security = chosen.store.network.security;
    if (chosen.key_file.empty() && (!security.allowed_keys.empty() || security.allow_any_key))
        throw settings_error(
            "security.allowed_keys and security.allow_any_key need security.key_file, the store's "
            "own; `cairnd --make-keys store.cert` makes store.cert_secret");
    if (!chosen.key_file.empty()) {
        chosen.store.network.security.keys = load_keys(chosen.key_file);
        if (chosen.store.network.security.keys.secret_key.empty())
            throw settings_error("security.key_file: " + chosen.key_file +
                                 " holds no secret key; name the file that ends in _secret");
    }
    return chosen;
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
