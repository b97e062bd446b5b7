#pragma once

#include <cstddef>

namespace cairn::runtime {

/// The process's soft limit of open descriptors, now.
std::size_t descriptor_limit() noexcept;

/// How many descriptors the process has open, now: all that it may have when it cannot be told.
/// Costs some 0.1 ms for each 1,000.
std::size_t open_descriptors() noexcept;

/// Says when a listening socket has to stop accepting: at its node's peers_max, and before the
/// process runs out of file descriptors, where libzmq's I/O thread would spin at 100 %.
///
/// The limits have a hysteresis, so that listeners are not bound and unbound for each connection:
///   stop    count >= stop_at = min(peers_max + spare, 80 % of (descriptor limit - reserved))
///   resume  count <= resume_at = stop_at - max(1, stop_at / 8)
/// With no more than `last` descriptors left nobody is accepted, whatever the count.
/// `spare` connections above peers_max are accepted to be told too_many_peers in words.
///
/// Threads: a value.
class connection_guard {
public:
    static constexpr std::size_t reserved = 64;  ///< for the process: files, sockets of libzmq
    static constexpr std::size_t spare = 16;
    static constexpr std::size_t last = 8;

    /// `already_open`: descriptors that the process has open beside our connections.
    connection_guard(std::size_t peers_max, std::size_t limit = descriptor_limit(),
                     std::size_t already_open = 0) noexcept;

    /// What the process has open beside our connections, and may have in all, changes.
    void update_process(std::size_t limit, std::size_t already_open) noexcept;
    /// The same, as it is now: connections of other nodes and files of the program count.
    void look_at_process() noexcept;
    /// How many connections there are now: accept_watch::connections().
    void update(std::size_t connections) noexcept { count_ = connections; }

    std::size_t count() const noexcept { return count_; }
    std::size_t stop_at() const noexcept { return stop_at_; }
    std::size_t resume_at() const noexcept { return resume_at_; }

    bool must_stop() const noexcept { return count_ >= stop_at_; }
    bool may_resume() const noexcept { return count_ <= resume_at_ && !must_stop(); }

    /// True when the descriptor limit, not peers_max, is what stops us: the log should say so.
    bool limited_by_descriptors() const noexcept { return by_descriptors_; }

private:
    std::size_t peers_max_;
    std::size_t count_ = 0;
    std::size_t stop_at_;
    std::size_t resume_at_;
    bool by_descriptors_;
};

}  // namespace cairn::runtime
