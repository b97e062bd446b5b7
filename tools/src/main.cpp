// cairn: looks into a store, and publishes and subscribes from a shell.
#include "output.hpp"
#include "session.hpp"
#include "verbs.hpp"

#include <cairn/error.hpp>

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

int complain(const std::string& text, int code) {
    std::fprintf(stderr, "cairn: %s\n", text.c_str());
    return code;
}

int complain_of_usage(const CLI::App& app, const std::string& what) {
    std::string line = escaped(what);
    for (std::size_t at; (at = line.find("\\x0a")) != std::string::npos;) line.replace(at, 4, " ");
    return complain(line + "; see " + path_of(app) + " --help", exit_usage);
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
    try {
        require_values(argc, argv);
        app.parse(argc, argv);
        return chosen();
    } catch (const CLI::ParseError& e) {
        // Help and version are among what CLI11 throws.
        if (e.get_exit_code() == 0) return app.exit(e);
        // What is missing is likely what was written another way.
        const std::vector<std::string> strange = app.remaining(true);
        return complain_of_usage(
            app, strange.empty() ? e.what() : "\"" + strange.front() + "\" means nothing here");
    } catch (const usage_error& e) {
        return complain_of_usage(app, e.what());
    } catch (const output_closed&) {
        return 0;
    } catch (const error& e) {
        return complain(explained(e), exit_failed);
    } catch (const std::exception& e) {
        return complain(e.what(), exit_failed);
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
