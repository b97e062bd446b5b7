#include "job_streams.hpp"

#include <limits>

namespace cairn::patterns {

std::optional<job_streams::number> job_streams::find(const runtime::link& link,
                                                     std::string_view source,
                                                     cairn::epoch epoch) const {
    const auto found = by_source_.find(std::pair(link.number(), source));
    if (found == by_source_.end() || streams_.at(found->second).epoch != epoch) return std::nullopt;
    return found->second;
}

std::optional<job_streams::number> job_streams::open(runtime::link& link, std::string_view source,
                                                     cairn::epoch epoch) {
    if (of_link_[link.number()] >= link_max_) return std::nullopt;
    // The highest number stays free: whoever asks for all of one stream ends at the next number.
    while (next_ == std::numeric_limits<number>::max() || streams_.contains(next_)) ++next_;
    const number made = next_++;
    streams_.emplace(made, job_stream{&link, std::string(source), epoch, fresh_});
    by_source_.emplace(key(link.number(), source), made);
    ++of_link_[link.number()];
    return made;
}

job_stream* job_streams::at(number which) {
    const auto found = streams_.find(which);
    return found == streams_.end() ? nullptr : &found->second;
}

std::optional<job_streams::number> job_streams::end(const runtime::link& link,
                                                    std::string_view source) {
    const auto found = by_source_.find(std::pair(link.number(), source));
    if (found == by_source_.end()) return std::nullopt;
    const number ended = found->second;
    streams_.erase(ended);
    by_source_.erase(found);
    --of_link_[link.number()];
    return ended;
}

std::vector<job_streams::number> job_streams::end(const runtime::link& link) {
    std::vector<number> ended;
    const auto first = by_source_.lower_bound(std::pair(link.number(), std::string_view()));
    auto last = first;
    for (; last != by_source_.end() && last->first.first == link.number(); ++last) {
        ended.push_back(last->second);
        streams_.erase(last->second);
    }
    by_source_.erase(first, last);
    of_link_.erase(link.number());
    return ended;
}

}  // namespace cairn::patterns
