// cairn keygen: the keys of a store, a client or a peer.
#include "verbs.hpp"

#include <cairn/security.hpp>

namespace cairn::tools {

namespace {

struct keygen_options {
    std::string file{};
    bool json = false;
};

int keygen(const keygen_options& given) {
    const key_pair keys = generate_keys();
    try {
        save_keys(keys, given.file);
    } catch (const error& e) {
        if (e.code() != errc::address_in_use) throw;
        throw failure(e.code(),
                      escaped(e.what()) + "; keys are never overwritten: name another file");
    }
    printer out;
    if (given.json)
        out.object(json{{"public_key", keys.public_key},
                        {"file", given.file},
                        {"secret_file", given.file + "_secret"}});
    else
        out.line(keys.public_key);
    out.flush();
    return 0;
}

}  // namespace

void add_keygen(CLI::App& cairn, action& chosen) {
    const auto [line, to] =
        add_verb(cairn, "keygen", "makes FILE (public) and FILE_secret, and prints the public key",
                 chosen, &keygen);
    line.footer(
        "FILE_secret is what programs load, --key-file takes and nobody else may have; the other "
        "holds the public key alone. Keys have characters that shells change: put them into single "
        "quotes.");
    line.add_option("file", to.file, "to be made; neither may exist")
        ->type_name("FILE")
        ->required();
    line.add_flag("--json", to.json, "one JSON object");
}

}  // namespace cairn::tools
