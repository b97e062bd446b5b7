// Writes the seeds of the fuzz targets: the examples of PROTOCOL.md, and documents at the edges of
// what msgpack can say. Run it again after a change of the protocol:
//
//     build/dev/tests/fuzz/make_corpus framework/wire/PROTOCOL.md tests/fuzz/corpus

#include <cairn/wire/limits.hpp>
#include <cairn/wire/msgpack.hpp>
#include <cairn/wire/records.hpp>
#include <support/document.hpp>

#include <algorithm>
#include <array>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <string>

namespace {

using bytes = std::vector<std::byte>;
namespace fs = std::filesystem;

void write(const fs::path& path, const bytes& content) {
    fs::create_directories(path.parent_path());
    std::ofstream file(path, std::ios::binary);
    file.write(reinterpret_cast<const char*>(content.data()),
               static_cast<std::streamsize>(content.size()));
    if (!file) throw std::runtime_error("cannot write " + path.string());
}

template <typename Write>
bytes document(Write&& write_items) {
    std::array<std::byte, 256> memory;
    cairn::wire::msgpack::writer out(memory);
    write_items(out);
    return {memory.begin(), memory.begin() + static_cast<std::ptrdiff_t>(out.written())};
}

void write_examples(const cairn::test::document& protocol, const fs::path& corpus) {
    for (const cairn::test::hex_block& block : protocol.blocks) {
        std::string name = block.name;
        std::transform(name.begin(), name.end(), name.begin(),
                       [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; });
        const bool batch = name == "batch" || name == "jobs" || name == "append";
        if (name == "digest-input") continue;
        if (name != "attributes")
            write(corpus / (batch ? "batches" : "frames") / name, block.bytes);
        if (name == "attributes") write(corpus / "attributes" / "all", block.bytes);
    }
}

void write_records(const fs::path& corpus) {
    // The batch target takes a count and a body as well.
    bytes records = {std::byte{3}};
    for (const std::size_t size : {4, 4, 0}) {
        const std::size_t at = records.size();
        records.resize(at + cairn::wire::record_bytes(0, size));
        cairn::wire::write_record(records.data() + at, {}, bytes(size, std::byte{'r'}));
    }
    write(corpus / "batches" / "records", records);
}

void write_attributes(const fs::path& corpus) {
    using cairn::wire::msgpack::writer;
    write(corpus / "attributes" / "none", document([](writer& w) { w.map(0); }));
    write(corpus / "attributes" / "newer", document([](writer& w) {
              w.map(3);
              w.text("a key of a newer version"), w.boolean(true);
              w.uint(5), w.array(2), w.uint(1), w.integer(-1);
              w.uint(1), w.text("key as text");
          }));
    write(corpus / "attributes" / "headers", document([](writer& w) {
              w.map(1), w.uint(4), w.map(3);
              for (const char* text : {"name", "value", "name", "again", "", ""}) w.text(text);
          }));
}

void write_documents(const fs::path& corpus) {
    using cairn::wire::msgpack::writer;
    write(corpus / "msgpack" / "numbers", document([](writer& w) {
              w.array(12);
              for (const std::uint64_t n : {0x7fULL, 0xffULL, 0xffffULL, 0xffff'ffffULL, ~0ULL})
                  w.uint(n);
              for (const std::int64_t n : {-1LL, -32LL, -33LL, -129LL, -32'769LL, -2'147'483'649LL})
                  w.integer(n);
              w.boolean(false);
          }));
    write(corpus / "msgpack" / "texts", document([](writer& w) {
              w.map(2);
              w.text("short"), w.text(std::string(40, 't'));
              w.bin(bytes(3, std::byte{1})), w.text("");
          }));
    write(corpus / "msgpack" / "deep", document([](writer& w) {
              for (std::size_t depth = 1; depth < cairn::wire::depth_max; ++depth) w.array(1);
              w.map(0);
          }));
    // nil, float, double, fixext 1 and 16, ext 8: types that we only skip.
    bytes others = {std::byte{0x96}, std::byte{0xc0}, std::byte{0xca}};
    others.resize(others.size() + 4);
    for (const auto& [first, more] : {std::pair{0xcb, 8}, {0xd4, 2}, {0xd8, 17}}) {
        others.push_back(static_cast<std::byte>(first));
        others.resize(others.size() + static_cast<std::size_t>(more));
    }
    for (const int b : {0xc7, 1, 5, 7}) others.push_back(static_cast<std::byte>(b));
    write(corpus / "msgpack" / "others", others);
}

// What programs send, and what a stranger would.
void write_typed(const fs::path& corpus) {
    using cairn::wire::msgpack::writer;
    write(corpus / "unpack" / "number", document([](writer& w) { w.integer(-70'000); }));
    write(corpus / "unpack" / "text", document([](writer& w) { w.text("Ridgecrest"); }));
    write(corpus / "unpack" / "numbers", document([](writer& w) {
              w.array(3);
              for (const std::uint64_t n : {1, 300, 70'000}) w.uint(n);
          }));
    write(corpus / "unpack" / "tuple", document([](writer& w) {
              w.array(3), w.boolean(true), w.uint(7);
              w.array(2), w.text("pair"), w.integer(-1);
          }));
    write(corpus / "unpack" / "structure", document([](writer& w) {
              w.map(4), w.text("place"), w.text("Ridgecrest"), w.text("magnitude"), w.uint(7);
              w.text("depths"), w.array(2), w.uint(8), w.integer(-3);
              w.text("tags"), w.map(1), w.text("net"), w.text("ci");
          }));
    write(corpus / "unpack" / "tree", document([](writer& w) {
              w.array(2), w.array(1), w.array(2), w.array(0), w.map(0);
              w.map(1), w.uint(5), w.array(2), w.array(0), w.map(0);
          }));
    // Five bytes that announce four thousand million items.
    write(corpus / "unpack" / "announcement",
          {std::byte{0xdd}, std::byte{0xff}, std::byte{0xff}, std::byte{0xff}, std::byte{0xff}});
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 3) {
        std::fprintf(stderr, "usage: %s PROTOCOL.md CORPUS-DIRECTORY\n", argv[0]);
        return 2;
    }
    try {
        const fs::path corpus = argv[2];
        write_examples(cairn::test::read_document(argv[1]), corpus);
        write_records(corpus);
        write_attributes(corpus);
        write_documents(corpus);
        write_typed(corpus);
    } catch (const std::exception& e) {
        std::fprintf(stderr, "%s\n", e.what());
        return 1;
    }
    return 0;
}
