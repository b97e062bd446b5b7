#include <cairn/runtime/block.hpp>

#include <array>
#include <cstdlib>
#include <mutex>
#include <new>
#include <vector>

namespace cairn::runtime {

namespace {

constexpr std::array<std::size_t, 3> class_bytes{std::size_t{16} << 10, std::size_t{64} << 10,
                                                 (std::size_t{256} << 10) + 64};
constexpr std::uint32_t no_class = class_bytes.size();
constexpr std::size_t kept_bytes_max = std::size_t{64} << 20;

struct pool {
    std::mutex mutex;
    std::array<std::vector<void*>, class_bytes.size()> free;
    std::size_t kept_bytes = 0;
};

// Never destroyed: ZeroMQ's threads may free the last message after main returned.
pool& the_pool() {
    static pool& instance = *new pool;
    return instance;
}

std::uint32_t class_of(std::size_t capacity) noexcept {
    if (capacity * 2 <= class_bytes[0]) return no_class;  // small ones: malloc does it well
    for (std::uint32_t c = 0; c != no_class; ++c)
        if (capacity <= class_bytes[c]) return c;
    return no_class;
}

}  // namespace

block_ref block_ref::make(std::size_t capacity) {
    const std::uint32_t size_class = class_of(capacity);
    void* memory = nullptr;
    if (size_class != no_class) {
        capacity = class_bytes[size_class];
        pool& p = the_pool();
        const std::lock_guard lock(p.mutex);
        if (auto& list = p.free[size_class]; !list.empty()) {
            memory = list.back();
            list.pop_back();
            p.kept_bytes -= capacity;
        }
    }
    if (!memory) memory = std::malloc(sizeof(header) + capacity);
    if (!memory) throw std::bad_alloc();
    block_ref made;
    made.block_ = new (memory) header{1, size_class, capacity};
    return made;
}

void block_ref::release(header* block) noexcept {
    if (block->size_class != no_class) {
        pool& p = the_pool();
        const std::lock_guard lock(p.mutex);
        auto& list = p.free[block->size_class];
        if (list.capacity() == 0) list.reserve(kept_bytes_max / class_bytes[block->size_class]);
        if (p.kept_bytes + block->capacity <= kept_bytes_max && list.size() < list.capacity()) {
            p.kept_bytes += block->capacity;
            list.push_back(block);
            return;
        }
    }
    std::free(block);
}

}  // namespace cairn::runtime
