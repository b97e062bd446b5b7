#pragma once

#include <cairn/attributes.hpp>
#include <cairn/store/commands.hpp>
#include <cairn/wire/attributes.hpp>
#include <cairn/wire/frames.hpp>
#include <cairn/wire/records.hpp>

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

/// Values that tests make: batches, times, commands.
namespace cairn::test {

using body_bytes = std::vector<std::byte>;

inline wall_time at_ms(std::int64_t ms) { return wall_time(std::chrono::milliseconds(ms)); }

inline void add_record(body_bytes& body, std::string_view text, std::string_view key = {}) {
    body_bytes attributes;
    if (!key.empty()) {
        cairn::attributes a;
        a.key = key;
        (void)wire::encode(a, attributes);
    }
    const auto data = std::as_bytes(std::span(text.data(), text.size()));
    const std::size_t begin = body.size();
    body.resize(begin + wire::record_bytes(attributes.size(), data.size()));
    wire::write_record(body.data() + begin, attributes, data);
}

inline body_bytes records(const std::vector<std::string>& texts) {
    body_bytes body;
    for (const std::string& text : texts) add_record(body, text);
    return body;
}

inline store::append batch(const store::source_opened& source, epoch e, std::uint64_t first,
                           std::uint32_t count, body_bytes body, wall_time time = at_ms(5)) {
    const auto owned = std::make_shared<body_bytes>(std::move(body));
    store::append a;
    a.topic = source.topic;
    a.source = source.source;
    a.epoch = e;
    a.first = {first};
    a.count = count;
    a.time = time;
    a.checksum = wire::checksum(*owned);
    a.body = {*owned, owned};
    return a;
}

/// Texts of a batch's records.
inline std::vector<std::string> texts_of(std::span<const std::byte> body) {
    std::vector<std::string> all;
    for (wire::record_reader r(body); !r.done();) {
        const auto one = r.next();
        all.emplace_back(reinterpret_cast<const char*>(one.body.data()), one.body.size());
    }
    return all;
}

/// Small and quick to open: what tests use where the size does not matter.
inline store::options small_options() {
    store::options o;
    o.map_bytes = std::size_t{1} << 30;
    o.ballast_bytes = 0;
    return o;
}

}  // namespace cairn::test
