#include <cairn/puller.hpp>

#include "node_parts.hpp"
#include "receiving_side.hpp"
#include "sending_side.hpp"
#include "work_reader.hpp"

#include <cairn/error.hpp>
#include <cairn/runtime/received_batch.hpp>

#include <algorithm>
#include <exception>
#include <thread>
#include <utility>

namespace cairn {

namespace {

// PROTOCOL.md: what a pusher takes of NACK and EXTEND.
constexpr std::chrono::milliseconds verb_time_max = std::chrono::hours(24);

using batch_ptr = std::unique_ptr<runtime::received_batch>;

// With ack_mode::on_next a worker that is in the middle of a long batch says so after this time, so
// that what it has done is not done again if it dies.
constexpr std::chrono::milliseconds report_interval{50};
// The clock is looked at every so many messages, and at every message of a smaller batch.
constexpr std::uint32_t messages_a_look = 64;

}  // namespace

struct puller::impl {
    impl(node& owner, std::string_view topic, puller_options given)
        : hub(owner.internals().hub), options(std::move(given)) {
        hub.check_open("pull");
        if (!patterns::valid_topic(topic))
            throw error(errc::topic_invalid,
                        "pull from " + patterns::shown(topic) +
                            ": a topic has 1 to 255 bytes, no `*` and no control characters");
        if (options.credit_messages == 0 || options.credit_bytes == 0)
            throw error(errc::invalid_argument, "pull from " + patterns::shown(topic) +
                                                    ": credit must be at least 1 message and byte");
        if (options.prefetch < std::chrono::milliseconds::zero())
            throw error(errc::invalid_argument, "pull from " + patterns::shown(topic) +
                                                    ": prefetch must not be below zero");
        if (options.member.size() > wire::name_bytes_max)
            throw error(errc::too_large, "pull from " + patterns::shown(topic) +
                                             ": the member's name is longer than 255 bytes");
        const runtime::loop::guard holding(hub.loop());
        hub.check_open("pull");  // it may have been closed meanwhile
        reader = std::make_unique<patterns::work_reader>(hub, std::string(topic), options);
    }

    ~impl() {
        if (hub.forked()) {
            // Left as it is: it belongs to the parent.
            static_cast<void>(reader.release());
            if (thread.joinable()) thread.detach();
            return;
        }
        close();
        if (thread.joinable()) thread.join();
        const runtime::loop::guard holding(hub.loop());
        reader.reset();
    }

    void close() {
        if (hub.forked()) return;
        const runtime::loop::guard holding(hub.loop());
        reader->close();
        hub.loop().changed();
    }

    void take_in_hand(batch_ptr batch) {
        reader->open(*batch);
        current.open(std::move(batch));
        acked_to = current.next();
    }

    bool acks_itself() const noexcept { return options.acks == ack_mode::on_next; }

    /// For the user's own thread.
    std::optional<job> receive(std::optional<time_point> deadline) {
        if (serving) [[unlikely]]
            throw error(errc::invalid_argument,
                        "puller: after start() messages go to its handler; receive without "
                        "start(), or in the handler alone");
        return next(deadline);
    }

    std::optional<job> next(std::optional<time_point> deadline) {
        for (;;) {
            if (reader->inbox().closed() || hub.forked()) return std::nullopt;
            for (; !current.done(); static_cast<void>(current.take())) {
                if (reader->take(*current.get(), current.next())) return job_here();
                if (reader->inbox().closed()) return std::nullopt;
            }
            finish_batch();
            if (at != batches.size()) {
                take_in_hand(std::move(batches[at++]));
                continue;
            }
            batches.clear();
            at = 0;
            if (reader->inbox().take(batches)) continue;
            reader->asked();
            if (deadline && hub.loop().now() >= *deadline) return std::nullopt;
            hub.loop().wait(reader->inbox(), deadline, reader->inbox().filled());
        }
    }

    job job_here() {
        report_progress();
        const cairn::sequence sequence = current.next();
        const wire::record record = current.take();
        ++batch_messages;
        batch_bytes += record.attributes.size() + record.body.size();
        return {message(*current.get(), sequence, record.attributes, record.body),
                {reader->channel(), current.get()->stream, sequence, current.get()->delivery}};
    }

    // Taking the next message acks the one before; that is told in runs.
    void report_progress() {
        if (!acks_itself()) return;
        if (batch_messages % messages_a_look != 0 && current.get()->header.count > messages_a_look)
            return;
        const time_point now = hub.loop().now();
        if (now - last_report < report_interval) return;
        last_report = now;
        ack_to(current.next());
    }

    void ack_to(sequence end) {
        if (end <= acked_to) return;
        reader->apply({patterns::job_verb::kind::ack,
                       current.get()->stream,
                       {acked_to, end - 1},
                       {},
                       {},
                       current.get()->delivery});
        acked_to = end;
    }

    void finish_batch() {
        if (!current.get()) return;
        if (acks_itself()) {
            ack_to(current.next());
            last_report = hub.loop().now();
        }
        const batch_ptr finished = current.close();
        reader->messages.fetch_add(std::exchange(batch_messages, 0), std::memory_order_relaxed);
        reader->bytes.fetch_add(std::exchange(batch_bytes, 0), std::memory_order_relaxed);
        reader->pass(*finished);
    }

    bool apply(patterns::job_verb::kind what, job_id id, duration time = {},
               std::string_view reason = {}) {
        if (hub.forked() || id.attachment != reader->channel()) return false;
        const std::uint64_t held =
            reader->apply({what,
                           id.stream,
                           {id.sequence, id.sequence},
                           time,
                           std::string(reason.substr(0, wire::text_bytes_max)),
                           id.delivery});
        if (held == 0) reader->too_late.fetch_add(1, std::memory_order_relaxed);
        return held != 0;
    }

    void serve(const std::function<void(const job&)>& handler) {
        while (const auto j = next(std::nullopt)) {
            try {
                handler(*j);
            } catch (const std::exception& e) {
                apply(patterns::job_verb::kind::reject, j->id(), {}, e.what());
            } catch (...) {
                apply(patterns::job_verb::kind::reject, j->id(), {}, "the handler failed");
            }
        }
    }

    runtime::hub& hub;
    const puller_options options;
    std::unique_ptr<patterns::work_reader> reader;
    std::vector<batch_ptr> batches;  // taken from the inbox, up to `at` given out
    std::size_t at = 0;
    patterns::open_batch current;
    sequence acked_to;  // with ack_mode::on_next: all of the open batch before it are acked
    time_point last_report{};
    std::uint64_t batch_messages = 0;
    std::uint64_t batch_bytes = 0;
    bool serving = false;
    std::thread thread;
};

std::uint32_t job::attempt() const noexcept { return batch_->header.attempt; }

puller::puller(node& owner, std::string_view topic, puller_options options)
    : impl_(std::make_unique<impl>(owner, topic, std::move(options))) {}

puller::~puller() = default;
puller::puller(puller&&) noexcept = default;
puller& puller::operator=(puller&&) noexcept = default;

std::optional<job> puller::receive() { return impl_->receive(std::nullopt); }

std::optional<job> puller::receive_for(std::chrono::milliseconds patience) {
    return impl_->receive(patterns::later(impl_->hub.loop().now(), patience));
}

std::optional<job> puller::try_receive() { return impl_->receive(time_point{}); }

void puller::start(std::function<void(const job&)> handler) {
    if (impl_->serving) throw error(errc::invalid_argument, "puller: start() was called before");
    if (!handler) throw error(errc::invalid_argument, "puller: start() needs a handler");
    impl_->serving = true;
    impl_->thread =
        std::thread([i = impl_.get(), handler = std::move(handler)] { i->serve(handler); });
}

int puller::file_descriptor() { return impl_->reader->inbox().descriptor(); }

bool puller::ack(job_id id) { return impl_->apply(patterns::job_verb::kind::ack, id); }

bool puller::nack(job_id id, std::chrono::milliseconds delay) {
    return impl_->apply(patterns::job_verb::kind::nack, id,
                        std::clamp(delay, std::chrono::milliseconds(0), verb_time_max));
}

bool puller::reject(job_id id, std::string_view reason) {
    return impl_->apply(patterns::job_verb::kind::reject, id, {}, reason);
}

bool puller::extend(job_id id, std::chrono::milliseconds ack_wait) {
    if (ack_wait <= std::chrono::milliseconds(0))
        throw error(errc::invalid_argument,
                    "extend: ack_wait must be above zero; release() gives a job to another");
    return impl_->apply(patterns::job_verb::kind::extend, id, std::min(ack_wait, verb_time_max));
}

bool puller::release(job_id id) { return impl_->apply(patterns::job_verb::kind::release, id); }

std::size_t puller::attached() const {
    const runtime::loop::guard holding(impl_->hub.loop());
    return impl_->reader->attached();
}

bool puller::wait_attached(std::size_t pushers, std::chrono::milliseconds deadline) {
    if (impl_->hub.forked()) return false;
    runtime::loop& loop = impl_->hub.loop();
    loop.wait_until(patterns::later(loop.now(), deadline),
                    [&] { return closed() || impl_->reader->attached() >= pushers; });
    return !closed() && attached() >= pushers;
}

bool puller::closed() const noexcept { return impl_->reader->inbox().closed(); }

handle_stats puller::stats() const {
    const runtime::loop::guard holding(impl_->hub.loop());
    return impl_->reader->stats();
}

void puller::close() { impl_->close(); }

}  // namespace cairn
