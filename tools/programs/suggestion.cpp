#include "programs/suggestion.hpp"

#include <algorithm>
#include <cstddef>
#include <numeric>

namespace cairn::programs {

namespace {

std::size_t distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> row(b.size() + 1);
    std::iota(row.begin(), row.end(), std::size_t{0});
    for (std::size_t i = 0; i != a.size(); ++i) {
        std::size_t diagonal = row[0]++;
        for (std::size_t j = 0; j != b.size(); ++j) {
            const std::size_t change = diagonal + (a[i] == b[j] ? 0 : 1);
            diagonal = row[j + 1];
            row[j + 1] = std::min({row[j] + 1, row[j + 1] + 1, change});
        }
    }
    return row.back();
}

}  // namespace

std::string suggestion(std::string_view unknown, const std::vector<std::string>& known) {
    const std::string* best = nullptr;
    std::size_t least = std::max<std::size_t>(2, unknown.size() / 3) + 1;
    for (const std::string& k : known) {
        const std::size_t d = distance(unknown, k);
        if (d < least) {
            least = d;
            best = &k;
        }
    }
    return best ? "; did you mean \"" + *best + "\"?" : "";
}

}  // namespace cairn::programs
