#pragma once

#include <cairn/runtime/loop.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace cairn::patterns {

/// Lets node::close() on one thread wait for a handle that its owner destroys on another.
///
/// Threads: as its functions say.
class in_use {
public:
    explicit in_use(runtime::loop& loop) : loop_(loop) {}

    /// Who uses it gives up what it waits for. Loop.
    bool ending() const noexcept { return ending_; }
    /// Returns when nobody uses it any more. Not in a turn of the loop.
    void end() {
        {
            const runtime::loop::guard holding(loop_);
            ending_ = true;
            if (users_ == 0) return;
            loop_.changed();
        }
        loop_.wait_until(time_point::max(), [this] { return users_ == 0; });
    }

    /// Keeps one handle from being destroyed, if it is still among `handles`. Not in a turn of the
    /// loop.
    template <typename Handle>
    class hold {
    public:
        hold(runtime::loop& loop, const std::vector<Handle*>& handles, Handle* wanted)
            : loop_(loop) {
            const runtime::loop::guard holding(loop_);
            const bool there = std::find(handles.begin(), handles.end(), wanted) != handles.end();
            if (!there || wanted->users().ending_) return;
            of_ = wanted;
            ++of_->users().users_;
        }
        ~hold() {
            if (!of_) return;
            const runtime::loop::guard holding(loop_);
            --of_->users().users_;
            loop_.changed();
        }
        hold(const hold&) = delete;
        hold& operator=(const hold&) = delete;
        explicit operator bool() const noexcept { return of_ != nullptr; }

    private:
        runtime::loop& loop_;
        Handle* of_ = nullptr;
    };

private:
    runtime::loop& loop_;
    std::size_t users_ = 0;
    bool ending_ = false;
};

/// Closes all handles that there are now, one by one, each by `close(handle)`; returns the sum of
/// what that returns. One that is destroyed meanwhile counts nothing. Not in a turn of the loop.
template <typename Handle, typename Close>
std::uint64_t close_each(runtime::loop& loop, const std::vector<Handle*>& handles, Close&& close) {
    std::vector<Handle*> all;
    {
        const runtime::loop::guard holding(loop);
        all = handles;
    }
    std::uint64_t left = 0;
    for (Handle* h : all)
        if (const in_use::hold<Handle> held(loop, handles, h); held) left += close(*h);
    return left;
}

}  // namespace cairn::patterns
