// What decoding the header of one batch costs: our reader against msgpack-c, in nanoseconds and
// allocations. The numbers of docs/design/0001-msgpack-reader.md come from here.

#include <cairn/wire/frames.hpp>

#include <msgpack.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <string_view>

// Counts what is asked of malloc, by operator new and by msgpack-c's zones alike. The sanitizers
// bring their own malloc; under them the column stays 0.
#if defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
namespace {
unsigned long allocations = 0;
}
extern "C" void* __libc_malloc(std::size_t bytes);
extern "C" void* malloc(std::size_t bytes) {
    ++allocations;
    return __libc_malloc(bytes);
}
#else
namespace {
const unsigned long allocations = 0;
}
#endif

namespace {

using namespace cairn;

struct their_header {
    unsigned kind = 0;
    unsigned channel = 0;
    std::string_view topic;
    std::string_view source;
    std::uint64_t epoch = 0;
    std::uint64_t first = 0;
    unsigned count = 0;
    std::int64_t time = 0;
    std::uint64_t durable = 0;
    std::uint64_t checksum = 0;
    MSGPACK_DEFINE(kind, channel, topic, source, epoch, first, count, time, durable, checksum)
};

struct visitor : msgpack::null_visitor {
    std::uint64_t sum = 0;
    bool visit_positive_integer(std::uint64_t value) { return sum += value, true; }
    bool visit_str(const char*, std::uint32_t size) { return sum += size, true; }
    void parse_error(std::size_t, std::size_t) {}
    void insufficient_bytes(std::size_t, std::size_t) {}
};

bool by_reference(msgpack::type::object_type, std::size_t, void*) { return true; }

/// The fastest of many short rounds: what else the machine does then hardly counts.
template <typename Decode>
void measure(const char* name, int rounds, Decode&& decode) {
    constexpr int calls = 10'000;
    using clock = std::chrono::steady_clock;
    double best = std::numeric_limits<double>::max();
    volatile std::uint64_t sink = 0;
    const unsigned long before = allocations;
    for (int round = 0; round < rounds; ++round) {
        const auto start = clock::now();
        for (int i = 0; i < calls; ++i) sink = sink + decode();
        const std::chrono::duration<double, std::nano> taken = clock::now() - start;
        best = std::min(best, taken.count() / calls);
    }
    const unsigned long each = (allocations - before) / calls / static_cast<unsigned>(rounds);
    std::printf("%-46s %6.1f ns %3lu allocations\n", name, best, each);
}

}  // namespace

int main(int argc, char** argv) {
    const int rounds = argc > 1 ? std::max(1, std::atoi(argv[1])) : 300;
    wire::batch_header header;
    header.channel = 7;
    header.topic = "flights.by-hour";
    header.source = "reader-1";
    header.epoch = {1'718'000'000'123};
    header.first = {1'000'000};
    header.count = 2'500;
    header.time = wall_time(std::chrono::nanoseconds(1'718'000'000'123'456'789));
    header.durable = 900'000;
    header.checksum = 0x1234'5678'9abc'def0;
    std::vector<std::byte> bytes;
    wire::encode(header, bytes);
    const char* data = reinterpret_cast<const char*>(bytes.data());
    const std::size_t size = bytes.size();
    std::printf("header of a batch, %zu bytes\n", size);

    measure("cairn::wire::decode_batch", rounds,
            [&] { return wire::decode_batch(bytes)->header.count; });
    measure("msgpack::unpack, convert", rounds, [&] {
        const auto object = msgpack::unpack(data, size);
        their_header h;
        object.get().convert(h);
        return h.count;
    });
    msgpack::zone zone;
    measure("msgpack::unpack by reference, zone kept", rounds, [&] {
        zone.clear();
        bool referenced = false;
        const auto object = msgpack::unpack(zone, data, size, referenced, by_reference);
        their_header h;
        object.convert(h);
        return h.count;
    });
    measure("msgpack::parse with a visitor, into a sum", rounds, [&] {
        visitor v;
        std::size_t offset = 0;
        msgpack::parse(data, size, offset, v);
        return v.sum;
    });
    return 0;
}
