#include "events.hpp"

#include "values.hpp"

#include <cairn/error.hpp>

#include <unistd.h>

#include <cstdio>
#include <utility>

namespace cairn::tools {

namespace {

constexpr std::size_t flush_bytes = std::size_t{256} << 10;

/// usgs@7:12, or usgs@7:12-15.
std::string place(std::string_view source, epoch run, sequence_range range) {
    std::string text =
        escaped(source) + "@" + std::to_string(run.value) + ":" + std::to_string(range.first.value);
    if (range.size() > 1) text += "-" + std::to_string(range.last.value);
    return text;
}

std::string_view as_text(const std::array<std::byte, 16>& bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string hex(std::string_view bytes) {
    std::string text;
    for (const char c : bytes) {
        char digits[3];
        std::snprintf(digits, sizeof digits, "%02x", static_cast<unsigned char>(c));
        text += digits;
    }
    return text;
}

json begun(const char* kind, const std::string& topic, const std::string& source) {
    json object{{"kind", kind}};
    add_text(object, "topic", topic);
    add_text(object, "source", source);
    return object;
}

}  // namespace

event_writer::event_writer(event_format format) : format_(format) {
    format_.raw = format.raw && ::isatty(STDOUT_FILENO) == 0;
}

void event_writer::write(const event& what) {
    std::visit([&](const auto& one) { write(one); }, what);
    if (out_.waiting() >= flush_bytes) flush();
}

void event_writer::write(const message& m) {
    if (format_.raw) {
        out_.line(m.text());
        return;
    }
    const attributes with = m.has_attributes() ? m.attributes() : attributes{};
    if (!format_.json) {
        std::string line = shown_time(m.time()) + "  " + escaped(m.topic()) + "  " +
                           place(m.source(), m.epoch(), {m.sequence(), m.sequence()}) + "  ";
        if (!with.key.empty()) line += "key=" + escaped(with.key) + "  ";
        for (const auto& [name, value] : with.headers)
            line += escaped(name) + "=" + escaped(value) + "  ";
        out_.line(line + escaped(m.text()));
        return;
    }
    json object{{"kind", "message"}};
    add_text(object, "topic", m.topic());
    add_text(object, "source", m.source());
    object["epoch"] = m.epoch().value;
    object["sequence"] = m.sequence().value;
    object["time"] = shown_time(m.time());
    if (!with.key.empty()) add_text(object, "key", with.key);
    if (!with.content_type.empty()) add_text(object, "content_type", with.content_type);
    if (with.trace_id != decltype(with.trace_id){})
        object["trace_id"] = hex(as_text(with.trace_id));
    for (const auto& [name, value] : with.headers) {
        json header = json::object();
        add_text(header, "name", name);
        add_text(header, "value", value);
        object["headers"].push_back(std::move(header));
    }
    add_text(object, "body", m.text());
    out_.object(object);
}

void event_writer::write(const gap& g) {
    json object = begun("gap", g.topic, g.source);
    object["epoch"] = g.epoch.value;
    object["first"] = g.range.first.value;
    object["last"] = g.range.last.value;
    object["cause"] = name(g.cause);
    note(object, escaped(g.topic) + ": " + counted(g.range.size(), "message") + " will not come, " +
                     place(g.source, g.epoch, g.range) + ": " + std::string(name(g.cause)));
}

void event_writer::trimmed(const std::string& topic, std::uint64_t first, std::uint64_t last) {
    json object{{"kind", "trimmed"}};
    add_text(object, "topic", topic);
    object["first"] = first;
    object["last"] = last;
    note(object, escaped(topic) + ": offsets " + std::to_string(first) + " to " +
                     std::to_string(last) + " are gone, by retention, acks or a trim");
}

void event_writer::write(const restart& r) {
    json object = begun("restart", r.topic, r.source);
    object["before"] = r.before.value;
    object["now"] = r.now.value;
    note(object, escaped(r.topic) + ": " + escaped(r.source) + " began a new run, " +
                     std::to_string(r.now.value));
}

void event_writer::write(const orphaned& o) {
    json object = begun("orphaned", o.topic, o.source);
    object["epoch"] = o.epoch.value;
    object["first"] = o.range.first.value;
    object["last"] = o.range.last.value;
    note(object,
         escaped(o.topic) + ": the store will never have " + place(o.source, o.epoch, o.range));
}

void event_writer::note(const json& object, const std::string& words) {
    if (format_.json) {
        out_.object(object);
        return;
    }
    flush();
    std::fprintf(stderr, "cairn: %s\n", words.c_str());
}

}  // namespace cairn::tools
