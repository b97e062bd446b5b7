// One message into a store, over a restart, and out again. Returns 0 when it came back.
#include <cairn/store/database.hpp>
#include <cairn/store/reader.hpp>
#include <cairn/wire/frames.hpp>
#include <cairn/wire/records.hpp>

#include <chrono>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <span>
#include <string_view>
#include <variant>
#include <vector>

namespace {

namespace fs = std::filesystem;
namespace store = cairn::store;

constexpr std::string_view text = "hello";
constexpr cairn::wall_time now{std::chrono::seconds(1)};

bool stored(const fs::path& where) {
    store::database log(where);
    std::vector<store::reply> replies;
    const std::vector<store::command> opening{store::open_source{"greetings", "me", {1}, {}}};
    if (!log.commit(opening, now, replies) || !replies.front().ok()) return false;
    const auto opened = std::get<store::source_opened>(replies.front().value);

    const auto message = std::as_bytes(std::span(text));
    std::vector<std::byte> body(cairn::wire::record_bytes(0, message.size()));
    cairn::wire::write_record(body.data(), {}, message);
    store::append batch{opened.topic, opened.source, {1}, {1}, 1, now, 0, {body, nullptr}};
    batch.checksum = cairn::wire::checksum(body);
    const std::vector<store::command> appending{batch};
    return log.commit(appending, now, replies) && replies.front().ok();
}

bool found(const fs::path& where) {
    const store::database log(where);
    store::reader reader(log);
    const auto topic = reader.find_topic("greetings");
    if (!topic) return false;
    std::vector<std::byte> buffer;
    store::page page;
    if (reader.read(*topic, {1}, 1 << 20, buffer, page) != cairn::errc::ok) return false;
    if (page.entries.size() != 1) return false;
    const auto body = cairn::wire::record_reader(page.entries.front().body).next().body;
    return std::string_view(reinterpret_cast<const char*>(body.data()), body.size()) == text;
}

}  // namespace

int main() try {
    const fs::path where = fs::current_path() / "log";
    fs::remove_all(where);
    if (!stored(where)) return std::fputs("nothing was stored\n", stderr), 1;
    if (!found(where)) return std::fputs("nothing was found\n", stderr), 1;
    return 0;
} catch (const std::exception& e) {
    return std::fprintf(stderr, "%s\n", e.what()), 1;
}
