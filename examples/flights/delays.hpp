#pragma once

#include "flights/flight.hpp"

#include <cairn/ids.hpp>

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace flights {

/// The delays of one hour of the day, every one of them: all figures are exact.
struct hour_delays {
    std::uint64_t flights = 0;
    std::int64_t minutes = 0;            ///< sum of the delays
    std::uint64_t late = 0;              ///< more than 15 minutes
    std::map<int, std::uint64_t> count;  ///< flights by delay

    void add(int delay) {
        ++flights;
        minutes += delay;
        late += delay > 15;
        ++count[delay];
    }
    void add(const hour_delays& other) {
        flights += other.flights;
        minutes += other.minutes;
        late += other.late;
        for (const auto& [delay, number] : other.count) count[delay] += number;
    }

    /// The smallest delay that `percent` of the flights do not exceed (nearest rank).
    /// Requires: flights > 0, 0 < percent <= 100.
    int percentile(unsigned percent) const {
        std::uint64_t left = (flights * percent + 99) / 100;
        auto at = count.begin();
        for (; at->second < left; ++at) left -= at->second;
        return at->first;
    }
};

/// Delay statistics by hour of the day.
struct delays {
    std::array<hour_delays, 24> hours;
    std::uint64_t unreadable = 0;  ///< lines without a flight

    void add(const std::optional<flight>& found) {
        if (found) {
            hours.at(found->hour).add(found->delay);
        } else {
            ++unreadable;
        }
    }
};

/// Which lines were counted: the same one again, from a second worker, is told apart by position.
class counted_lines {
public:
    /// True the first time that it sees a position.
    bool first_time(const cairn::position& line) {
        auto& seen = seen_[{line.source, line.epoch}];
        const std::uint64_t at = line.sequence.value;
        if (at >= seen.size()) seen.resize(std::max<std::size_t>(at + 1, seen.size() * 2));
        if (seen[at]) return false;
        ++size_;
        return seen[at] = true;
    }
    std::uint64_t size() const { return size_; }

private:
    std::map<std::pair<std::string, cairn::epoch>, std::vector<bool>> seen_;
    std::uint64_t size_ = 0;
};

/// All figures as integers, to compare two runs to the digit.
inline std::string exact(const delays& all) {
    std::string text = "hour,flights,minutes,late,median,p90,worst\n";
    for (std::size_t hour = 0; hour < all.hours.size(); ++hour) {
        const hour_delays& h = all.hours[hour];
        if (h.flights == 0) continue;
        text += std::to_string(hour);
        for (const std::int64_t figure :
             {static_cast<std::int64_t>(h.flights), h.minutes, static_cast<std::int64_t>(h.late),
              static_cast<std::int64_t>(h.percentile(50)),
              static_cast<std::int64_t>(h.percentile(90)),
              static_cast<std::int64_t>(h.percentile(100))}) {
            text += ',' + std::to_string(figure);
        }
        text += '\n';
    }
    return text + "unreadable," + std::to_string(all.unreadable) + '\n';
}

/// One row of the table; the bar is full at `most` minutes of mean delay.
inline std::string row(const std::string& name, const hour_delays& h, double most) {
    using examples::mean, examples::right, examples::thousands;
    const auto late = mean(static_cast<std::int64_t>(h.late * 100), h.flights) + " %";
    const auto drawn = examples::bar(double(h.minutes) / double(h.flights), most, 18);
    return right(name, 6) + right(thousands(h.flights), 12) + right(late, 8) +
           right(std::to_string(h.percentile(50)), 9) + right(std::to_string(h.percentile(90)), 8) +
           right(std::to_string(h.percentile(100)), 8) + right(mean(h.minutes, h.flights), 8) +
           (drawn.empty() ? "" : " " + examples::coloured(33, drawn)) + "\n";
}

/// The table for people: at most 80 columns, a bar for the mean delay.
inline std::string table(const delays& all) {
    hour_delays day;
    for (const auto& h : all.hours) day.add(h);
    // An hour of the night with a few very late flights shall not make all other bars short.
    double most = 0;
    for (const auto& h : all.hours) {
        if (h.flights * 200 > day.flights) {
            most = std::max(most, double(h.minutes) / double(h.flights));
        }
    }
    std::string text = examples::coloured(
        2, "  hour     flights    late   median    90 %   worst    mean delay, minutes\n");
    for (std::size_t hour = 0; hour < all.hours.size(); ++hour) {
        if (all.hours[hour].flights == 0) continue;
        text += row(std::to_string(hour) + " h", all.hours[hour], most);
    }
    if (day.flights > 0) text += row("day", day, most);
    return text + examples::coloured(2, "  late: more than 15 minutes; without a delay: " +
                                            examples::thousands(all.unreadable) + " records\n");
}

}  // namespace flights
