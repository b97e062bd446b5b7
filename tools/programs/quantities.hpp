#pragma once

#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <string>

namespace cairn::programs {

/// A value that nobody can use. The text says what would be right.
struct usage_error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

/// What people write, as values; each throws usage_error. All fit into a signed 64-bit number.
std::uint64_t bytes_of(const std::string& text);             ///< 512MiB, 20GB, 4096
std::chrono::milliseconds span_of(const std::string& text);  ///< 100ms, 30s, 7d, 0
std::uint64_t count_of(const std::string& text);             ///< 1000
bool truth_of(const std::string& text);                      ///< true, yes, 1, false, no, 0

/// A span in its largest whole unit: 7d.
std::string shown_span(std::chrono::milliseconds span);

}  // namespace cairn::programs
