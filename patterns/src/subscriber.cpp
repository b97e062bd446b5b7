#include <cairn/subscriber.hpp>

#include "node_parts.hpp"
#include "receiving_side.hpp"
#include "sending_side.hpp"
#include "subscription_reader.hpp"

#include <cairn/error.hpp>

#include <algorithm>
#include <thread>
#include <utility>

namespace cairn {

struct subscriber::impl {
    impl(node& owner, std::string_view pattern, subscriber_options given)
        : hub(owner.internals().hub), options(std::move(given)) {
        hub.check_open("subscribe");
        if (!patterns::valid_pattern(pattern))
            throw error(
                errc::topic_invalid,
                "subscribe to " + std::string(pattern) +
                    ": a pattern is a topic of 1 to 255 bytes without control characters, or "
                    "the beginning of topics followed by one `*`");
        if (options.credit_bytes == 0)
            throw error(errc::invalid_argument, "subscribe: credit_bytes must be at least 1");
        const runtime::loop::guard holding(hub.loop());
        reader =
            std::make_unique<patterns::subscription_reader>(hub, std::string(pattern), options);
        for (const resume_from& r : options.from.positions)
            note(reader->number_of(r), r.topic, r.next.source, r.next.epoch, r.next.sequence);
    }

    ~impl() {
        if (hub.forked()) {
            // Left as it is: it belongs to the parent.
            static_cast<void>(reader.release());
            return;
        }
        close();
        if (thread.joinable()) thread.join();
        const runtime::loop::guard holding(hub.loop());
        reader.reset();
    }

    void close() {
        const runtime::loop::guard holding(hub.loop());
        reader->close();
    }

    /// Moves to the next message or notice. Nothing: the deadline passed, or closed.
    std::optional<event> next(std::optional<time_point> deadline) {
        for (;;) {
            if (reader->inbox().closed()) return drop_waiting();
            if (!current.done()) return message_here();
            finish_batch();
            if (at != items.size()) {
                patterns::subscriber_item item = std::move(items[at++]);
                if (item.notice) return announce(item.stream, *item.notice);
                current.open(std::move(item.batch));
                continue;
            }
            items.clear();
            at = 0;
            if (hub.forked()) return std::nullopt;
            if (reader->inbox().take(items)) continue;
            if (deadline && hub.loop().now() >= *deadline) return std::nullopt;
            hub.loop().wait(reader->inbox(), deadline, reader->inbox().filled());
        }
    }

    /// The same, with notices called back.
    std::optional<message> next_message(std::optional<time_point> deadline) {
        // The way of nearly every call: the next record of the batch in hand.
        if (!current.done() && !reader->inbox().closed()) return message_here();
        while (auto e = next(deadline)) {
            if (auto* m = std::get_if<message>(&*e)) return *m;
            if (auto* g = std::get_if<gap>(&*e)) {
                if (options.on_gap)
                    options.on_gap(*g);
                else
                    hub.log(log_level::warning, "gap",
                            "gap on " + g->topic + " from " + g->source + ": sequences " +
                                std::to_string(g->range.first.value) + " to " +
                                std::to_string(g->range.last.value) + " are lost");
            } else if (options.on_restart) {
                options.on_restart(std::get<restart>(*e));
            }
        }
        return std::nullopt;
    }

    message message_here() {
        const auto [sequence, record] = current.take();
        ++batch_messages;
        batch_bytes += record.attributes.size() + record.body.size();
        return {*current.get(), sequence, record.attributes, record.body};
    }

    void finish_batch() {
        if (const auto batch = close_batch()) reader->taken(*batch);
    }

    // Its position is that of the next message, should it not be at its end.
    std::unique_ptr<runtime::received_batch> close_batch() {
        if (!current.get()) return nullptr;
        const wire::batch_header& h = current.get()->header;
        note(current.get()->stream, h.topic, h.source, h.epoch, current.next());
        reader->messages.fetch_add(std::exchange(batch_messages, 0), std::memory_order_relaxed);
        reader->bytes.fetch_add(std::exchange(batch_bytes, 0), std::memory_order_relaxed);
        return current.close();
    }

    /// After close().
    std::nullopt_t drop_waiting() {
        std::uint64_t dropped = 0;
        const sequence given_to = current.next();
        if (const auto batch = close_batch()) dropped += batch->header.last() + 1 - given_to;
        do {
            for (; at != items.size(); ++at)
                if (const auto& batch = items[at].batch)
                    dropped += batch->header.count - batch->skip;
            items.clear();
            at = 0;
        } while (reader->inbox().take(items));
        reader->dropped.fetch_add(dropped, std::memory_order_relaxed);
        return std::nullopt;
    }

    event announce(std::uint32_t stream, const std::variant<gap, restart>& notice) {
        if (const auto* g = std::get_if<gap>(&notice)) {
            note(stream, g->topic, g->source, g->epoch, g->range.last + 1);
            return *g;
        }
        const auto& r = std::get<restart>(notice);
        note(stream, r.topic, r.source, r.now, sequence{1});
        return r;
    }

    void note(std::uint32_t stream, std::string_view topic, std::string_view source,
              cairn::epoch epoch, sequence next) {
        if (stream >= positions.size()) positions.resize(stream + 1);
        resume_from& r = positions[stream];
        if (r.topic.empty()) {
            r.topic = topic;
            r.next.source = source;
        }
        r.next.epoch = epoch;
        r.next.sequence = next;
    }

    runtime::hub& hub;
    const subscriber_options options;
    std::unique_ptr<patterns::subscription_reader> reader;
    std::vector<patterns::subscriber_item> items;  // taken from the inbox, up to `at` given out
    std::size_t at = 0;
    patterns::open_batch current;
    std::uint64_t batch_messages = 0;
    std::uint64_t batch_bytes = 0;
    std::vector<resume_from> positions;  // by the reader's stream number; no topic: not begun
    std::thread thread;
};

subscriber::subscriber(node& owner, std::string_view pattern, subscriber_options options)
    : impl_(std::make_unique<impl>(owner, pattern, std::move(options))) {}

subscriber::~subscriber() = default;
subscriber::subscriber(subscriber&&) noexcept = default;
subscriber& subscriber::operator=(subscriber&&) noexcept = default;

std::optional<message> subscriber::receive() { return impl_->next_message(std::nullopt); }

std::optional<message> subscriber::receive_for(std::chrono::milliseconds patience) {
    return impl_->next_message(patterns::later(impl_->hub.loop().now(), patience));
}

std::optional<message> subscriber::try_receive() { return impl_->next_message(time_point{}); }

std::optional<event> subscriber::next_event(std::chrono::milliseconds patience) {
    return impl_->next(patterns::later(impl_->hub.loop().now(), patience));
}

void subscriber::start(std::function<void(const message&)> handler) {
    if (impl_->thread.joinable())
        throw error(errc::invalid_argument, "subscriber: start() was called before");
    impl_->thread = std::thread([this_impl = impl_.get(), handler = std::move(handler)] {
        while (const auto m = this_impl->next_message(std::nullopt)) handler(*m);
    });
}

int subscriber::file_descriptor() { return impl_->reader->inbox().descriptor(); }

std::size_t subscriber::attached() const {
    const runtime::loop::guard holding(impl_->hub.loop());
    return impl_->reader->attached();
}

bool subscriber::wait_attached(std::size_t publishers, std::chrono::milliseconds deadline) {
    runtime::loop& loop = impl_->hub.loop();
    return loop.wait_until(patterns::later(loop.now(), deadline),
                           [&] { return impl_->reader->attached() >= publishers; });
}

std::vector<resume_from> subscriber::positions() const {
    // The batch in hand is noted when it is finished; of it the messages given out so far count.
    if (const auto* batch = impl_->current.get()) {
        const wire::batch_header& h = batch->header;
        impl_->note(batch->stream, h.topic, h.source, h.epoch, impl_->current.next());
    }
    std::vector<resume_from> all;
    for (const resume_from& p : impl_->positions)
        if (!p.topic.empty()) all.push_back(p);
    return all;
}

bool subscriber::closed() const noexcept { return impl_->reader->inbox().closed(); }

handle_stats subscriber::stats() const {
    const runtime::loop::guard holding(impl_->hub.loop());
    return impl_->reader->stats();
}

void subscriber::close() { impl_->close(); }

}  // namespace cairn
