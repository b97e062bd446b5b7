// The file of settings: TOML, and where in it each value stands.
#include "settings.hpp"

#include "programs/suggestion.hpp"

#include <toml++/toml.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <iterator>
#include <sstream>
#include <system_error>
#include <utility>

namespace cairn::daemon {

namespace {

using programs::suggestion;
using strings = std::vector<std::string>;

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

/// "FILE:LINE:COLUMN: "
std::string place(const std::filesystem::path& file, const toml::source_region& at) {
    return file.string() + ":" + std::to_string(at.begin.line) + ":" +
           std::to_string(at.begin.column) + ": ";
}

bool parses(const std::string& text) {
    try {
        static_cast<void>(toml::parse(text));
        return true;
    } catch (const toml::parse_error&) {
        return false;
    }
}

std::string trimmed(std::string_view text) {
    const std::size_t begin = text.find_first_not_of(" \t\r");
    if (begin == std::string_view::npos) return {};
    return std::string(text.substr(begin, text.find_last_not_of(" \t\r") + 1 - begin));
}

/// What would mend a line that is no TOML, behind "; ", where that is plain to see.
std::string remedy(std::string_view line) {
    line = line.substr(0, line.find(" #"));
    if (trimmed(line) == "[access]") return "; write [[access]] before each rule";
    const std::size_t equals = line.find('=');
    if (equals == std::string_view::npos) return {};
    const std::string value = trimmed(line.substr(equals + 1));
    const std::string quoted = "\"" + value + "\"";
    const bool list = value.starts_with('[') || value.starts_with('{');
    if (value.empty() || list || parses("x = " + value) || !parses("x = " + quoted)) return {};
    return "; quote it: " + trimmed(line.substr(0, equals)) + " = " + quoted;
}

std::string line_of(const std::string& text, std::size_t number) {
    std::istringstream lines(text);
    std::string line;
    for (std::size_t n = 0; n != number && std::getline(lines, line);) ++n;
    return line;
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

    std::string place_of(const toml::node& node) const {
        std::string at = place(file_, node.source());
        at.resize(at.size() - 2);
        return at;
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
        given_values::value& to = out_.by_name[name];
        to = {values(name, node), place_of(node), {}};
        if (const auto* list = node.as_array())
            for (const toml::node& one : *list) to.places.push_back(place_of(one));
    }

    void read_access(const toml::node& node) {
        const auto* rules = node.as_array();
        if (node.is_table())
            throw settings_error(place(file_, node.source()) +
                                 "[access] is one table, and rules are a list of tables: write "
                                 "[[access]] before each rule");
        if (!rules)
            throw settings_error(place(file_, node.source()) +
                                 "access must be tables: write [[access]]");
        for (const toml::node& one : *rules) {
            const auto* rule = one.as_table();
            if (!rule)
                throw settings_error(place(file_, one.source()) +
                                     "access must be tables: write [[access]]");
            read_rule(*rule);
        }
    }

    void read_rule(const toml::table& rule) {
        given_rule made;
        const toml::node* may = nullptr;
        for (const auto& [key, node] : rule) {
            if (key == "key") {
                made.rule.key = text("access.key", node);
                made.key_at = place_of(node);
            } else if (key == "topics") {
                made.rule.topics = text("access.topics", node);
                made.topics_at = place_of(node);
            } else if (key == "may") {
                may = &node;
                for (const std::string& what : values("access.may", node)) {
                    bool& granted = what == "publish"     ? made.rule.may.publish
                                    : what == "subscribe" ? made.rule.may.subscribe
                                    : what == "consume"   ? made.rule.may.consume
                                    : what == "admin"     ? made.rule.may.admin
                                                          : unknown(what, node);
                    granted = true;
                }
            } else {
                throw settings_error(place(file_, key.source()) + "unknown key \"access." +
                                     std::string(key.str()) + "\"" +
                                     suggestion(key.str(), {"key", "topics", "may"}));
            }
        }
        // The first rule takes from everybody what no rule gives: one that gives nothing is a slip.
        if (made.rule.may == rights{})
            throw settings_error(place(file_, (may ? *may : rule).source()) +
                                 (may ? "access.may is empty" : "access: may is missing") +
                                 ", so that the rule gives nothing; write which rights it gives: "
                                 "may = [\"publish\", \"subscribe\", \"consume\", \"admin\"], "
                                 "or some of them");
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

}  // namespace

given_values read_file(const std::filesystem::path& file) {
    given_values given;
    if (std::filesystem::is_directory(file))
        throw settings_error(file.string() + ": is a directory; name the file in it");
    std::ifstream from(file);
    if (!from) throw settings_error(file.string() + ": " + std::generic_category().message(errno));
    const std::string text(std::istreambuf_iterator<char>(from), {});
    try {
        const toml::table table = toml::parse(text, file.string());
        file_reader(file, given).read(table, "");
    } catch (const toml::parse_error& e) {
        throw settings_error(place(file, e.source()) + std::string(e.description()) +
                             remedy(line_of(text, e.source().begin.line)));
    }
    return given;
}

}  // namespace cairn::daemon
