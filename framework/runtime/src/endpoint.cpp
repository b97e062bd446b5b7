#include <cairn/error.hpp>
#include <cairn/runtime/endpoint.hpp>
#include <cairn/runtime/printable.hpp>

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <algorithm>
#include <charconv>
#include <cstring>
#include <memory>
#include <optional>

namespace cairn::runtime {

namespace {

constexpr std::size_t host_bytes_max = 253;  // RFC 1035, 2.3.4, without the final dot

struct scheme_name {
    runtime::scheme value;
    std::string_view text;
};

constexpr scheme_name schemes[] = {
    {scheme::tcp, "tcp"}, {scheme::ipc, "ipc"}, {scheme::inproc, "inproc"}, {scheme::ws, "ws"}};

std::string_view name_of(runtime::scheme value) {
    for (const scheme_name& s : schemes)
        if (s.value == value) return s.text;
    return "";
}

std::string_view verb(purpose why) {
    switch (why) {
        case purpose::bind:
            return "bind";
        case purpose::connect:
            return "connect";
        case purpose::tap:
            return "open_tap";
    }
    return "";
}

// Endpoints come from configuration files and command lines: an error shows them readable.
std::string shown(std::string_view text) { return printable(text, 120); }

std::string_view named(std::string_view operation, purpose why) {
    return operation.empty() ? verb(why) : operation;
}

/// Reads one text for one purpose; remembers it for the texts of its errors.
class parser {
public:
    parser(std::string_view text, purpose why, std::string_view operation)
        : text_(text), why_(why), operation_(operation) {}

    endpoint parse() const {
        const std::size_t mark = text_.find("://");
        if (text_.empty()) fail("it is empty", "tcp://127.0.0.1:5556");
        if (mark == std::string_view::npos) fail_without_mark();
        if (std::ranges::any_of(text_, [](char c) { return c <= 0x20 || c == 0x7f; }))
            fail("it holds a space or control character");
        const std::string_view rest = text_.substr(mark + 3);
        const runtime::scheme which = parse_scheme(text_.substr(0, mark));
        if (which == scheme::ipc) return parse_ipc(rest);
        if (which == scheme::inproc) return parse_inproc(rest);
        return parse_network(which, rest);
    }

private:
    [[noreturn]] void fail(const std::string& wrong, const std::string& remedy = {}) const {
        std::string text{operation_};
        text += " " + shown(text_) + ": " + wrong;
        if (!remedy.empty()) text += "; write " + remedy;
        throw error(errc::address_invalid, text);
    }

    [[noreturn]] void fail_without_mark() const {
        for (const scheme_name& s : schemes) {
            if (!text_.starts_with(s.text) || !text_.substr(s.text.size()).starts_with(':'))
                continue;
            std::string_view rest = text_.substr(s.text.size() + 1);
            rest.remove_prefix(std::min(rest.find_first_not_of('/'), rest.size()));
            fail("two slashes follow the scheme",
                 std::string(s.text) + (s.value == scheme::ipc ? ":///" : "://") + shown(rest));
        }
        fail("no scheme", (text_.starts_with('/') ? "ipc://" : "tcp://") + shown(text_));
    }

    runtime::scheme parse_scheme(std::string_view given) const {
        std::string lower{given};
        std::ranges::transform(lower, lower.begin(),
                               [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
        for (const scheme_name& s : schemes) {
            if (s.text != lower) continue;
            if (s.value == scheme::ws && why_ != purpose::tap)
                fail("ws is for taps only", "tcp://, ipc:// or inproc://");
            if (s.value == scheme::inproc && why_ == purpose::tap)
                fail("a tap is for other processes", "tcp://127.0.0.1:* or ipc:///path");
            return s.value;
        }
        fail("unknown scheme \"" + shown(given) + "\"", "tcp://, ipc:// or inproc://");
    }

    endpoint parse_inproc(std::string_view name) const {
        if (name.empty()) fail("no name", "inproc://name");
        if (name.size() > inproc_name_bytes_max)
            fail("the name has " + std::to_string(name.size()) + " bytes, " +
                 std::to_string(inproc_name_bytes_max) + " are allowed");
        if (name.starts_with("zeromq.") || name.starts_with("cairn."))
            fail("names that begin with \"zeromq.\" or \"cairn.\" are taken");
        return {.scheme = scheme::inproc, .name = std::string(name)};
    }

    endpoint parse_ipc(std::string_view path) const {
        if (path.empty() || path == "@" || path == "/") fail("no path", "ipc:///run/name.sock");
        if (path == "*") fail("a listener needs a name to be found by", "ipc:///run/name.sock");
        if (path.front() != '/' && path.front() != '@')
            fail("the path is relative, so its meaning changes with the working directory",
                 "ipc:///" + shown(path));
        if (path.back() == '/' && path.front() == '/')
            fail("the path names a directory", "ipc://" + shown(path) + "name.sock");
        endpoint parsed{.scheme = scheme::ipc, .name = std::string(path)};
        if (parsed.is_file()) parsed.name = canonical_path(path);
        if (parsed.name.size() > ipc_path_bytes_max)
            fail("the path has " + std::to_string(parsed.name.size()) + " bytes, " +
                 std::to_string(ipc_path_bytes_max) + " are allowed; use a shorter directory");
        return parsed;
    }

    // Keeps `..`, which means another directory when its left neighbour is a symbolic link.
    static std::string canonical_path(std::string_view path) {
        std::string canonical;
        while (!path.empty()) {
            path.remove_prefix(1);
            const std::size_t end = std::min(path.find('/'), path.size());
            const std::string_view part = path.substr(0, end);
            if (!part.empty() && part != ".") canonical.append("/").append(part);
            path.remove_prefix(end);
        }
        return canonical;
    }

    endpoint parse_network(runtime::scheme which, std::string_view rest) const {
        const std::string prefix = std::string(name_of(which)) + "://";
        if (which == scheme::ws && rest.ends_with('/')) rest.remove_suffix(1);
        const std::size_t bad = rest.find_first_of("/;?#@");
        if (bad != std::string_view::npos)
            fail("\"" + shown(rest.substr(bad)) + "\" has no meaning after the address",
                 prefix + shown(rest.substr(0, bad)));

        const std::size_t bracket = rest.starts_with('[') ? rest.find(']') : 0;
        if (bracket == std::string_view::npos)
            fail("the \"[\" is not closed", prefix + "[::1]:5556");
        if (bracket == 0 && std::ranges::count(rest, ':') > 1)
            fail("an IPv6 address needs brackets", prefix + "[::1]:5556");
        const std::size_t colon = rest.find(':', bracket);
        const std::string_view host = rest.substr(0, colon);
        if (host.empty()) fail("no host", prefix + (listens() ? "*" : "127.0.0.1") + ":5556");
        if (colon == std::string_view::npos || colon + 1 == rest.size())
            fail("no port", prefix + shown(host) + ":5556");

        endpoint parsed{.scheme = which};
        parsed.host = bracket == 0 ? parse_host(host) : parse_ipv6(host);
        parsed.port = parse_port(rest.substr(colon + 1));
        if (which == scheme::ws && !parsed.is_loopback())
            fail("a WebSocket tap is open to all who reach it, so it listens on loopback only",
                 "ws://127.0.0.1:" + std::to_string(parsed.port));
        return parsed;
    }

    bool listens() const { return why_ != purpose::connect; }

    std::string parse_ipv6(std::string_view host) const {
        if (!host.ends_with(']'))
            fail("something stands between \"]\" and the port", "tcp://[::1]:5556");
        const std::string inside{host.substr(1, host.size() - 2)};
        if (inside.find('%') != std::string::npos)
            fail("zone ids are not supported; use a global or unique local address");
        in6_addr address{};
        if (inet_pton(AF_INET6, inside.c_str(), &address) != 1)
            fail("\"" + shown(inside) + "\" is not an IPv6 address");
        const std::string canonical = text_of(address);
        if (canonical == "::") refuse_unspecified();
        return canonical;
    }

    std::string parse_host(std::string_view host) const {
        if (host == "*") {
            if (!listens()) fail("\"*\" is for bind; name the host to connect to");
            return "*";
        }
        std::string lower{host};
        std::ranges::transform(lower, lower.begin(),
                               [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
        if (lower.find_first_not_of("0123456789.") == std::string::npos) return parse_ipv4(lower);
        if (lower.size() > host_bytes_max)
            fail("the host name has " + std::to_string(lower.size()) + " bytes, 253 are allowed");
        if (lower.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789.-_") !=
                std::string::npos ||
            lower.front() == '-' || lower.front() == '.')
            fail("\"" + shown(host) + "\" is not a host name");
        return lower;
    }

    std::string parse_ipv4(const std::string& host) const {
        in_addr address{};
        if (inet_pton(AF_INET, host.c_str(), &address) != 1)
            fail("\"" + host + "\" is not an IPv4 address (four numbers up to 255)");
        if (address.s_addr == INADDR_ANY) refuse_unspecified();
        return host;
    }

    void refuse_unspecified() const {
        if (!listens()) fail("the unspecified address is for bind; name the host to connect to");
    }

    std::uint16_t parse_port(std::string_view text) const {
        if (text == "*") text = "0";
        std::uint32_t port = 0;
        const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), port);
        if (fault == std::errc::invalid_argument || end != text.data() + text.size())
            fail("the port \"" + shown(text) + "\" is not a number");
        if (fault != std::errc{} || port > 65'535)
            fail("the port " + shown(text) + " is above 65535");
        if (port == 0 && !listens())
            fail("a free port is for bind; connect needs the port's number");
        return static_cast<std::uint16_t>(port);
    }

    static std::string text_of(const in6_addr& address) {
        char text[INET6_ADDRSTRLEN];
        if (IN6_IS_ADDR_V4MAPPED(&address))
            return inet_ntop(AF_INET, address.s6_addr + 12, text, sizeof text);
        return inet_ntop(AF_INET6, &address, text, sizeof text);
    }

    std::string_view text_;
    purpose why_;
    std::string_view operation_;
};

bool is_ipv4(const std::string& host) {
    in_addr address{};
    return inet_pton(AF_INET, host.c_str(), &address) == 1;
}

bool is_numeric(const std::string& host) {
    return host == "*" || host.find(':') != std::string::npos || is_ipv4(host);
}

std::optional<std::string> numeric_text(const sockaddr* address) {
    char text[INET6_ADDRSTRLEN];
    if (address == nullptr) return std::nullopt;
    if (address->sa_family == AF_INET) {
        const auto* v4 = reinterpret_cast<const sockaddr_in*>(address);
        return inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text);
    }
    if (address->sa_family == AF_INET6) {
        const auto* v6 = reinterpret_cast<const sockaddr_in6*>(address);
        if (IN6_IS_ADDR_LINKLOCAL(&v6->sin6_addr)) return std::nullopt;  // needs a zone id
        return inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text);
    }
    return std::nullopt;
}

}  // namespace

std::string endpoint::text() const {
    std::string written{name_of(scheme)};
    written += "://";
    if (!is_network()) return written + name;
    written += host.find(':') == std::string::npos ? host : "[" + host + "]";
    return written + ":" + (port == 0 ? "*" : std::to_string(port));
}

bool endpoint::is_loopback() const {
    if (!is_network() || host == "localhost" || host == "::1") return true;
    return is_ipv4(host) && host.starts_with("127.");
}

endpoint parse_endpoint(std::string_view text, purpose why, std::string_view operation) {
    return parser(text, why, named(operation, why)).parse();
}

std::vector<endpoint> resolve(const endpoint& where, purpose why, std::string_view operation) {
    if (!where.is_network() || is_numeric(where.host)) return {where};
    addrinfo hints{};
    hints.ai_family = AF_UNSPEC;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* list = nullptr;
    const int fault = getaddrinfo(where.host.c_str(), nullptr, &hints, &list);
    const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(list, &freeaddrinfo);

    std::vector<endpoint> found;
    if (fault == 0) {
        for (const addrinfo* entry = list; entry != nullptr; entry = entry->ai_next) {
            const std::optional<std::string> host = numeric_text(entry->ai_addr);
            if (!host) continue;
            endpoint numeric = where;
            numeric.host = *host;
            if (std::ranges::find(found, numeric) == found.end()) found.push_back(numeric);
        }
    }
    if (found.empty()) {
        std::string text{named(operation, why)};
        text += " " + where.text() + ": the host \"" + where.host + "\" is unknown";
        if (fault != 0) text += std::string(" (") + gai_strerror(fault) + ")";
        if (if_nametoindex(where.host.c_str()) != 0)
            text += "; it is a network interface: write one of its addresses";
        else
            text += "; check its spelling and the resolver";
        throw error(errc::host_unknown, text);
    }
    std::ranges::stable_partition(found, [](const endpoint& e) { return is_ipv4(e.host); });
    return found;
}

endpoint connectable(const endpoint& bound) {
    if (!bound.is_network() || (bound.host != "*" && bound.host != "0.0.0.0" && bound.host != "::"))
        return bound;
    ifaddrs* list = nullptr;
    if (getifaddrs(&list) != 0) list = nullptr;
    const std::unique_ptr<ifaddrs, decltype(&freeifaddrs)> owner(list, &freeifaddrs);

    std::vector<endpoint> found;
    for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
        if ((entry->ifa_flags & IFF_UP) == 0 || (entry->ifa_flags & IFF_LOOPBACK) != 0) continue;
        const std::optional<std::string> host = numeric_text(entry->ifa_addr);
        if (!host) continue;
        endpoint reachable = bound;
        reachable.host = *host;
        found.push_back(reachable);
    }
    const auto v4 = std::ranges::find_if(found, [](const endpoint& e) { return is_ipv4(e.host); });
    if (v4 != found.end()) return *v4;
    if (!found.empty() && bound.host != "0.0.0.0") return found.front();
    endpoint here = bound;
    here.host = bound.host == "::" ? "::1" : "127.0.0.1";
    return here;
}

void require_secure(const endpoint& where, bool has_keys, bool insecure) {
    if (has_keys || insecure || where.is_loopback()) return;
    throw error(errc::insecure_refused,
                "bind " + where.text() +
                    ": other machines can reach it and the node has no keys, so that strangers "
                    "could read this process's memory and send anything. Make keys with "
                    "`cairn::save_keys(cairn::generate_keys(), \"node.cert\")`, set "
                    "node_options.security.keys = cairn::load_keys(\"node.cert_secret\") and "
                    "security.allowed_keys to the peers' public keys; or bind tcp://127.0.0.1:" +
                    (where.port == 0 ? "*" : std::to_string(where.port)) +
                    "; or, in a network without strangers, set security.insecure = true");
}

}  // namespace cairn::runtime
