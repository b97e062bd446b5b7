#include <cairn/replay.hpp>

#include "node_parts.hpp"
#include "reading_side.hpp"
#include "sending_side.hpp"

#include <cairn/error.hpp>

#include <utility>

namespace cairn {

namespace {

subscriber_options reading_options(std::string_view topic, replay_options options) {
    if (options.from.where == from::place::live)
        throw error(errc::invalid_argument,
                    "replay " + patterns::shown(topic) +
                        ": it ends where it begins; use another start than from::live()");
    subscriber_options out;
    out.from = std::move(options.from);
    out.store = std::move(options.store);
    out.credit_bytes = options.credit_bytes;
    out.on_gap = std::move(options.on_gap);
    out.history_wait = subscriber_options::forever;
    return out;
}

patterns::replay_end end_of(const until& where) {
    switch (where.where) {
        case until::place::now:
            return {wire::place::end, 0};
        case until::place::offset:
            return {wire::place::offset, where.value};
        case until::place::time:
            return {wire::place::time, where.value};
    }
    return {};
}

}  // namespace

struct replay::impl {
    impl(node& owner, std::string_view topic, replay_options options)
        : side(owner.internals().hub, "replay", topic, reading_options(topic, std::move(options)),
               end_of(options.until)) {}

    patterns::reading_side side;
};

replay::replay(node& owner, std::string_view topic, replay_options options)
    : impl_(std::make_unique<impl>(owner, topic, std::move(options))) {}

replay::~replay() = default;
replay::replay(replay&&) noexcept = default;
replay& replay::operator=(replay&&) noexcept = default;

std::optional<message> replay::receive() { return impl_->side.next_message(std::nullopt); }

std::optional<message> replay::receive_for(std::chrono::milliseconds patience) {
    return impl_->side.next_message(patterns::later(impl_->side.hub().loop().now(), patience));
}

std::optional<event> replay::next_event(std::chrono::milliseconds patience) {
    return impl_->side.next(patterns::later(impl_->side.hub().loop().now(), patience));
}

bool replay::finished() const noexcept { return impl_->side.at_end(); }

errc replay::failure() const noexcept { return impl_->side.failure(); }

handle_stats replay::stats() const {
    const runtime::loop::guard holding(impl_->side.hub().loop());
    return impl_->side.reader().stats();
}

void replay::close() { impl_->side.close(); }

}  // namespace cairn
