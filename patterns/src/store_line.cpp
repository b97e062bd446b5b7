#include "store_line.hpp"

#include <cairn/error.hpp>
#include <cairn/wire/records.hpp>

#include <algorithm>
#include <utility>

namespace cairn::patterns {

namespace {

// How soon a source that the store did not open is opened again.
constexpr std::chrono::milliseconds reopen_pause{1'000};
// How soon after a failed write to the spill the next is tried.
constexpr std::chrono::milliseconds spill_again_pause{1'000};
// Of the ring, so much goes to the spill at once.
constexpr std::size_t spilled_part = 4;

std::string name_of(epoch run, sequence_range range) {
    return "of run " + std::to_string(run.value) + " messages " +
           std::to_string(range.first.value) + " to " + std::to_string(range.last.value);
}

std::string put_aside(const runtime::spill::part& of) {
    return name_of(of.epoch, of.range) + " had been put aside";
}

}  // namespace

store_line::store_line(runtime::hub& hub, owner of, std::string endpoint, std::string topic,
                       epoch run, const publisher_options& options,
                       protocol::ring<batch_handle>& ring)
    : hub_(hub),
      owner_(std::move(of)),
      endpoint_(std::move(endpoint)),
      topic_(std::move(topic)),
      source_(options.source),
      epoch_(run),
      mode_(*options.delivery),
      on_durable_(options.on_durable),
      on_lost_(options.on_lost),
      feed_(ring, mode_, options.when_full, options.ring_bytes_max, hub.loop().now()),
      spills_(options.when_full == full_ring::spill),
      spill_some_bytes_(options.ring_bytes_max / spilled_part),
      spill_bytes_max_(options.spill_bytes_max) {
    const std::filesystem::path& state = hub_.options().state_directory;
    // What an earlier run put aside is owed whatever this one does when its ring is full.
    if (!spills_ && !runtime::spill::exists(state, topic_, source_)) return;
    spill_ = std::make_unique<runtime::spill>(state, topic_, source_, [this] {
        hub_.loop().flag(*this);
        hub_.loop().wake();
    });
    for (const runtime::spill::part& r : spill_->runs()) {
        if (r.epoch >= epoch_) continue;
        debts_.push_back(std::make_unique<debt>(r, options, hub_.loop().now()));
        log(log_level::info, put_aside(r) + "; they are stored first");
    }
}

store_line::~store_line() {
    spill_.reset();
    if (link_ && channel_ != 0) link_->send(wire::close_source{channel_});
    close_channel();
    hub_.remove(*this);
    hub_.loop().remove(*this);
}

void store_line::log(log_level level, std::string_view text) {
    hub_.log(level, "store",
             "store " + endpoint_ + ", publisher " + source_ + " on " + topic_ + ": " +
                 std::string(text));
}

// --- Publishing -------------------------------------------------------------------------------

store_line::admission store_line::admit(std::size_t bytes, time_point now) {
    const feed::answer may = feed_.admit(bytes, now);
    const bool spills = may.what == feed::room::spill && spill_some(now);
    admission out;
    out.admitted = may.what == feed::room::yes;
    out.wait_until = may.what == feed::room::wait ? may.until : time_point::max();
    out.refuse = may.what == feed::room::full;
    const bool owes = !out.admitted && !spills && out.wait_until == time_point::max();
    if (owes && !std::exchange(told_full_, true))
        log(log_level::warning,
            "the ring is full of what the store does not have; options.when_full decides");
    if (out.admitted && feed_.debt(now).bytes == 0) told_full_ = false;
    return out;
}

bool store_line::over() const noexcept {
    return feed_.standing() == feed::state::fenced || feed_.standing() == feed::state::conflict;
}

void store_line::pump(time_point now) {
    if (put_all_aside_ && !unspilled_.empty()) static_cast<void>(spill_some(now));
    if (answered_ && active().paused_until() > now) hub_.loop().at(*this, active().paused_until());
    while (link_ && answered_ && !blocked_) {
        const feed::step what = active().next(now);
        if (what.what == feed::step::kind::nothing || !append(what, now)) return;
    }
}

bool store_line::append(const feed::step& what, time_point now) {
    if (what.what == feed::step::kind::lost) {
        lose(what.range, errc::lost, "nothing here holds them any more", now);
        return true;
    }
    if (what.what == feed::step::kind::spilled) return append_spilled(what, now);
    published_batch& batch = **what.batch;
    if (batch.body_bytes() <= link_->peer_body_bytes_max())
        return sent(batch.append(*link_, channel_), batch.body_bytes(), what.range.last, now);
    const cut part = cut_of(batch.body(), batch.first(), what.range.first);
    if (!part.taken) return lose_too_large(part.range, now);
    const auto header = header_of(part.range, batch.time());
    return sent(batch.send_part(*link_, channel_, wire::kind::append, header, part.records),
                part.records.size(), part.range.last, now);
}

bool store_line::sent(runtime::link::sent outcome, std::size_t body_bytes, sequence last,
                      time_point now) {
    blocked_ = outcome != runtime::link::sent::yes;
    if (!blocked_) active().sent(body_bytes, now, last);
    return !blocked_;
}

bool store_line::append_spilled(const feed::step& what, time_point now) {
    sequence resumes;
    auto batch = spill_->read(active_epoch(), what.range.first, resumes);
    if (!batch) {
        sequence_range unreadable = what.range;
        unreadable.last = std::min(unreadable.last, resumes - 1);
        lose(unreadable, errc::lost, "what was put aside cannot be read again", now);
        return true;
    }
    const auto body = batch->body();
    if (body.size() <= link_->peer_body_bytes_max()) {
        wire::patch_kind(batch->head, wire::kind::append);
        return sent(link_->send_batch({batch->head.data(), batch->header_bytes}, channel_,
                                      batch->block, body),
                    body.size(), std::min(batch->last, what.range.last), now);
    }
    const cut part = cut_of(body, batch->first, what.range.first);
    if (!part.taken) return lose_too_large(part.range, now);
    return sent(published_batch::send_records(*link_, channel_, wire::kind::append,
                                              header_of(part.range, batch->time), batch->block,
                                              part.records),
                part.records.size(), part.range.last, now);
}

cut store_line::cut_of(std::span<const std::byte> body, sequence first, sequence from) const {
    return next_cut(body, first, std::max(first, from), link_->peer_body_bytes_max());
}

wire::batch_header store_line::header_of(sequence_range range, wall_time time) const {
    return {.channel = 0,
            .topic = topic_,
            .source = source_,
            .epoch = active_epoch(),
            .first = range.first,
            .count = static_cast<std::uint32_t>(range.size()),
            .time = time,
            .durable = 0,
            .checksum = 0};
}

bool store_line::lose_too_large(sequence_range range, time_point now) {
    lose(range, errc::too_large,
         "their bodies are above the store's body_bytes_max, " +
             std::to_string(link_->peer_body_bytes_max()) + " bytes",
         now);
    return true;
}

void store_line::lose(sequence_range range, errc cause, std::string_view why, time_point now) {
    link_->send(wire::lost{channel_, range, errc::lost});
    active().told_lost(range.last, now);
    note_lost(active_epoch(), range, cause, why);
}

void store_line::note_lost(epoch run, sequence_range range, errc cause, std::string_view why) {
    lost_messages_ += range.size();
    log(log_level::error, name_of(run, range) + " will never be stored: " + std::string(why));
    if (on_lost_) on_lost_(run, range, cause);
}

// --- The spill --------------------------------------------------------------------------------

// False when it cannot: then the ring waits as with full_ring::block.
bool store_line::spill_some(time_point now) {
    while (!unspilled_.empty() && unspilled_.front().last() <= safe()) unspilled_.pop_front();
    if (spill_->writing()) return true;
    const batch_handle* oldest = feed_.oldest();
    if (!oldest || unspilled_.empty() || unspilled_.front().first() != oldest->first() ||
        !feed_.can_spill())
        return false;
    if (now < spill_again_at_) {
        hub_.loop().at(*this, spill_again_at_);
        return false;
    }
    std::vector<runtime::spill::batch> some;
    std::size_t bytes = 0;
    for (const batch_handle& b : unspilled_) {
        if (!some.empty() && bytes + b.bytes() > spill_some_bytes_) break;
        bytes += b.bytes();
        some.push_back(b->put_aside());
    }
    if (spill_->bytes() + bytes > spill_bytes_max_) return false;
    spill_->write(epoch_, std::move(some));
    return true;
}

void store_line::spill_outcome(time_point now) {
    if (!spill_) return;
    const auto told = spill_->take_outcome();
    if (!told) return;
    if (!told->failure.empty()) {
        log(log_level::error, "cannot put messages aside: " + told->failure +
                                  "; it is tried again, and publishing waits");
        spill_again_at_ = now + spill_again_pause;
        hub_.loop().at(*this, spill_again_at_);
        return;
    }
    // What became durable meanwhile is owed no more.
    for (const batch_handle* b = feed_.oldest();
         b != nullptr && b->last() <= told->range.last && feed_.can_spill(); b = feed_.oldest())
        feed_.spilled(now);
    drop_spilled();
    hub_.loop().changed();
}

void store_line::drop_spilled() {
    if (!spill_) return;
    const auto held = active().in_spill();
    const sequence done = held ? held->first - 1 : active().durable();
    spill_->drop(active_epoch(), done);
    while (!unspilled_.empty() && unspilled_.front().last() <= safe()) unspilled_.pop_front();
}

sequence store_line::safe() const noexcept {
    const auto held = feed_.in_spill();
    return held && held->first <= feed_.stored() + 1 ? std::max(held->last, feed_.stored())
                                                     : feed_.stored();
}

void store_line::end_debt(log_level level, std::string_view how) {
    log(level, put_aside(debts_.front()->run) + "; " + std::string(how));
    if (link_ && channel_ != 0) link_->send(wire::close_source{channel_});
    close_channel();
    debts_.pop_front();
    if (link_) open(hub_.loop().now());
}

// What opens next fences it.
void store_line::lose_debt(errc cause, std::string_view why, std::string_view how) {
    const debt& of = *debts_.front();
    note_lost(of.run.epoch, of.owed.in_spill().value_or(of.run.range), cause, why);
    end_debt(log_level::warning, how);
}

// --- The link ---------------------------------------------------------------------------------

void store_line::link_up(runtime::link& peer) {
    if (link_ || !peer.is_store(endpoint_)) return;
    link_ = &peer;
    blocked_ = false;
    open(hub_.loop().now());
}

void store_line::link_down(runtime::link& peer) {
    if (link_ != &peer) return;
    link_ = nullptr;
    reopen_at_ = runtime::loop::never;
    close_channel();
    active().link_lost();
    if (!over()) refusal_ = errc::ok;  // who knows what it says when it is back
    hub_.loop().changed();
}

void store_line::link_writable(runtime::link& peer) {
    if (link_ != &peer) return;
    blocked_ = false;
    hub_.loop().flag(owner_.publication);
}

void store_line::stop() noexcept { link_ = nullptr; }

void store_line::open(time_point) {
    if (over()) return;
    channel_ = hub_.open_channel(*this);
    link_->send(wire::open_source{channel_, topic_, source_, active_epoch()});
}

void store_line::close_channel() {
    answered_ = false;
    if (channel_ != 0) hub_.close_channel(std::exchange(channel_, 0));
}

void store_line::run(time_point now) {
    spill_outcome(now);
    if (link_ && now >= reopen_at_) {
        reopen_at_ = runtime::loop::never;
        open(now);
    }
    hub_.loop().flag(owner_.publication);
}

// --- Frames -----------------------------------------------------------------------------------

errc store_line::frame(runtime::link& from, const wire::control_frame& frame) {
    if (&from != link_) return errc::ok;
    const time_point now = hub_.loop().now();
    if (const auto* told = std::get_if<wire::source_opened>(&frame)) {
        if (told->channel != channel_ || answered_) return errc::ok;
        opened(*told, now);
    } else if (const auto* done = std::get_if<wire::confirm>(&frame)) {
        if (done->channel != channel_) return errc::ok;
        if (done->level == wire::durability::written) {
            if (!active().written(done->granted)) return errc::ok;
        } else {
            if (!active().confirmed(done->up_to, done->granted, now)) return errc::ok;
            note_durable();
        }
    } else if (const auto* no = std::get_if<wire::append_refused>(&frame)) {
        if (no->channel == channel_) refused(no->code, no->next, now);
    } else if (const auto* wrong = std::get_if<wire::error_reply>(&frame)) {
        if (wrong->channel != channel_ || answered_) return errc::ok;
        log(log_level::error, (wrong->code == errc::not_supported
                                   ? std::string("the peer there is no store; check the endpoint")
                                   : "it does not open the source: " + std::string(wrong->text)));
        close_channel();
        tell_refusal(wrong->code);
        reopen_at_ = now + reopen_pause;
        hub_.loop().at(*this, reopen_at_);
    }
    hub_.loop().flag(owner_.publication);
    return errc::ok;
}

void store_line::opened(const wire::source_opened& told, time_point now) {
    answered_ = true;
    if (!debts_.empty() && told.last >= debts_.front()->run.range.last) {
        spill_->drop(active_epoch(), told.last);
        return end_debt(log_level::info, "the store has them");
    }
    active().opened(told.generation, told.last, told.granted, now);
    if (active().generation_changed())
        log(log_level::warning,
            "it was replaced by another one; what is still held here is sent again");
    if (over())
        log(log_level::error,
            "it has messages of this run that were never published; nothing is stored any more");
    tell_refusal(feed_.why());
    note_durable();
    hub_.loop().changed();
}

void store_line::refused(errc code, sequence next, time_point now) {
    if (code == errc::topic_unknown) {
        log(log_level::warning, "the topic was deleted there; it is made anew");
        link_->send(wire::close_source{channel_});
        close_channel();
        active().link_lost();
        reopen_at_ = now + reopen_pause;
        hub_.loop().at(*this, reopen_at_);
        return;
    }
    active().refused(code, next, now);
    note_stored();
    if (debts_.empty()) refused_ = next;
    if (!debts_.empty() && active().standing() == feed::state::conflict)
        return lose_debt(code, "the store refuses them for good: " + std::string(describe(code)),
                         "their files stay until the next run");
    if (over())
        log(log_level::error, "it refuses message " + std::to_string(next.value) + " for good: " +
                                  std::string(describe(code)) + "; nothing is stored any more");
    else if (code != errc::hole)
        log(log_level::warning, "it refuses message " + std::to_string(next.value) +
                                    " for now: " + std::string(describe(code)));
    if (over() || code != errc::hole) tell_refusal(over() ? feed_.why() : code);
    hub_.loop().changed();
}

void store_line::fenced(runtime::link& from, const wire::fenced& told) {
    if (&from != link_ || told.topic != topic_ || told.source != source_) return;
    if (told.newer <= epoch_) {
        if (debts_.empty() || told.newer <= active_epoch()) return;
        spill_->drop(active_epoch(), debts_.front()->run.range.last);
        return lose_debt(errc::fenced, "a newer run was stored before they could be",
                         "they are owed no more");
    }
    feed_.fenced();
    owner_.fence(told.newer);
}

// Once for each reason in a row, ok among them.
void store_line::tell_refusal(errc why) {
    if (std::exchange(refusal_, why) == why || why == errc::ok) return;
    if (over()) unspilled_.clear();
    owner_.refused(why, over());
}

// What is lost first: whoever sees what is stored must see that too.
bool store_line::note_stored() {
    const std::uint64_t now_stored = feed_.stored().value;
    lost_.store(feed_.lost(), std::memory_order_release);
    return stored_.exchange(now_stored, std::memory_order_acq_rel) != now_stored;
}

void store_line::note_durable() {
    if (note_stored()) hub_.loop().changed();
    drop_spilled();
    if (!debts_.empty()) {
        if (!active().in_spill()) end_debt(log_level::info, "the store has them now");
        return;
    }
    const std::uint64_t now_durable = feed_.durable().value;
    if (now_durable == durable_.load(std::memory_order_relaxed)) return;
    durable_.store(now_durable, std::memory_order_release);
    // What came before it may be confirmed after it was refused.
    if (now_durable >= refused_.value) refusal_ = feed_.why();
    if (on_durable_) on_durable_({now_durable});
    hub_.loop().changed();
}

void store_line::add_stats(handle_stats& to, sequence accepted, time_point now) {
    const protocol::store_debt owed = feed_.debt(now);
    to.durable = durable().value;
    to.owed_messages = accepted.value - std::min(accepted.value, feed_.stored().value);
    for (const auto& d : debts_)
        if (const auto held = d->owed.in_spill()) to.owed_messages += held->size();
    if (spill_) to.spilled_bytes = spill_->bytes();
    to.owed_bytes = owed.bytes;
    to.owed_age = owed.age;
    to.lost_to_store = lost_messages_;
    to.store_refusal = refusal_;
    to.store_refuses_for_good = feed_.standing() == feed::state::conflict;
}

}  // namespace cairn::patterns
