#pragma once

#include <unistd.h>

namespace cairn::runtime {

/// Owns a file descriptor.
class unique_fd {
public:
    explicit unique_fd(int descriptor) noexcept : descriptor_(descriptor) {}
    ~unique_fd() {
        if (descriptor_ >= 0) ::close(descriptor_);
    }
    unique_fd(const unique_fd&) = delete;
    unique_fd& operator=(const unique_fd&) = delete;

    explicit operator bool() const noexcept { return descriptor_ >= 0; }
    int get() const noexcept { return descriptor_; }

private:
    int descriptor_;
};

}  // namespace cairn::runtime
