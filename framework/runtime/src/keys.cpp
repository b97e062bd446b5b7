#include <cairn/error.hpp>
#include <cairn/runtime/socket_factory.hpp>
#include <cairn/runtime/zmq_calls.hpp>
#include <cairn/security.hpp>

#include "unique_fd.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cerrno>
#include <cstring>
#include <optional>

namespace cairn {

namespace {

using runtime::is_key;

constexpr std::size_t key_characters = 40;
constexpr std::size_t file_bytes_max = std::size_t{64} << 10;

using runtime::errc_of;
using runtime::unique_fd;

[[noreturn]] void fail(const std::string& operation, const std::filesystem::path& file, int fault) {
    const errc code = fault == EEXIST ? errc::address_in_use : errc_of(fault);
    throw error(
        code == errc::address_in_use || code == errc::permission_denied || code == errc::full
            ? code
            : errc::key_invalid,
        operation + " " + file.string() + ": " + std::strerror(fault));
}

/// A buffer that held a secret leaves nothing of it in memory.
class wiped_text {
public:
    ~wiped_text() { explicit_bzero(text.data(), text.size()); }
    std::string text;
};

void read_all(int from, const std::filesystem::path& file, std::string& text) {
    // One allocation: growing would leave copies of the secret behind.
    text.resize(file_bytes_max + 1);
    std::size_t size = 0;
    while (size < text.size()) {
        const ssize_t part = ::read(from, text.data() + size, text.size() - size);
        if (part < 0 && errno == EINTR) continue;
        if (part < 0) fail("read", file, errno);
        if (part == 0) break;
        size += static_cast<std::size_t>(part);
    }
    if (size > file_bytes_max)
        throw error(errc::key_invalid, "read " + file.string() +
                                           ": this is no key file, it has "
                                           "more than 64 KiB");
    text.resize(size);
}

std::string_view trimmed(std::string_view text) {
    const std::size_t first = text.find_first_not_of(" \t\r");
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

/// The quoted value of `name` in the section "curve" of a ZPL file (ZeroMQ RFC 4), as far as CZMQ
/// writes it: sections begin in the first column, their values are indented, # begins a comment.
std::optional<std::string> value_of(std::string_view text, std::string_view name) {
    bool in_curve = false;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        const std::string_view line = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        const std::string_view content = trimmed(line);
        if (content.empty() || content.front() == '#') continue;
        if (line.front() != ' ' && line.front() != '\t') {
            in_curve = content == "curve";
            continue;
        }
        const std::size_t equals = content.find('=');
        if (!in_curve || equals == std::string_view::npos) continue;
        if (trimmed(content.substr(0, equals)) != name) continue;
        const std::string_view value = trimmed(content.substr(equals + 1));
        if (value.size() < 2 || (value.front() != '"' && value.front() != '\''))
            return std::nullopt;
        const std::size_t close = value.find(value.front(), 1);
        if (close == std::string_view::npos) return std::nullopt;
        return std::string(value.substr(1, close - 1));
    }
    return std::nullopt;
}

void require_private(int descriptor, const std::filesystem::path& file) {
    struct stat found {};
    if (fstat(descriptor, &found) != 0) fail("read", file, errno);
    const std::string start = "read " + file.string() + ": it holds a secret key and ";
    if (found.st_uid != geteuid())
        throw error(errc::permission_denied,
                    start + "belongs to another user; copy it to a file of your own");
    if ((found.st_mode & 077) != 0)
        throw error(errc::permission_denied,
                    start + "others have rights on it; run: chmod 600 '" + file.string() + "'");
}

void write_new(const std::filesystem::path& file, mode_t mode, std::string_view text) {
    const unique_fd to(
        ::open(file.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode));
    if (!to) fail("write", file, errno);
    const ssize_t written = ::write(to.get(), text.data(), text.size());
    const int fault = written < 0 ? errno : ENOSPC;
    if (written == static_cast<ssize_t>(text.size()) && fsync(to.get()) == 0) return;
    ::unlink(file.c_str());
    fail("write", file, fault);
}

std::string certificate(const key_pair& keys, bool with_secret) {
    std::string text;
    text.reserve(512);
    text += with_secret ? "#   CURVE secret certificate of a cairn node. Keep it to yourself.\n"
                        : "#   CURVE public certificate of a cairn node.\n";
    text += "\nmetadata\ncurve\n    public-key = \"" + keys.public_key + "\"\n";
    if (with_secret) text.append("    secret-key = \"").append(keys.secret_key).append("\"\n");
    return text;
}

}  // namespace

key_pair generate_keys() {
    char public_key[key_characters + 1];
    char secret_key[key_characters + 1];
    if (zmq_curve_keypair(public_key, secret_key) != 0)
        throw error(errc::not_supported, "generate keys: libzmq was built without CURVE");
    key_pair keys{public_key, secret_key};
    explicit_bzero(secret_key, sizeof secret_key);
    return keys;
}

key_pair load_keys(const std::filesystem::path& file) {
    // Without O_NONBLOCK a named pipe would hold us until somebody writes.
    const unique_fd from(::open(file.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
    if (!from) {
        if (errno == ELOOP)
            throw error(errc::permission_denied,
                        "read " + file.string() + ": it is a symbolic link; name the file itself");
        fail("read", file, errno);
    }
    struct stat found {};
    if (fstat(from.get(), &found) != 0) fail("read", file, errno);
    if (!S_ISREG(found.st_mode))
        throw error(errc::permission_denied, "read " + file.string() + ": it is no regular file");

    wiped_text content;
    read_all(from.get(), file, content.text);
    const std::optional<std::string> public_key = value_of(content.text, "public-key");
    if (!public_key || !is_key(*public_key))
        throw error(errc::key_invalid, "read " + file.string() +
                                           ": no section \"curve\" with a public-key of 40 Z85 "
                                           "characters");
    key_pair keys{*public_key, {}};
    std::optional<std::string> secret_key = value_of(content.text, "secret-key");
    if (!secret_key) return keys;
    require_private(from.get(), file);
    char derived[key_characters + 1] = {};
    if (!is_key(*secret_key) || zmq_curve_public(derived, secret_key->c_str()) != 0 ||
        keys.public_key != derived)
        throw error(errc::key_invalid,
                    "read " + file.string() + ": the secret-key does not belong to the public-key");
    keys.secret_key = std::move(*secret_key);
    return keys;
}

void save_keys(const key_pair& keys, const std::filesystem::path& file) {
    if (!is_key(keys.public_key) || !is_key(keys.secret_key))
        throw error(errc::key_invalid,
                    "write " + file.string() + ": the pair is not two keys of 40 Z85 characters");
    std::filesystem::path secret_file = file;
    secret_file += "_secret";
    wiped_text secret{certificate(keys, true)};
    write_new(secret_file, 0600, secret.text);
    try {
        write_new(file, 0644, certificate(keys, false));
    } catch (...) {
        // Ours since a moment, made with O_EXCL: a half pair would only stand in the next try's
        // way.
        ::unlink(secret_file.c_str());
        throw;
    }
}

}  // namespace cairn
