// What stores that are broken on purpose make of what they are sent (daemon/src/sabotage.hpp).
#include "sabotage.hpp"

#include <cairn/wire/frames.hpp>

#include <cstddef>
#include <map>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace cairn::daemon {

namespace {

using bytes = std::vector<std::byte>;

void replace(store::append& in, bytes body) {
    const auto kept = std::make_shared<const bytes>(std::move(body));
    in.body = {*kept, kept};
    in.checksum = wire::checksum(*kept);
}

/// Readers wait for the end of a source (party.cpp), and would wait for ever.
bool holds_an_end(std::span<const std::byte> body) {
    const std::string_view text(reinterpret_cast<const char*>(body.data()), body.size());
    return text.find("end-") != text.npos;
}

}  // namespace

void tamper(store::append& wanted, std::uint64_t number) {
    const auto body = wanted.body.bytes;
    if (number % 16 != 0 || holds_an_end(body)) return;
    if (sabotaged("alter-append")) {
        bytes altered(body.begin(), body.end());
        altered.back() = std::byte{'!'};
        replace(wanted, std::move(altered));
    } else if (sabotaged("mix-up")) {
        static std::map<std::uint32_t, bytes> before;  // by how many messages
        const auto [known, fresh] = before.try_emplace(wanted.count, body.begin(), body.end());
        if (!fresh) replace(wanted, known->second);
    }
}

}  // namespace cairn::daemon
