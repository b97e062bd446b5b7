#include "output.hpp"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <system_error>
#include <utility>

namespace cairn::tools {

namespace {

unsigned byte_at(std::string_view text, std::size_t at) {
    return static_cast<unsigned char>(text[at]);
}

/// Bytes of the UTF-8 character that `text` begins with (RFC 3629); 0 when it begins with none.
std::size_t character_bytes(std::string_view text) {
    const unsigned first = byte_at(text, 0);
    if (first < 0x80) return 1;
    const std::size_t size = first >= 0xc2 && first <= 0xdf   ? 2
                             : first >= 0xe0 && first <= 0xef ? 3
                             : first >= 0xf0 && first <= 0xf4 ? 4
                                                              : 0;
    if (size == 0 || text.size() < size) return 0;
    for (std::size_t i = 1; i != size; ++i)
        if ((byte_at(text, i) & 0xc0U) != 0x80) return 0;
    const unsigned second = byte_at(text, 1);
    const bool overlong = (first == 0xe0 && second < 0xa0) || (first == 0xf0 && second < 0x90);
    const bool surrogate = first == 0xed && second >= 0xa0;
    const bool beyond = first == 0xf4 && second >= 0x90;
    return overlong || surrogate || beyond ? 0 : size;
}

bool is_utf8(std::string_view text) {
    while (!text.empty()) {
        const std::size_t size = character_bytes(text);
        if (size == 0) return false;
        text.remove_prefix(size);
    }
    return true;
}

bool is_control(std::string_view character) {
    const unsigned first = byte_at(character, 0);
    // U+0080 to U+009F steer terminals as ESC does.
    return first < 0x20 || first == 0x7f || (first == 0xc2 && byte_at(character, 1) < 0xa0);
}

std::size_t width(std::string_view text) {
    return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), [](char c) {
        return (static_cast<unsigned>(c) & 0xc0U) != 0x80;
    }));
}

bool is_number(const std::string& cell) {
    return !cell.empty() && cell.front() >= '0' && cell.front() <= '9';
}

}  // namespace

std::string escaped(std::string_view text) {
    std::string shown;
    shown.reserve(text.size());
    while (!text.empty()) {
        const std::size_t size = character_bytes(text);
        if (size != 0 && !is_control(text.substr(0, size))) {
            shown += text.substr(0, size);
            text.remove_prefix(size);
            continue;
        }
        for (std::size_t i = 0; i != std::max<std::size_t>(size, 1); ++i) {
            char code[8];
            std::snprintf(code, sizeof code, "\\x%02x", byte_at(text, 0));
            shown += code;
            text.remove_prefix(1);
        }
    }
    return shown;
}

std::string base64(std::string_view bytes) {
    constexpr std::string_view digits =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string text;
    text.reserve((bytes.size() + 2) / 3 * 4);
    for (std::size_t at = 0; at < bytes.size(); at += 3) {
        const std::size_t count = std::min<std::size_t>(3, bytes.size() - at);
        unsigned group = 0;
        for (std::size_t i = 0; i != 3; ++i)
            group = group << 8U | (i < count ? byte_at(bytes, at + i) : 0);
        for (std::size_t i = 0; i != 4; ++i)
            text += i <= count ? digits[group >> (18 - 6 * i) & 0x3fU] : '=';
    }
    return text;
}

void add_text(json& to, const std::string& name, std::string_view text) {
    if (is_utf8(text))
        to[name] = text;
    else
        to[name + "_base64"] = base64(text);
}

void printer::object(const json& one) {
    line(one.dump(-1, ' ', false, json::error_handler_t::replace));
}

void printer::line(std::string_view text) {
    waiting_ += text;
    waiting_ += '\n';
}

void printer::flush() {
    std::string_view left = waiting_;
    while (!left.empty()) {
        const ssize_t written = ::write(STDOUT_FILENO, left.data(), left.size());
        if (written >= 0) {
            left.remove_prefix(static_cast<std::size_t>(written));
        } else if (errno == EPIPE) {
            throw output_closed();
        } else if (errno == EAGAIN) {
            pollfd ready{STDOUT_FILENO, POLLOUT, 0};
            ::poll(&ready, 1, -1);
        } else if (errno != EINTR) {
            throw std::system_error(errno, std::generic_category(), "write standard output");
        }
    }
    waiting_.clear();
}

bool printer::closed() noexcept {
    pollfd output{STDOUT_FILENO, 0, 0};
    return ::poll(&output, 1, 0) == 1 && (output.revents & POLLERR) != 0;
}

table::table(std::vector<std::string> heads) { rows_.push_back(std::move(heads)); }

void table::row(std::vector<std::string> cells) {
    for (std::string& cell : cells) cell = escaped(cell);
    rows_.push_back(std::move(cells));
}

void table::print(printer& to) const {
    const std::size_t columns = rows_.front().size();
    std::vector<std::size_t> widths(columns);
    std::vector<bool> right(columns, rows_.size() > 1);
    for (std::size_t r = 0; r != rows_.size(); ++r) {
        for (std::size_t c = 0; c != columns; ++c) {
            widths[c] = std::max(widths[c], width(rows_[r][c]));
            // Names begin with digits too: the first column is one.
            if (c == 0 || (r != 0 && !is_number(rows_[r][c]))) right[c] = false;
        }
    }
    for (const auto& cells : rows_) {
        std::string text;
        for (std::size_t c = 0; c != columns; ++c) {
            const std::string gap(widths[c] - width(cells[c]), ' ');
            text += c == 0 ? "" : "  ";
            text += right[c] ? gap + cells[c] : cells[c] + gap;
        }
        text.erase(text.find_last_not_of(' ') + 1);
        to.line(text);
    }
}

}  // namespace cairn::tools
