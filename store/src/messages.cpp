#include <cairn/store/messages.hpp>
#include <cairn/wire/attributes.hpp>
#include <cairn/wire/frames.hpp>
#include <cairn/wire/limits.hpp>
#include <cairn/wire/records.hpp>

#include <memory>
#include <string>
#include <utility>

namespace cairn::store {

void batch_builder::add(std::string_view body, const attributes& with) {
    add(std::as_bytes(std::span(body.data(), body.size())), with);
}

void batch_builder::add(std::span<const std::byte> body, const attributes& with) {
    const auto refuse = [](errc why, const std::string& what) {
        throw error(why, "add a message to a batch: " + what);
    };
    std::vector<std::byte> map;
    if (const errc wrong = wire::encode(with, map); wrong != errc::ok)
        refuse(wrong, "its attributes are beyond their limits");
    if (body.size() > wire::body_bytes_max)
        refuse(errc::too_large, "its body has " + std::to_string(body.size()) + " bytes, above " +
                                    std::to_string(wire::body_bytes_max));
    if (messages_ == wire::batch_messages_max)
        refuse(errc::limit_exceeded, "the batch has as many as it may; append it first");
    const std::size_t begin = body_.size();
    const std::size_t size = wire::record_bytes(map.size(), body.size());
    if (size > wire::batch_bytes_max - begin)
        refuse(errc::too_large, "the batch has room for no more; append it first");
    body_.resize(begin + size);
    wire::write_record(body_.data() + begin, map, body);
    ++messages_;
}

append batch_builder::take(const source_opened& to, epoch run, sequence first, wall_time time) {
    const auto owned = std::make_shared<const std::vector<std::byte>>(std::exchange(body_, {}));
    append made;
    made.topic = to.topic;
    made.source = to.source;
    made.epoch = run;
    made.first = first;
    made.count = std::exchange(messages_, 0);
    made.time = time;
    made.checksum = wire::checksum(*owned);
    made.body = {*owned, owned};
    return made;
}

std::vector<stored_message> messages_of(const entry& read) {
    std::vector<stored_message> all;
    if (read.what != entry::kind::batch) return all;
    for (wire::record_reader records(read.body); !records.done();) {
        const wire::record one = records.next();
        // What a store takes was checked: it decodes.
        auto attributes = wire::decode_attributes(one.attributes);
        const std::uint64_t at = all.size();
        all.push_back({read.offsets.first + at, read.sequences.first + at,
                       attributes ? std::move(*attributes) : cairn::attributes{}, one.body});
    }
    return all;
}

}  // namespace cairn::store
