#pragma once

#include "stranger.hpp"

#include <cairn/error.hpp>
#include <cairn/ids.hpp>
#include <cairn/wire/store_frames.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace cairn::test {

/// Bodies of the messages `first` to `first + count - 1`, as records: "m1", "m2" …
std::string records_from(std::uint64_t first, std::uint32_t count);

/// A publisher or reader of a store that speaks the wire itself.
///
/// Threads: one at a time.
class party {
public:
    explicit party(const std::string& endpoint);
    party(const std::string& endpoint, const key_pair& keys, const std::string& server_key);

    stranger& raw() noexcept { return raw_; }

    // --- Publishing: one source on one channel ---

    /// OPEN_SOURCE, and its answer; nothing when it is refused.
    std::optional<wire::source_opened> open(wire::channel channel, std::string_view topic,
                                            std::string_view source, std::uint64_t run);
    void append(wire::channel channel, std::uint64_t first, std::uint32_t count);
    /// With a body and checksum of the test's own.
    void append(wire::channel channel, std::uint64_t first, std::uint32_t count,
                std::string_view body, bool right_checksum = true);
    void lose(wire::channel channel, std::uint64_t first, std::uint64_t last);
    /// Waits for CONFIRM of all up to there.
    bool confirmed(std::uint64_t up_to);
    /// Waits until what was said has arrived; confirms that come meanwhile count.
    bool taken();
    /// Open, append one batch, and wait for its confirm.
    bool store(std::string_view topic, std::string_view source, std::uint64_t run,
               std::uint64_t first, std::uint32_t count);

    // --- Reading: one subscription ---

    void subscribe(std::string_view pattern, std::uint64_t credit,
                   std::vector<wire::resume_point> resume = {},
                   wire::start from = wire::start::earliest);
    /// Reads on until so many messages and gaps came, or for ten seconds: "run:first-last", and
    /// "gone …" with the cause; one entry a run of consecutive messages.
    std::vector<std::string> read(std::uint64_t messages);
    /// Heads as they come: "run:first_held-last>next".
    std::string next_head(std::string_view source);
    bool head_becomes(std::string_view source, std::string_view head);

    std::optional<wire::group_attached> attach(wire::channel channel, std::string_view topic,
                                               std::string_view group,
                                               wire::place from = wire::place::first,
                                               std::uint64_t value = 0);
    void ack(wire::channel channel, std::string_view source, std::uint64_t run,
             std::vector<sequence_range> ranges);
    /// Waits for ACKED of so many frames.
    bool acked(std::uint64_t frames);
    /// "source run:next" of each source.
    std::string locate(std::string_view topic, wire::place from, std::uint64_t value = 0);

    static std::string points(const std::vector<wire::source_point>& all);
    static std::string done(const std::vector<wire::done_range>& all);

private:
    struct opened {
        wire::channel channel = 0;
        std::string topic;
        std::string source;
        std::uint64_t run = 0;
    };
    const opened& find(wire::channel channel) const;

    stranger raw_;
    std::vector<opened> opened_;
    wire::channel next_channel_ = 100;
    std::uint64_t up_to_ = 0;
};

}  // namespace cairn::test
