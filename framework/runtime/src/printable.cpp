#include <cairn/runtime/printable.hpp>

#include <cstdio>

namespace cairn::runtime {

namespace {

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

bool continues_a_character(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

}  // namespace

std::string printable(std::string_view text, std::size_t bytes_max) {
    const bool cut = text.size() > bytes_max;
    if (cut) {
        while (bytes_max != 0 && continues_a_character(text[bytes_max])) --bytes_max;
        text = text.substr(0, bytes_max);
    }
    std::string shown;
    shown.reserve(text.size());
    for (const char c : text) {
        if (!is_control(c)) {
            shown += c;
            continue;
        }
        char code[8];
        std::snprintf(code, sizeof code, "\\x%02x", static_cast<unsigned>(c));
        shown += code;
    }
    if (cut) shown += "...";
    return shown;
}

}  // namespace cairn::runtime
