#include <cairn/runtime/log_limiter.hpp>

#include <algorithm>

namespace cairn::runtime {

namespace {

constexpr duration window = std::chrono::seconds(1);
constexpr std::string_view other_causes = "other causes";

}  // namespace

std::string log_limiter::summary::text() const {
    return cause + ": (" + std::to_string(suppressed) + " more suppressed)";
}

bool log_limiter::admit(std::string_view cause, time_point now) {
    counter& of = counter_of(cause, now);
    // A window whose summary is still owed is not begun anew, or due() would never tell it.
    if (now - of.began >= window && of.suppressed == 0) of = {.began = now};
    if (now - of.began < window && of.lines < lines_per_second_max) return ++of.lines, true;
    ++of.suppressed;
    ++suppressed_total_;
    next_due_ = std::min(next_due_, of.began + window);
    return false;
}

bool log_limiter::admit_repeated(std::string_view cause, std::string_view line, time_point now) {
    const auto known = repeated_.find(std::string(line));
    // Told again by due() alone, should it be asked late.
    if (known != repeated_.end() &&
        (now - known->second.told < repeat_interval || known->second.since > 0)) {
        ++known->second.since;
        ++suppressed_total_;
        next_due_ = std::min(next_due_, known->second.told + repeat_interval);
        return false;
    }
    if (!admit(cause, now)) return false;
    if (repeated_.size() >= causes_max)
        std::erase_if(repeated_, [now](const auto& entry) {
            return entry.second.since == 0 && now - entry.second.told >= repeat_interval;
        });
    if (repeated_.size() < causes_max) repeated_.insert_or_assign(std::string(line), repeated{now});
    return true;
}

std::vector<log_limiter::summary> log_limiter::due(time_point now) {
    std::vector<summary> told;
    if (now < next_due_) return told;
    next_due_ = time_point::max();
    for (auto& [cause, of] : counters_) {
        if (of.suppressed == 0) continue;
        if (now - of.began >= window) {
            told.push_back({cause, of.suppressed});
            of = {.began = now};
        } else {
            next_due_ = std::min(next_due_, of.began + window);
        }
    }
    for (auto& [line, of] : repeated_) {
        if (of.since == 0) continue;
        if (now - of.told >= repeat_interval) {
            told.push_back({line, of.since});
            of = {.told = now};
        } else {
            next_due_ = std::min(next_due_, of.told + repeat_interval);
        }
    }
    return told;
}

log_limiter::counter& log_limiter::counter_of(std::string_view cause, time_point now) {
    const auto found = counters_.find(std::string(cause));
    if (found != counters_.end()) return found->second;
    if (counters_.size() >= causes_max)
        std::erase_if(counters_, [now](const auto& entry) {
            return entry.second.suppressed == 0 && now - entry.second.began >= window;
        });
    // One place stays free for all that do not fit.
    if (counters_.size() + 1 >= causes_max) cause = other_causes;
    return counters_.try_emplace(std::string(cause), counter{.began = now}).first->second;
}

}  // namespace cairn::runtime
