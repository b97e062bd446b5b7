#include "upkeep.hpp"

#include <cairn/store/maintenance.hpp>

#include <cstdio>
#include <string>

namespace cairn::daemon {

namespace {

unsigned long long printed(std::uint64_t value) { return value; }

const char* advice(store::remedy what) {
    switch (what) {
        case store::remedy::nothing:
            return "sound: every page, index and checksum is right";
        case store::remedy::leave_out:
            return "damaged: it is served all the same, and what cannot be read is told to its "
                   "readers as a gap, or refused; a backup has it, and without one cairn topic "
                   "trim past it, or cairn group rm or topic rm of what is damaged, leaves it out "
                   "for good";
        case store::remedy::compact:
            return "damaged: it does not open before --compact has made its counters anew";
        case store::remedy::restore:
            break;
    }
    return "damaged: restore a backup; it does not open, or ends who opens it";
}

}  // namespace

bool verify_data(const std::filesystem::path& data) {
    const store::verify_report found = store::verify(data);
    for (const store::finding& f : found.findings) {
        std::string where;
        if (f.topic != store::topic_id{}) where += "topic " + std::to_string(f.topic.value) + ", ";
        if (!f.offsets.empty())
            where += "offsets " + std::to_string(f.offsets.first.value) + " to " +
                     std::to_string(f.offsets.last.value) + ": ";
        std::printf("damaged  %s%s\n", where.c_str(), f.what.c_str());
    }
    if (found.found > found.findings.size())
        std::printf("damaged  and %llu more\n", printed(found.found - found.findings.size()));
    std::printf("data     %s\n", data.c_str());
    if (found.content_walked)
        std::printf(
            "         %llu topics, %llu messages in %llu batches, %llu bytes of bodies, %llu "
            "pages\n",
            printed(found.topics), printed(found.messages), printed(found.batches),
            printed(found.bytes), printed(found.pages));
    else
        std::printf("         %llu pages; for that damage topics and messages are not looked at\n",
                    printed(found.pages));
    std::printf("         %s\n", advice(found.helps));
    return found.sound();
}

void compact_data(const std::filesystem::path& data) {
    const store::compact_report done = store::compact(data);
    std::printf("data     %s\n         gave %llu bytes back to the disk\n", data.c_str(),
                printed(done.given_back));
    if (done.counted_anew)
        std::printf("         its counters were damaged, and are made anew from what is stored\n");
    std::printf("         its trees are whole; --verify looks at messages and indexes, too\n");
}

void back_up_data(const std::filesystem::path& data, const std::filesystem::path& target) {
    const std::uint64_t bytes = store::backup(data, target);
    std::printf("data     %s\n         copied to %s, %llu bytes; restore it with --data %s\n",
                data.c_str(), target.c_str(), printed(bytes), target.c_str());
}

}  // namespace cairn::daemon
