#include <cairn/wire/attributes.hpp>
#include <cairn/wire/frames.hpp>
#include <cairn/wire/limits.hpp>
#include <cairn/wire/records.hpp>

#include <algorithm>

#include "fuzz_target.hpp"

using namespace cairn;
using test::require;

namespace {

void walk(std::span<const std::byte> body, std::uint32_t count) {
    if (wire::check_records(body, count) != errc::ok) return;
    wire::record_reader reader(body);
    std::vector<std::byte> again(body.size());
    std::byte* end = again.data();
    for (std::uint32_t n = 0; n < count; ++n) {
        require(!reader.done(), "approved records are as many as was said");
        require(wire::prefix_bytes(body, n) == body.size() - reader.remaining(),
                "a prefix ends where its last record does");
        const wire::record r = reader.next();
        require(r.attributes.size() <= wire::attributes_bytes_max, "attributes keep their limit");
        require(r.body.size() <= wire::body_bytes_max, "bodies keep their limit");
        static_cast<void>(wire::key_of(r.attributes));
        end = wire::write_record(end, r.attributes, r.body);
    }
    require(reader.done(), "approved records are no more than was said");
    require(std::ranges::equal(again, body), "records survive writing");
}

template <typename Header>
void check(const result<wire::decoded_header<Header>>& decoded, std::span<const std::byte> frame,
           result<wire::decoded_header<Header>> (*decode)(std::span<const std::byte>)) {
    if (!decoded) return;
    require(decoded->bytes <= frame.size() && decoded->bytes <= wire::header_bytes_max,
            "a header ends inside its frame");
    Header header = decoded->header;
    require(header.count >= 1 && header.first <= header.last(), "a batch is not empty");
    std::vector<std::byte> again;
    wire::encode(header, again);
    wire::patch_channel(again, ~header.channel);
    header.channel = ~header.channel;
    const auto twice = decode(again);
    require(twice.has_value() && twice->header == header, "a header survives encoding");
    walk(frame.subspan(decoded->bytes), header.count);
}

}  // namespace

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto frame = test::input(data, size);
    check<wire::batch_header>(wire::decode_batch(frame), frame,
                              [](auto bytes) { return wire::decode_batch(bytes); });
    check<wire::jobs_header>(wire::decode_jobs(frame), frame,
                             [](auto bytes) { return wire::decode_jobs(bytes); });
    check<wire::append_header>(wire::decode_append(frame), frame,
                               [](auto bytes) { return wire::decode_append(bytes); });
    if (!frame.empty()) walk(frame.subspan(1), static_cast<std::uint32_t>(frame.front()));
    return 0;
}
