#include "pushing.hpp"

#include "topics.hpp"

#include <algorithm>
#include <utility>

namespace cairn::patterns {

namespace {

/// The ranges of a verb frame; nullptr for other frames.
const wire::job_ranges* ranges_of(const wire::control_frame& frame) {
    return std::visit(
        [](const auto& f) -> const wire::job_ranges* {
            if constexpr (std::is_base_of_v<wire::job_ranges, std::decay_t<decltype(f)>>)
                return &f;
            else
                return nullptr;
        },
        frame);
}

// Stale ranges that are told of one verb.
constexpr std::size_t stale_ranges_max = 4 * wire::array_items_max;

/// In order and without overlaps, so that a verb costs once what it covers.
std::vector<sequence_range> united(std::vector<sequence_range> ranges) {
    std::sort(ranges.begin(), ranges.end(),
              [](const auto& a, const auto& b) { return a.first < b.first; });
    std::vector<sequence_range> all;
    for (const sequence_range& r : ranges) {
        if (r.empty()) continue;
        if (!all.empty() && r.first <= all.back().last)
            all.back().last = std::max(all.back().last, r.last);
        else
            all.push_back(r);
    }
    return all;
}

}  // namespace

pushing::pushing(runtime::hub& owner) : hub_(owner) {
    using wire::kind;
    for (const kind k : {kind::attach, kind::ack, kind::nack, kind::reject, kind::extend,
                         kind::release, kind::begun, kind::work_credit, kind::detach})
        hub_.serve(k, this);
    hub_.add(*this);
}

void pushing::add(workload& which) {
    workloads_.push_back(&which);
    for (const auto& [at, a] : attachments_) {
        if (a.topic != which.topic()) continue;
        which.attach(a);
        tell_pushers(a);
    }
    hub_.loop().changed();
}

void pushing::remove(workload& which) {
    std::erase(workloads_, &which);
    for (const auto& [at, a] : attachments_) {
        if (a.topic != which.topic()) continue;
        a.link.send(
            wire::end{a.channel, a.topic, which.source(), which.epoch(), which.inlet().last()});
        tell_pushers(a);
    }
}

std::uint64_t pushing::close_all(time_point until) {
    return close_each(hub_.loop(), workloads_, [&](workload& w) {
        w.inlet().stop(send_status::closed);
        w.flush(until);
        const runtime::loop::guard holding(hub_.loop());
        return w.unacked();
    });
}

errc pushing::frame(runtime::link& from, const wire::control_frame& frame) {
    if (const auto* request = std::get_if<wire::attach>(&frame)) return attach(from, *request);
    if (const wire::job_ranges* what = ranges_of(frame)) return verb(from, frame, *what);
    if (const auto* told = std::get_if<wire::work_credit>(&frame)) {
        const auto found = attachments_.find({from.number(), told->channel});
        if (found == attachments_.end()) return errc::ok;
        for (workload* w : workloads_)
            if (w->topic() == found->second.topic && w->source() == told->source &&
                w->epoch() == told->epoch)
                w->granted(found->second, {told->messages, told->bytes});
        return errc::ok;
    }
    if (const auto* left = std::get_if<wire::detach>(&frame)) {
        const auto found = attachments_.find({from.number(), left->channel});
        if (found == attachments_.end()) return errc::ok;
        end(found->second, protocol::departure::orderly);
        attachments_.erase(found);
        hub_.loop().changed();
    }
    return errc::ok;
}

void pushing::fenced(runtime::link& from, const wire::fenced& told) {
    if (!pulls(from, told.topic)) return;  // only a puller of the topic meets another run
    const auto meant = [&](const workload* w) {
        return w->topic() == told.topic && w->source() == told.source && w->epoch() < told.newer;
    };
    if (std::none_of(workloads_.begin(), workloads_.end(), meant)) return;
    // Who may stop a run must have the right to be the newer one.
    if (!hub_.gate().allows(from, told.topic, &rights::publish))
        return hub_.refuse(from, 0, errc::not_authorised,
                           "it says that a newer run exists on " + std::string(told.topic) +
                               ", where it may not publish");
    for (workload* w : std::vector(workloads_))
        if (meant(w)) w->fence(told.newer);
}

errc pushing::attach(runtime::link& from, const wire::attach& request) {
    if (!valid_topic(request.topic)) return errc::topic_invalid;
    if (!hub_.gate().allows(from, request.topic, &rights::consume)) return errc::not_authorised;
    const key at{from.number(), request.channel};
    if (attachments_.contains(at)) return errc::invalid_argument;
    const auto first = attachments_.lower_bound({from.number(), 0});
    const auto last = attachments_.lower_bound({from.number() + 1, 0});
    if (static_cast<std::size_t>(std::distance(first, last)) >=
        hub_.options().subscriptions_per_peer_max)
        return errc::limit_exceeded;
    const attachment& made = attachments_
                                 .emplace(at, attachment{from,
                                                         request.channel,
                                                         std::string(request.topic),
                                                         std::string(request.member),
                                                         {request.messages, request.bytes}})
                                 .first->second;
    for (workload* w : workloads_)
        if (w->topic() == made.topic) w->attach(made);
    tell_pushers(made);
    hub_.loop().changed();
    return errc::ok;
}

// Only a puller of the topic meets another run of its source.
bool pushing::pulls(const runtime::link& peer, std::string_view topic) const {
    const auto first = attachments_.lower_bound({peer.number(), 0});
    const auto end = attachments_.lower_bound({peer.number() + 1, 0});
    return std::any_of(first, end, [&](const auto& a) { return a.second.topic == topic; });
}

errc pushing::verb(runtime::link& from, const wire::control_frame& frame,
                   const wire::job_ranges& given) {
    const auto found = attachments_.find({from.number(), given.channel});
    if (found == attachments_.end()) return errc::unknown_subscription;
    wire::job_ranges what = given;
    what.ranges = united(std::move(what.ranges));
    std::vector<sequence_range> stale;
    const auto known = std::find_if(workloads_.begin(), workloads_.end(), [&](const workload* w) {
        return w->source() == what.source && w->epoch() == what.epoch &&
               w->topic() == found->second.topic;
    });
    if (known == workloads_.end())
        stale = what.ranges;  // the pusher is gone, and its leases with it
    else
        (*known)->follow(found->second, frame, what, hub_.loop().now(), stale);
    // A verb about everything, with messages done here and there, has very many stale pieces.
    if (stale.size() > stale_ranges_max) {
        hub_.log(log_level::warning, "stale",
                 from.description() + ": a verb had " + std::to_string(stale.size()) +
                     " stale ranges; the first " + std::to_string(stale_ranges_max) + " are told");
        stale.resize(stale_ranges_max);
    }
    for (std::size_t i = 0; i < stale.size(); i += wire::array_items_max) {
        wire::job_refused told;
        told.channel = what.channel;
        told.source = what.source;
        told.epoch = what.epoch;
        const auto begin = stale.begin() + static_cast<std::ptrdiff_t>(i);
        told.ranges.assign(begin, begin + static_cast<std::ptrdiff_t>(
                                              std::min(wire::array_items_max, stale.size() - i)));
        from.send(told);
    }
    return errc::ok;
}

void pushing::tell_pushers(const attachment& to) {
    const auto count = std::count_if(workloads_.begin(), workloads_.end(),
                                     [&](const workload* w) { return w->topic() == to.topic; });
    to.link.send(wire::attached{to.channel, static_cast<std::uint32_t>(count)});
}

void pushing::end(const attachment& which, protocol::departure how) {
    for (workload* w : workloads_) w->detach(which, how, hub_.loop().now());
}

void pushing::link_down(runtime::link& gone) {
    for (auto it = attachments_.lower_bound({gone.number(), 0});
         it != attachments_.end() && it->first.first == gone.number();) {
        end(it->second, protocol::departure::failed);
        it = attachments_.erase(it);
    }
    hub_.loop().changed();
}

void pushing::link_writable(runtime::link& free) {
    for (auto it = attachments_.lower_bound({free.number(), 0});
         it != attachments_.end() && it->first.first == free.number(); ++it)
        for (workload* w : workloads_)
            if (w->topic() == it->second.topic) w->may_go_on();
}

void pushing::node_closing() {
    for (workload* w : workloads_) w->inlet().stop(send_status::closed);
}

void pushing::add_stats(std::vector<handle_stats>& out) const {
    for (const workload* w : workloads_) out.push_back(w->stats());
}

}  // namespace cairn::patterns
