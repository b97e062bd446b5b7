#pragma once

#include <cairn/ids.hpp>
#include <cairn/runtime/received_batch.hpp>
#include <cairn/wire/limits.hpp>
#include <cairn/wire/records.hpp>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

/// What subscribers and pullers have in common on the user's side.
namespace cairn::patterns {

/// The batch that the user is in: gives its messages one by one.
///
/// Threads: one at a time.
class open_batch {
public:
    bool done() const noexcept { return records_.done(); }
    const runtime::received_batch* get() const noexcept { return batch_.get(); }

    void open(std::unique_ptr<runtime::received_batch> batch) {
        batch_ = std::move(batch);
        records_ = wire::record_reader(batch_->body);
        next_ = batch_->header.first;
        for (std::uint32_t i = 0; i != batch_->skip; ++i) {
            static_cast<void>(records_.next());
            ++next_;
        }
    }

    /// Requires: !done().
    std::pair<sequence, wire::record> take() noexcept {
        const sequence given = next_;
        ++next_;
        return {given, records_.next()};
    }

    /// The sequence that take() gives next.
    sequence next() const noexcept { return next_; }

    std::unique_ptr<runtime::received_batch> close() noexcept {
        records_ = {};
        return std::move(batch_);
    }

private:
    std::unique_ptr<runtime::received_batch> batch_;
    wire::record_reader records_;
    sequence next_;
};

/// Bytes that a batch costs of its reader's credit.
inline std::uint64_t charge_of(const runtime::received_batch& batch) noexcept {
    return batch.body.size() + wire::batch_charge_bytes;
}

/// Key of a stream in maps.
inline std::string stream_key(std::string_view topic, std::string_view source) {
    std::string key;
    key.reserve(topic.size() + source.size() + 1);
    return key.append(topic).append(1, '\0').append(source);
}

}  // namespace cairn::patterns
