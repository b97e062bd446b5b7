#pragma once

#include <unistd.h>
#include <utility>

namespace cairn::runtime {

/// Owns a file descriptor.
class unique_fd {
public:
    explicit unique_fd(int descriptor) noexcept : descriptor_(descriptor) {}
    ~unique_fd() {
        if (descriptor_ >= 0) ::close(descriptor_);
    }
    unique_fd(const unique_fd&) = delete;
    unique_fd(unique_fd&& other) noexcept : descriptor_(other.release()) {}
    unique_fd& operator=(unique_fd&& other) noexcept {
        std::swap(descriptor_, other.descriptor_);
        return *this;
    }

    explicit operator bool() const noexcept { return descriptor_ >= 0; }
    int get() const noexcept { return descriptor_; }
    int release() noexcept { return std::exchange(descriptor_, -1); }

private:
    int descriptor_;
};

}  // namespace cairn::runtime
