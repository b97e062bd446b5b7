#include "harness/statistics.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

namespace cairn::bench {

double median(std::vector<double> values) {
    if (values.empty()) return 0;
    std::sort(values.begin(), values.end());
    const auto middle = values.size() / 2;
    return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

std::size_t histogram::bucket_of(std::uint64_t ns) noexcept {
    ns = std::min(ns, (std::uint64_t{1} << value_bits) - 1);
    if (ns < (1U << sub_bits)) return ns;
    const auto shift = static_cast<unsigned>(std::bit_width(ns)) - sub_bits - 1;
    return (std::size_t{shift + 1} << sub_bits) + ((ns >> shift) & ((1U << sub_bits) - 1));
}

double histogram::middle_of(std::size_t bucket) noexcept {
    const auto group = bucket >> sub_bits;
    if (group == 0) return static_cast<double>(bucket);
    const auto shift = group - 1;
    const auto mantissa = (std::uint64_t{1} << sub_bits) + (bucket & ((1U << sub_bits) - 1));
    const auto width = static_cast<double>(std::uint64_t{1} << shift);
    return static_cast<double>(mantissa) * width + (width - 1) / 2;
}

void histogram::add_all_of(const histogram& other) noexcept {
    for (std::size_t i = 0; i < bucket_count; ++i)
        counts_[i].fetch_add(other.counts_[i].load(std::memory_order_relaxed),
                             std::memory_order_relaxed);
}

std::uint64_t histogram::count() const noexcept {
    std::uint64_t sum = 0;
    for (const auto& count : counts_) sum += count.load(std::memory_order_relaxed);
    return sum;
}

double histogram::percentile(double share) const noexcept {
    const auto total = count();
    const auto rank = std::max(1.0, std::ceil(share * static_cast<double>(total)));
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < bucket_count; ++i) {
        seen += counts_[i].load(std::memory_order_relaxed);
        if (seen > 0 && static_cast<double>(seen) >= rank) return middle_of(i);
    }
    return 0;
}

}  // namespace cairn::bench
