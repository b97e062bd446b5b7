#include "upkeep.hpp"

#include <cairn/store/maintenance.hpp>

#include <cstdio>
#include <string>

namespace cairn::daemon {

namespace {

unsigned long long printed(std::uint64_t value) { return value; }

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
    std::printf(
        "         %llu topics, %llu messages in %llu batches, %llu bytes of bodies, %llu pages\n",
        printed(found.topics), printed(found.messages), printed(found.batches),
        printed(found.bytes), printed(found.pages));
    std::printf("         %s\n", found.sound() ? "sound: every page, index and checksum is right"
                                               : "damaged: restore a backup; without one, what "
                                                 "cannot be read is told to its readers as a gap, "
                                                 "and all else is served, unless it does not open");
    return found.sound();
}

void compact_data(const std::filesystem::path& data) {
    const store::compact_report done = store::compact(data);
    std::printf("data     %s\n         gave %llu bytes back to the disk\n", data.c_str(),
                printed(done.given_back));
    if (done.counted_anew)
        std::printf("         its counters were damaged, and are made anew from what is stored\n");
}

void back_up_data(const std::filesystem::path& data, const std::filesystem::path& target) {
    const std::uint64_t bytes = store::backup(data, target);
    std::printf("data     %s\n         copied to %s, %llu bytes; restore it with --data %s\n",
                data.c_str(), target.c_str(), printed(bytes), target.c_str());
}

}  // namespace cairn::daemon
