#pragma once

#include <cairn/attributes.hpp>
#include <cairn/store/commands.hpp>
#include <cairn/store/ids.hpp>
#include <cairn/store/reader.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

/// Messages as a program has them, to the records that append carries and entry has.
namespace cairn::store {

/// Messages that are to be stored together, in the form of append::body.
///
/// Owns:    their bytes, until take() gives them away.
/// Threads: one at a time.
/// Fails:   add() throws error, and adds nothing: too_large (the body, its key, content type or
///          attributes, or all together), limit_exceeded (headers, or messages).
/// Limits:  a body 64 MiB, attributes as there; in all 64 MiB and 64 KiB, with 4 bytes a message
///          and its attributes; 1,048,576 messages.
class batch_builder {
public:
    void add(std::span<const std::byte> body, const attributes& with = {});
    void add(std::string_view body, const attributes& with = {});

    std::uint32_t messages() const noexcept { return messages_; }
    std::size_t bytes() const noexcept { return body_.size(); }

    /// The command that appends them, and owns their bytes: `first` is the sequence of the first,
    /// published at `time`. Leaves an empty batch.
    /// Requires: messages() != 0, or the command is refused.
    append take(const source_opened& to, epoch run, sequence first, wall_time time);

private:
    std::vector<std::byte> body_;
    std::uint32_t messages_ = 0;
};

/// One message that a reader read.
struct stored_message {
    store::offset offset;
    cairn::sequence sequence;
    cairn::attributes attributes;
    std::span<const std::byte> body;  ///< in the reader's buffer

    /// The body's bytes as characters.
    std::string_view text() const noexcept {
        return {reinterpret_cast<const char*>(body.data()), body.size()};
    }
};

/// The messages of a batch that reader::read() returned; none of another kind of entry.
std::vector<stored_message> messages_of(const entry& read);

}  // namespace cairn::store
