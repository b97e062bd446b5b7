#include <cairn/subscriber.hpp>

#include "node_parts.hpp"
#include "reading_side.hpp"
#include "sending_side.hpp"

#include <cairn/error.hpp>
#include <cairn/wire/limits.hpp>

#include <thread>
#include <utility>

namespace cairn {

struct subscriber::impl {
    impl(node& owner, std::string_view pattern, subscriber_options options)
        : side(owner.internals().hub, "subscribe to", pattern, std::move(options)) {}

    ~impl() {
        if (side.hub().forked()) {
            // Left as it is: it belongs to the parent.
            if (thread.joinable()) thread.detach();
            return;
        }
        side.close();
        if (thread.joinable()) thread.join();
    }

    patterns::subscription_reader& reader() noexcept { return side.reader(); }
    runtime::loop& loop() noexcept { return side.hub().loop(); }

    void ack(std::string_view source, cairn::epoch epoch, sequence_range range) {
        if (side.hub().forked() || !reader().in_group() || range.empty()) return;
        if (source.empty() || source.size() > wire::source_bytes_max) return;  // nobody's
        if (reader().acks().put(source, epoch, range)) reader().acks_came();
    }

    /// For the user's own thread.
    patterns::reading_side& own() {
        if (serving) [[unlikely]]
            throw error(errc::invalid_argument,
                        "subscriber: after start() messages go to its handler; receive without "
                        "start(), or in the handler alone");
        return side;
    }

    patterns::reading_side side;
    bool serving = false;
    std::thread thread;
};

subscriber::subscriber(node& owner, std::string_view pattern, subscriber_options options)
    : impl_(std::make_unique<impl>(owner, pattern, std::move(options))) {}

subscriber::~subscriber() = default;
subscriber::subscriber(subscriber&&) noexcept = default;
subscriber& subscriber::operator=(subscriber&&) noexcept = default;

std::optional<message> subscriber::receive() { return impl_->own().next_message(std::nullopt); }

std::optional<message> subscriber::receive_for(std::chrono::milliseconds patience) {
    return impl_->own().next_message(patterns::later(impl_->loop().now(), patience));
}

std::optional<message> subscriber::try_receive() { return impl_->own().next_message(time_point{}); }

std::optional<event> subscriber::next_event(std::chrono::milliseconds patience) {
    return impl_->own().next(patterns::later(impl_->loop().now(), patience));
}

void subscriber::start(std::function<void(const message&)> handler) {
    if (impl_->serving)
        throw error(errc::invalid_argument, "subscriber: start() was called before");
    if (!handler) throw error(errc::invalid_argument, "subscriber: start() needs a handler");
    impl_->serving = true;
    impl_->thread = std::thread([side = &impl_->side, handler = std::move(handler)] {
        while (const auto m = side->next_message(std::nullopt)) handler(*m);
    });
}

int subscriber::file_descriptor() { return impl_->reader().inbox().descriptor(); }

std::size_t subscriber::attached() const {
    const runtime::loop::guard holding(impl_->loop());
    return impl_->reader().attached();
}

bool subscriber::wait_attached(std::size_t publishers, std::chrono::milliseconds deadline) {
    if (impl_->side.hub().forked()) return false;
    runtime::loop& loop = impl_->loop();
    loop.wait_until(patterns::later(loop.now(), deadline),
                    [&] { return closed() || impl_->reader().attached() >= publishers; });
    return !closed() && attached() >= publishers;
}

void subscriber::ack(const message& done) {
    impl_->ack(done.source(), done.epoch(), {done.sequence(), done.sequence()});
}

void subscriber::ack(const position& first, sequence last) {
    impl_->ack(first.source, first.epoch, {first.sequence, last});
}

std::uint64_t subscriber::flush(std::chrono::milliseconds deadline) {
    if (impl_->side.hub().forked()) return 0;
    runtime::loop& loop = impl_->loop();
    std::uint64_t waiting = 0;
    loop.wait_until(patterns::later(loop.now(), deadline), [&] {
        waiting = impl_->reader().flush_acks();
        return waiting == 0 || impl_->reader().inbox().closed();
    });
    return waiting;
}

reading subscriber::state() const {
    const runtime::loop::guard holding(impl_->loop());
    return impl_->reader().state();
}

bool subscriber::wait_live(std::chrono::milliseconds deadline) {
    if (impl_->side.hub().forked()) return false;
    runtime::loop& loop = impl_->loop();
    const auto live = [&] { return impl_->reader().state().state == reading::state::live; };
    bool reached = false;
    loop.wait_until(patterns::later(loop.now(), deadline),
                    [&] { return (reached = live()) || closed(); });
    return reached;
}

std::vector<resume_from> subscriber::positions() const { return impl_->side.positions(); }

bool subscriber::closed() const noexcept { return impl_->reader().inbox().closed(); }

handle_stats subscriber::stats() const {
    const runtime::loop::guard holding(impl_->loop());
    return impl_->reader().stats();
}

void subscriber::close() { impl_->side.close(); }

std::uint64_t subscriber::close(std::chrono::milliseconds deadline) {
    const std::uint64_t waiting = closed() ? 0 : flush(deadline);
    close();
    return waiting;
}

}  // namespace cairn
