#include "party.hpp"

#include <cairn/wire/records.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <span>
#include <stdexcept>

namespace cairn::test {

using wire::kind;
using namespace std::chrono_literals;

std::string records_from(std::uint64_t first, std::uint32_t count) {
    std::string all;
    for (std::uint64_t n = first; n != first + count; ++n) {
        const std::string body = "m" + std::to_string(n);
        std::vector<std::byte> record(wire::record_bytes(0, body.size()));
        wire::write_record(record.data(), {}, std::as_bytes(std::span(body)));
        all.append(reinterpret_cast<const char*>(record.data()), record.size());
    }
    return all;
}

party::party(const std::string& endpoint) : raw_(endpoint) {
    if (!raw_.greet()) throw std::runtime_error("the store did not greet");
}

party::party(const std::string& endpoint, const key_pair& keys, const std::string& server_key)
    : raw_(endpoint, keys, server_key) {
    if (!raw_.greet()) throw std::runtime_error("the store did not greet");
}

const party::opened& party::find(wire::channel channel) const {
    return *std::find_if(opened_.begin(), opened_.end(),
                         [&](const opened& o) { return o.channel == channel; });
}

std::optional<wire::source_opened> party::open(wire::channel channel, std::string_view topic,
                                               std::string_view source, std::uint64_t run) {
    opened_.push_back({channel, std::string(topic), std::string(source), run});
    raw_.say(wire::open_source{channel, topic, source, epoch{run}});
    up_to_ = 0;
    const auto answer = raw_.hear_any({kind::source_opened, kind::fenced, kind::error});
    if (!answer || !std::holds_alternative<wire::source_opened>(*answer)) return std::nullopt;
    return std::get<wire::source_opened>(*answer);
}

void party::append(wire::channel channel, std::uint64_t first, std::uint32_t count) {
    append(channel, first, count, records_from(first, count));
}

void party::append(wire::channel channel, std::uint64_t first, std::uint32_t count,
                   std::string_view body, bool right_checksum) {
    const opened& o = find(channel);
    wire::append_header header;
    header.channel = channel;
    header.topic = o.topic;
    header.source = o.source;
    header.epoch = epoch{o.run};
    header.first = sequence{first};
    header.count = count;
    header.checksum = wire::checksum(std::as_bytes(std::span(body))) + (right_checksum ? 0 : 1);
    std::vector<std::byte> out;
    wire::encode(header, out);
    raw_.say(
        {std::string(reinterpret_cast<const char*>(out.data()), out.size()) + std::string(body)});
}

void party::lose(wire::channel channel, std::uint64_t first, std::uint64_t last) {
    raw_.say(wire::lost{channel, {{first}, {last}}, errc::lost});
}

bool party::confirmed(std::uint64_t up_to) {
    while (up_to_ < up_to) {
        const auto told = raw_.hear<wire::confirm>(kind::confirm);
        if (!told) return false;
        up_to_ = told->up_to.value;
    }
    return true;
}

bool party::taken() {
    raw_.say(wire::ping{});
    const auto told = raw_.hear_any({kind::pong, kind::confirm});
    if (!told) return false;
    if (const auto* c = std::get_if<wire::confirm>(&*told)) up_to_ = c->up_to.value;
    return true;
}

bool party::store(std::string_view topic, std::string_view source, std::uint64_t run,
                  std::uint64_t first, std::uint32_t count) {
    const wire::channel channel = next_channel_++;
    if (!open(channel, topic, source, run)) return false;
    append(channel, first, count);
    return confirmed(first + count - 1);
}

void party::subscribe(std::string_view pattern, std::uint64_t credit,
                      std::vector<wire::resume_point> resume, wire::start from) {
    raw_.say(wire::subscribe{1, pattern, from, credit, false, std::move(resume)});
}

std::vector<std::string> party::read(std::uint64_t messages) {
    std::vector<std::string> all;
    std::string run;
    std::uint64_t first = 0;
    std::uint64_t next = 0;
    const auto close = [&] {
        if (!run.empty())
            all.push_back(run + ":" + std::to_string(first) + "-" + std::to_string(next - 1));
        run.clear();
    };
    for (std::uint64_t came = 0; came < messages;) {
        if (!raw_.hear_either(kind::batch, kind::gone)) break;
        if (const auto batch = raw_.last_batch()) {
            const std::string of =
                std::string(batch->source) + " " + std::to_string(batch->epoch.value);
            if (of != run || batch->first.value != next) {
                close();
                run = of;
                first = batch->first.value;
            }
            next = batch->last().value + 1;
            came += batch->count;
            continue;
        }
        const auto gone = std::get<wire::gone>(*raw_.last_frame());
        close();
        all.push_back("gone " + std::string(gone.source) + " " + std::to_string(gone.epoch.value) +
                      ":" + std::to_string(gone.range.first.value) + "-" +
                      std::to_string(gone.range.last.value) + " " + std::string(name(gone.cause)));
        came += gone.range.size();
    }
    close();
    return all;
}

std::string party::next_head(std::string_view source) {
    while (raw_.hear_either(kind::subscribed, kind::heads)) {
        const auto frame = *raw_.last_frame();
        const auto* first = std::get_if<wire::subscribed>(&frame);
        const auto& heads = first ? first->heads : std::get<wire::heads>(frame).items;
        std::string found;
        for (const wire::head& h : heads) {
            if (h.source != source) continue;
            if (!found.empty()) found += ' ';
            found += std::to_string(h.epoch.value) + ":" + std::to_string(h.first_held.value) +
                     "-" + std::to_string(h.last.value) + ">" + std::to_string(h.next.value);
        }
        if (!found.empty()) return found;
    }
    return {};
}

bool party::head_becomes(std::string_view source, std::string_view head) {
    for (;;) {
        const std::string told = next_head(source);
        if (told == head) return true;
        if (told.empty()) return false;
    }
}

std::optional<wire::group_attached> party::attach(wire::channel channel, std::string_view topic,
                                                  std::string_view group, wire::place from,
                                                  std::uint64_t value) {
    raw_.say(
        wire::attach_group{channel, topic, group, "member", wire::group_kind::each, from, value});
    return raw_.hear<wire::group_attached>(kind::group_attached);
}

void party::ack(wire::channel channel, std::string_view source, std::uint64_t run,
                std::vector<sequence_range> ranges) {
    wire::ack done;
    done.channel = channel;
    done.source = source;
    done.epoch = epoch{run};
    done.ranges = std::move(ranges);
    raw_.say(done);
}

bool party::acked(std::uint64_t frames) {
    for (;;) {
        const auto told = raw_.hear<wire::acked>(kind::acked);
        if (!told || told->frames > frames) return false;
        if (told->frames == frames) return true;
    }
}

std::string party::locate(std::string_view topic, wire::place from, std::uint64_t value) {
    raw_.say(wire::locate{next_channel_++, topic, from, value});
    const auto told = raw_.hear<wire::located>(kind::located);
    return told ? points(told->points) : "nothing";
}

std::string party::points(const std::vector<wire::source_point>& all) {
    std::string text;
    for (const auto& p : all)
        text += (text.empty() ? "" : ", ") + std::string(p.source) + " " +
                std::to_string(p.epoch.value) + ":" + std::to_string(p.next.value);
    return text;
}

std::string party::done(const std::vector<wire::done_range>& all) {
    std::string text;
    for (const auto& d : all)
        text += (text.empty() ? "" : ", ") + std::string(d.source) + " " +
                std::to_string(d.epoch.value) + ":" + std::to_string(d.range.first.value) + "-" +
                std::to_string(d.range.last.value);
    return text;
}

}  // namespace cairn::test
