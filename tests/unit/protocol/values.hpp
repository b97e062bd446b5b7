#pragma once

#include <cairn/ids.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <ostream>

namespace cairn {

inline std::ostream& operator<<(std::ostream& out, sequence s) { return out << '#' << s.value; }
inline std::ostream& operator<<(std::ostream& out, epoch e) { return out << "epoch " << e.value; }
inline std::ostream& operator<<(std::ostream& out, sequence_range r) {
    return out << r.first << ".." << r.last;
}

}  // namespace cairn

namespace cairn::test {

using namespace std::chrono_literals;

constexpr time_point at(duration since_start) { return time_point(1h) + since_start; }
constexpr sequence seq(std::uint64_t n) { return {n}; }
constexpr sequence_range range(std::uint64_t first, std::uint64_t last) {
    return {{first}, {last}};
}
constexpr sequence_range only(std::uint64_t s) { return range(s, s); }

/// More messages, or bytes, than a test comes near.
constexpr std::uint64_t many = 1'000'000;

/// A batch as the ring sees it.
struct plain_batch {
    cairn::sequence first_;
    cairn::sequence last_;
    std::size_t bytes_ = 0;

    sequence first() const { return first_; }
    sequence last() const { return last_; }
    std::size_t bytes() const { return bytes_; }
};

}  // namespace cairn::test
