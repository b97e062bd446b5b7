#include <cairn/message.hpp>
#include <cairn/runtime/received_batch.hpp>
#include <cairn/wire/attributes.hpp>

namespace cairn {

std::string_view message::topic() const noexcept { return batch_->header.topic; }
std::string_view message::source() const noexcept { return batch_->header.source; }
epoch message::epoch() const noexcept { return batch_->header.epoch; }
wall_time message::time() const noexcept { return batch_->header.time; }

position message::position() const {
    return {std::string(source()), batch_->header.epoch, sequence_};
}

std::string_view message::key() const noexcept {
    return attributes_.empty() ? std::string_view() : wire::key_of(attributes_);
}

attributes message::attributes() const {
    if (attributes_.empty()) return {};
    auto decoded = wire::decode_attributes(attributes_);
    // Batches are checked when they arrive; what is checked there decodes here.
    return decoded ? std::move(*decoded) : cairn::attributes{};
}

owned_message message::copy() const {
    return {std::string(topic()),
            position(),
            time(),
            attributes(),
            std::vector<std::byte>(body_.begin(), body_.end()),
            batch_->header.attempt};
}

}  // namespace cairn
