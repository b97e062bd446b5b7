#pragma once

#include <gtest/gtest.h>

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <chrono>
#include <cstring>
#include <string>

namespace cairn::test {

/// A supervisor's end of a notification socket.
class notified {
public:
    explicit notified(const std::string& path)
        : socket_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
        sockaddr_un at{};
        at.sun_family = AF_UNIX;
        std::memcpy(at.sun_path, path.data(), path.size());
        EXPECT_EQ(::bind(socket_, reinterpret_cast<const sockaddr*>(&at), sizeof at), 0);
    }
    ~notified() { ::close(socket_); }
    notified(const notified&) = delete;
    notified& operator=(const notified&) = delete;

    std::string next(std::chrono::milliseconds patience = std::chrono::seconds(30)) const {
        pollfd ready{socket_, POLLIN, 0};
        if (::poll(&ready, 1, static_cast<int>(patience.count())) != 1) return "nothing";
        char text[256];
        const ssize_t size = ::recv(socket_, text, sizeof text, 0);
        return size < 0 ? "nothing" : std::string(text, static_cast<std::size_t>(size));
    }

private:
    int socket_;
};

}  // namespace cairn::test
