#include "support/raw_peer.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace cairn::test {

namespace {

using std::chrono::steady_clock;

bool readable(int descriptor, steady_clock::time_point end) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(end - steady_clock::now());
    pollfd wanted{descriptor, POLLIN, 0};
    return left.count() > 0 && poll(&wanted, 1, static_cast<int>(left.count())) > 0;
}

}  // namespace

raw_peer::raw_peer(std::uint16_t port)
    : descriptor_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (descriptor_ >= 0 &&
        ::connect(descriptor_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0)
        return;
    const int fault = errno;
    if (descriptor_ >= 0) ::close(descriptor_);
    throw std::system_error(fault, std::generic_category(), "connect a raw peer");
}

raw_peer::~raw_peer() { ::close(descriptor_); }

void raw_peer::send(std::string_view bytes) {
    // The other side may have hung up already; closed_within() tells.
    while (!bytes.empty()) {
        const ssize_t sent = ::send(descriptor_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (sent <= 0) return;
        bytes.remove_prefix(static_cast<std::size_t>(sent));
    }
}

bool raw_peer::closed_within(std::chrono::milliseconds deadline) {
    const auto end = steady_clock::now() + deadline;
    char away[4'096];
    while (readable(descriptor_, end))
        if (::recv(descriptor_, away, sizeof away, 0) <= 0) return true;
    return false;
}

std::string raw_peer::read(std::size_t bytes, std::chrono::milliseconds deadline) {
    const auto end = steady_clock::now() + deadline;
    std::string got(bytes, '\0');
    std::size_t size = 0;
    while (size < bytes && readable(descriptor_, end)) {
        const ssize_t part = ::recv(descriptor_, got.data() + size, bytes - size, 0);
        if (part <= 0) break;
        size += static_cast<std::size_t>(part);
    }
    got.resize(size);
    return got;
}

bool raw_peer::greet_as_dealer() {
    using namespace std::string_view_literals;
    const std::chrono::seconds deadline(5);
    send(null_greeting());
    if (read(64, deadline).size() != 64) return false;
    const std::string_view ready =
        "\x05READY\x0bSocket-Type\x00\x00\x00\x06"
        "DEALER"sv;
    send("\x04" + std::string(1, static_cast<char>(ready.size())) + std::string(ready));
    const std::string head = read(2, deadline);
    if (head.size() != 2 || head[0] != 4) return false;
    const auto size = static_cast<std::size_t>(static_cast<unsigned char>(head[1]));
    return read(size, deadline).size() == size;
}

std::string null_greeting() {
    std::string greeting(64, '\0');
    greeting[0] = static_cast<char>(0xff);
    greeting[9] = 0x7f;
    greeting[10] = 3;  // version 3.0
    greeting.replace(12, 4, "NULL");
    return greeting;
}

}  // namespace cairn::test
