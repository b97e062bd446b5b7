#include <cairn/wire/msgpack.hpp>

#include <msgpack.hpp>
#include <support/msgpack_compare.hpp>

#include "fuzz_target.hpp"

using cairn::errc;
using cairn::test::require;
namespace ours = cairn::wire::msgpack;
namespace theirs = ::msgpack;

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto document = cairn::test::input(data, size);
    ours::reader skipped(document);
    skipped.skip();
    // Theirs has no limits here: a header of five bytes would make it ask for 100 GB.
    if (skipped.error() == errc::limit_exceeded) return 0;
    require(skipped.error() != errc::too_large, "skipping knows no sizes but the document's");

    try {
        std::size_t consumed = 0;
        const theirs::object_handle parsed =
            theirs::unpack(reinterpret_cast<const char*>(data), size, consumed);
        require(!skipped.failed(), "what msgpack-c takes, we take");
        require(skipped.consumed() == consumed, "an item ends at the same byte for both");
        ours::reader read(document);
        require(cairn::test::same(read, parsed.get()), "both read the same");
        require(read.consumed() == consumed, "reading and skipping end at the same byte");
    } catch (const theirs::unpack_error&) {
        require(skipped.failed(), "what msgpack-c refuses, we refuse");
    }
    return 0;
}
