#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace cairn::protocol {

/// A binary heap of pointers whose elements know their place in it (the member `Slot`), so that any
/// of them can be moved or taken out. top() is the element before which no other comes.
///
/// Owns:    nothing; elements outlive their stay.
/// Limits:  2^32 - 2 elements. O(log n); pushing what comes after all others is O(1).
template <typename T, std::uint32_t T::*Slot, typename Before>
class indexed_heap {
public:
    static constexpr std::uint32_t nowhere = UINT32_MAX;

    bool empty() const { return items_.empty(); }
    std::size_t size() const { return items_.size(); }
    T* top() const { return items_.front(); }
    static bool holds(const T& item) { return item.*Slot != nowhere; }

    /// Requires: not held.
    void push(T& item) {
        items_.push_back(&item);
        place(items_.size() - 1, &item);
        rise(items_.size() - 1);
    }

    /// Does nothing when it is not held.
    void erase(T& item) {
        if (!holds(item)) return;
        const std::size_t hole = item.*Slot;
        item.*Slot = nowhere;
        T* const filler = items_.back();
        items_.pop_back();
        if (filler == &item) return;
        place(hole, filler);
        update(*filler);
    }

    /// Moves an element whose order has changed.
    void update(T& item) {
        rise(item.*Slot);
        sink(item.*Slot);
    }

private:
    void place(std::size_t slot, T* item) {
        items_[slot] = item;
        item->*Slot = static_cast<std::uint32_t>(slot);
    }

    void rise(std::size_t slot) {
        T* const item = items_[slot];
        while (slot > 0 && Before{}(*item, *items_[(slot - 1) / 2])) {
            place(slot, items_[(slot - 1) / 2]);
            slot = (slot - 1) / 2;
        }
        place(slot, item);
    }

    void sink(std::size_t slot) {
        T* const item = items_[slot];
        for (;;) {
            std::size_t child = 2 * slot + 1;
            if (child >= items_.size()) break;
            if (child + 1 < items_.size() && Before{}(*items_[child + 1], *items_[child])) ++child;
            if (!Before{}(*items_[child], *item)) break;
            place(slot, items_[child]);
            slot = child;
        }
        place(slot, item);
    }

    std::vector<T*> items_;
};

}  // namespace cairn::protocol
