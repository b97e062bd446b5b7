#pragma once

#include "output.hpp"

#include <cairn/subscriber.hpp>

#include <cstdint>
#include <string>

namespace cairn::tools {

/// How messages are shown.
struct event_format {
    bool json = false;
    bool raw = false;  ///< bodies alone, as they are, when the output is no terminal
};

/// Writes what comes out of a subscriber or a replay. Messages go to standard output; notices too
/// with JSON, otherwise to standard error.
///
/// Threads: one at a time.
/// Fails:   as printer.
/// Limits:  flushes by itself above 256 KiB.
class event_writer {
public:
    explicit event_writer(event_format format);

    void write(const event& what);
    /// Messages at these offsets went by retention, acks or a trim.
    void trimmed(const std::string& topic, std::uint64_t first, std::uint64_t last);
    bool waits() const noexcept { return out_.waiting() != 0; }
    void flush() { out_.flush(); }

private:
    void write(const message& m);
    void write(const gap& g);
    void write(const restart& r);
    void write(const orphaned& o);
    void note(const json& object, const std::string& words);

    event_format format_;
    printer out_;
};

}  // namespace cairn::tools
