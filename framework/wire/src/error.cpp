#include <cairn/error.hpp>

namespace cairn {

namespace {

struct entry {
    errc code;
    std::string_view name;
    std::string_view text;
};

constexpr entry entries[] = {
    {errc::ok, "ok", "success"},
};

}  // namespace

std::string_view name(errc code) noexcept {
    for (const entry& e : entries)
        if (e.code == code) return e.name;
    return "unknown";
}

std::string_view describe(errc code) noexcept {
    for (const entry& e : entries)
        if (e.code == code) return e.text;
    return "unknown error";
}

}  // namespace cairn
