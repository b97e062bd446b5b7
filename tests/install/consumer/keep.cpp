// Keeps two messages in a log on the disk, and reads them again.
#include <cairn/store/database.hpp>
#include <cairn/store/messages.hpp>
#include <cairn/store/reader.hpp>

#include <chrono>
#include <iostream>

namespace store = cairn::store;

int main() {
    store::database log("quakes.log");  // a directory; one process at a time
    const cairn::wall_time now = std::chrono::system_clock::now();
    std::vector<store::reply> replies;  // one for each command, in order

    const cairn::epoch run{1};  // a higher one fences the runs before
    const store::command open[] = {store::open_source{"quakes", "harbour", run}};
    log.commit(open, now, replies);
    if (!replies[0].ok()) return 1;
    const auto source = std::get<store::source_opened>(replies[0].value);

    store::batch_builder batch;
    batch.add("3.1 off the coast");
    batch.add("2.4 in the hills", {.key = "hills"});
    const store::command append[] = {batch.take(source, run, source.last + 1, now)};
    log.commit(append, now, replies);  // on the disk, where the reply is ok
    if (!replies[0].ok()) return 1;
    const auto stored = std::get<store::appended>(replies[0].value);

    store::reader reader(log);  // beside the one who commits, on any thread
    std::vector<std::byte> buffer;
    store::page page;
    if (reader.read(source.topic, stored.first, 1 << 20, buffer, page) != cairn::errc::ok) return 1;
    for (const store::entry& entry : page.entries)
        for (const store::stored_message& m : store::messages_of(entry))
            std::cout << m.offset.value << ' ' << m.attributes.key << ' ' << m.text() << '\n';
    return page.next == stored.last + 1 ? 0 : 1;
}
