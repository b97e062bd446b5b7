// cairn: looks into a store, and publishes and subscribes from a shell.
#include "output.hpp"
#include "session.hpp"
#include "verbs.hpp"

#include "programs/suggestion.hpp"

#include <cairn/error.hpp>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <exception>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace cairn;
using namespace cairn::tools;

/// "cairn topic ls": what was asked for, as far as it was understood.
std::string path_of(const CLI::App& app) {
    for (const CLI::App* verb : app.get_subcommands()) return app.get_name() + " " + path_of(*verb);
    return app.get_name();
}

/// Whether --json stands anywhere: what cannot be parsed is answered in that form too.
bool wants_json(int argc, char** argv) {
    for (int i = 1; i < argc && std::string_view(argv[i]) != "--"; ++i)
        if (std::string_view(argv[i]) == "--json") return true;
    return false;
}

/// What failed: to people on standard error, and to programs that asked for JSON as an object too.
void complain(bool json_too, std::string_view why, const std::string& text) {
    std::fprintf(stderr, "cairn: %s\n", text.c_str());
    if (!json_too) return;
    printer out;
    out.object({{"error", why}, {"text", text}});
    try {
        out.flush();
    } catch (const std::exception&) {
        // Nobody reads it there; standard error has it.
    }
}

/// The verb, or the noun, that was understood last.
const CLI::App& innermost(const CLI::App& app) {
    const std::vector<CLI::App*> verbs = app.get_subcommands();
    return verbs.empty() ? app : innermost(*verbs.front());
}

/// What may stand where something unknown does.
std::vector<std::string> known_at(const CLI::App& verb, bool flags) {
    std::vector<std::string> all;
    if (flags)
        for (const CLI::Option* const option : verb.get_options())
            for (const std::string& one : option->get_lnames()) all.push_back("--" + one);
    else
        for (const CLI::App* const one : verb.get_subcommands({})) all.push_back(one->get_name());
    return all;
}

std::string usage_problem(const CLI::App& app, std::string what) {
    what = escaped(what);
    for (std::size_t at; (at = what.find("\\x0a")) != std::string::npos;) what.replace(at, 4, " ");
    return what + "; see " + path_of(app) + " --help";
}

/// What nobody asked for by that name.
std::string unknown(const CLI::App& app, const std::vector<std::string>& strange) {
    const auto flag = std::find_if(strange.begin(), strange.end(),
                                   [](const std::string& s) { return s.starts_with("-"); });
    const std::string& what = flag == strange.end() ? strange.front() : *flag;
    const std::string near = programs::suggestion(what.substr(0, what.find('=')),
                                                  known_at(innermost(app), flag != strange.end()));
    const std::string problem = "\"" + what + "\" means nothing here";
    return near.empty() ? usage_problem(app, problem) : escaped(problem) + near;
}

/// "--name=": CLI11 would take the next argument for its value.
void require_values(int argc, char** argv) {
    for (int i = 1; i < argc; ++i) {
        const std::string_view argument(argv[i]);
        if (argument == "--") break;  // what follows are no options
        if (!argument.starts_with("--") || argument.find('=') != argument.size() - 1) continue;
        const std::string flag(argument.substr(0, argument.size() - 1));
        throw usage_error("nothing stands behind " + flag + "=; write " + flag +
                          " '' for an empty value");
    }
}

}  // namespace

int main(int argc, char** argv) {
    std::signal(SIGPIPE, SIG_IGN);  // a closed output is an answer of write()
    action chosen;
    CLI::App app{"cairn looks into a store, and publishes and subscribes from a shell.", "cairn"};
    app.set_version_flag("--version", CAIRN_VERSION);
    app.require_subcommand(1);
    app.failure_message([](const CLI::App*, const CLI::Error&) { return std::string(); });
    add_topic_verbs(app, chosen);
    add_group_verbs(app, chosen);
    add_read(app, chosen);
    add_pub(app, chosen);
    add_sub(app, chosen);
    add_stats(app, chosen);
    add_keygen(app, chosen);
    const auto failed = [&](std::string_view why, const std::string& text, int code) {
        complain(wants_json(argc, argv), why, text);
        return code;
    };
    const std::string_view misused = name(errc::invalid_argument);
    try {
        require_values(argc, argv);
        app.parse(argc, argv);
        return chosen();
    } catch (const CLI::ParseError& e) {
        // Help and version are among what CLI11 throws.
        if (e.get_exit_code() == 0) return app.exit(e);
        // What is missing is likely what was written another way.
        const std::vector<std::string> strange = app.remaining(true);
        return failed(misused,
                      strange.empty() ? usage_problem(app, e.what()) : unknown(app, strange),
                      exit_usage);
    } catch (const usage_error& e) {
        return failed(misused, usage_problem(app, e.what()), exit_usage);
    } catch (const output_closed&) {
        return 0;
    } catch (const error& e) {
        return failed(name(e.code()), explained(e), exit_failed);
    } catch (const failure& e) {
        return failed(name(e.code()), e.what(), e.exit());
    } catch (const std::exception& e) {
        return failed("failed", e.what(), exit_failed);
    }
}

namespace cairn::tools {

void add_common(CLI::App& line, common_options& to) {
    line.add_flag("--json", to.json, "one JSON object a line");
    line.add_option("--store", to.store,
                    "endpoint of the store; otherwise [CAIRN_STORE], otherwise where a cairnd of "
                    "this machine listens")
        ->type_name("ENDPOINT");
    line.add_option("--key-file", to.key_file, "our keys: a file that ends in _secret")
        ->type_name("FILE")
        ->envname("CAIRN_KEY_FILE");
    line.add_option("--server-key", to.server_key,
                    "public key of those we connect to, or a file with it")
        ->type_name("KEY")
        ->envname("CAIRN_SERVER_KEY");
    add_value(line, "--patience", to.patience, span_of, "TIME",
              "how long others may take to answer: 5s");
}

void add_peers(CLI::App& line, peer_options& to) {
    const auto add_list = [&](const char* name, std::vector<std::string>& list, const char* type,
                              const char* help) {
        // A key may begin with [ and end with ], which CLI11 would take for a list.
        line.add_option(name, list, help)
            ->type_name(type)
            ->expected(1)
            ->take_all()
            ->allow_extra_args(false);
    };
    add_list("--connect", to.connect, "ENDPOINT", "of a peer; may be said again");
    add_list("--bind", to.bind, "ENDPOINT", "to listen on for peers; may be said again");
    add_list("--allowed-key", to.allowed_keys, "KEY",
             "public key that may connect to us; may be said again");
    line.add_flag("--insecure", to.insecure,
                  "listen beyond this machine without keys, in a network without strangers");
}

}  // namespace cairn::tools
