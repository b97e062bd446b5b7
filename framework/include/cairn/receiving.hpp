#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <utility>

namespace cairn {

/// When a message counts as done.
enum class ack_mode : std::uint8_t {
    on_next,     ///< taking the next message acks the one before; close() acks nothing
    on_request,  ///< ack() and its like for each message
};

/// Input iterator over handle.receive(): dereferencing gives the current item, which is valid until
/// the next increment; the end is reached when receive() returns nothing.
template <typename Handle>
class receive_iterator {
public:
    using item = typename decltype(std::declval<Handle&>().receive())::value_type;
    using iterator_concept = std::input_iterator_tag;
    using difference_type = std::ptrdiff_t;
    using value_type = item;

    explicit receive_iterator(Handle& handle) : handle_(&handle), item_(handle.receive()) {}

    const item& operator*() const noexcept { return *item_; }
    const item* operator->() const noexcept { return &*item_; }
    receive_iterator& operator++() {
        item_ = handle_->receive();
        return *this;
    }
    void operator++(int) { ++*this; }
    friend bool operator==(const receive_iterator& it, std::default_sentinel_t) noexcept {
        return !it.item_.has_value();
    }

private:
    Handle* handle_;
    std::optional<item> item_;
};

}  // namespace cairn
