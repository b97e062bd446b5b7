#pragma once

#include <chrono>
#include <optional>
#include <string_view>

namespace cairn::daemon {

/// Tells systemd, when it asks for it ($NOTIFY_SOCKET), how the service stands: sd_notify(3)
/// without its library.
///
/// Threads: one at a time.
/// Fails:   never; what cannot be told is not.
class supervisor {
public:
    supervisor();
    ~supervisor();
    supervisor(const supervisor&) = delete;
    supervisor& operator=(const supervisor&) = delete;

    /// For example "READY=1".
    void tell(std::string_view state) const noexcept;
    /// How often to say WATCHDOG=1; nothing: not asked for.
    std::optional<std::chrono::microseconds> watchdog() const noexcept { return watchdog_; }

private:
    int socket_ = -1;
    std::optional<std::chrono::microseconds> watchdog_;
};

}  // namespace cairn::daemon
