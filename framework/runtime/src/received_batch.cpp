#include <cairn/runtime/received_batch.hpp>

#include <cstring>

namespace cairn::runtime {

std::unique_ptr<received_batch> received_batch::make(zmq::message_t& frame1) {
    constexpr std::size_t copied_bytes_max = 4'096;
    const std::size_t size = frame1.size();
    const bool copied = size <= copied_bytes_max;
    std::unique_ptr<received_batch> made(new (copied ? size : 0) received_batch);
    if (copied) {
        auto* behind = reinterpret_cast<std::byte*>(made.get() + 1);
        std::memcpy(behind, frame1.data(), size);
        made->frame1_ = {behind, size};
    } else {
        made->large_.move(frame1);
        made->frame1_ = {static_cast<const std::byte*>(made->large_.data()), size};
    }
    return made;
}

}  // namespace cairn::runtime
