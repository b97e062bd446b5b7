#include "history.hpp"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <utility>

namespace cairn::test {

namespace {

using run = std::pair<std::size_t, std::uint64_t>;  // source, by its number, and epoch
using place = std::pair<run, std::uint64_t>;        // and sequence

/// Ranges of runs that were told as missing.
class ranges {
public:
    void add(const run& of, std::uint64_t first, std::uint64_t last) {
        auto& all = all_[of];
        auto next = all.upper_bound(first);
        if (next != all.begin() && std::prev(next)->second + 1 >= first) {
            first = std::prev(next)->first;
            last = std::max(last, std::prev(next)->second);
            next = all.erase(std::prev(next));
        }
        while (next != all.end() && next->first <= last + 1) {
            last = std::max(last, next->second);
            next = all.erase(next);
        }
        all[first] = last;
    }
    /// The first sequence at or after `at` that no range holds.
    std::uint64_t behind(const run& of, std::uint64_t at) const {
        const auto found = all_.find(of);
        if (found == all_.end()) return at;
        const auto next = found->second.upper_bound(at);
        return next == found->second.begin() ? at : std::max(at, std::prev(next)->second + 1);
    }
    bool contains(const place& p) const { return behind(p.first, p.second) != p.second; }

private:
    std::map<run, std::map<std::uint64_t, std::uint64_t>> all_;  // none touches another
};

struct group_state {
    std::set<place> given;
    std::set<place> acked;
    std::map<std::size_t, place> newest;  // by source
    ranges gaps;
};

class checker {
public:
    explicit checker(const std::vector<std::string>& groups) {
        for (const std::string& g : groups) groups_[g];
    }

    void add(const fact& f) {
        const place at{{number_of(f.source), f.epoch}, f.first};
        switch (f.what) {
            case fact::kind::invoked:
                invoked_.insert(f.text);
                return;
            case fact::kind::published:
                return same(at, f.text);
            case fact::kind::durable:
                durable_[at.first] = std::max(durable_[at.first], f.first);
                return;
            case fact::kind::lost:
                return lost_.add(at.first, f.first, f.last);
            case fact::kind::stored:
                return stored(at, f.text);
            case fact::kind::given:
                return given(groups_[f.who], f.who, at, f.text);
            case fact::kind::gap:
                return groups_[f.who].gaps.add(at.first, f.first, f.last);
            case fact::kind::acked:
                groups_[f.who].acked.insert(at);
                return;
            case fact::kind::wiped:
                forgotten_[at.first.first] = f.epoch;
                return;
        }
    }

    std::vector<std::string> end() {
        for (const auto& [of, last] : durable_) {
            if (forgotten(of)) continue;
            for (std::uint64_t s = 1; s <= last; ++s) {
                const place at{of, s};
                if (lost_.contains(at)) continue;
                if (!stored_.contains(at)) wrong("C7", at, "confirmed and not in the store");
                for (const auto& [name, g] : groups_)
                    if (!g.given.contains(at))
                        wrong("C1", at, "confirmed and not given to " + name);
            }
        }
        for (const auto& [name, g] : groups_) {
            place expected{{}, 1};
            for (const place& at : g.given) {
                if (at.first != expected.first) expected = {at.first, 1};
                expected.second = g.gaps.behind(at.first, expected.second);
                if (expected.second < at.second)
                    wrong("C9", expected, "neither given to " + name + " nor told as a gap");
                expected.second = at.second + 1;
            }
        }
        return std::move(wrong_);
    }

private:
    std::size_t number_of(const std::string& source) {
        const auto known = std::find(sources_.begin(), sources_.end(), source);
        if (known == sources_.end()) return sources_.push_back(source), sources_.size() - 1;
        return static_cast<std::size_t>(known - sources_.begin());
    }
    bool forgotten(const run& which) const {
        const auto found = forgotten_.find(which.first);
        return found != forgotten_.end() && which.second <= found->second;
    }
    void wrong(const std::string& rule, const place& at, const std::string& how) {
        wrong_.push_back(rule + " " + sources_[at.first.first] + " " +
                         std::to_string(at.first.second) + ":" + std::to_string(at.second) + " " +
                         how);
    }
    void same(const place& at, const std::string& text) {
        const auto [known, is_new] = contents_.try_emplace(at, text);
        if (!is_new && known->second != text)
            wrong("C3", at, "holds " + known->second + " and " + text);
    }
    void stored(const place& at, const std::string& text) {
        same(at, text);
        if (!invoked_.contains(text)) wrong("C2", at, "stored and never published: " + text);
        if (!stored_texts_.insert(text).second) wrong("C6", at, "stored twice: " + text);
        place& newest = newest_stored_[at.first.first];
        if (at <= newest) wrong("C4", at, "stored out of order");
        newest = std::max(newest, at);
        stored_.insert(at);
    }
    void given(group_state& g, const std::string& name, const place& at, const std::string& text) {
        same(at, text);
        if (!invoked_.contains(text)) wrong("C2", at, "given and never published: " + text);
        if (!forgotten(at.first) && g.acked.contains(at))
            wrong("C5", at, "given again to " + name + " after its ack");
        if (!g.given.insert(at).second) return;
        place& newest = g.newest[at.first.first];
        if (at < newest) wrong("C4", at, "given to " + name + " out of order");
        newest = std::max(newest, at);
    }

    std::vector<std::string> sources_;
    std::map<std::size_t, std::uint64_t> forgotten_;  // by source, runs up to there
    std::set<std::string> invoked_;
    std::map<place, std::string> contents_;
    std::map<run, std::uint64_t> durable_;
    ranges lost_;
    std::set<place> stored_;
    std::set<std::string> stored_texts_;
    std::map<std::size_t, place> newest_stored_;  // by source
    std::map<std::string, group_state> groups_;
    std::vector<std::string> wrong_;
};

}  // namespace

std::string fact::line() const {
    return std::string(1, static_cast<char>(what)) + ' ' + (who.empty() ? "-" : who) + ' ' +
           source + ' ' + std::to_string(epoch) + ' ' + std::to_string(first) + ' ' +
           std::to_string(last) + ' ' + text + " .\n";
}

std::optional<fact> fact::from(std::string_view line) {
    const auto word = [&] {
        line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
        const std::string_view found = line.substr(0, line.find(' '));
        line.remove_prefix(found.size());
        return found;
    };
    const auto number = [&] {
        std::uint64_t n = 0;
        const std::string_view digits = word();
        std::from_chars(digits.data(), digits.data() + digits.size(), n);
        return n;
    };
    fact f;
    const std::string_view what = word();
    f.who = word();
    f.source = word();
    f.epoch = number();
    f.first = number();
    f.last = number();
    if (const std::string_view text = word(); text != ".") {
        f.text = text;
        if (word() != ".") return std::nullopt;
    }
    f.what = static_cast<fact::kind>(what.front());
    return f;
}

std::vector<fact> read_history(const std::string& path) {
    std::vector<fact> all;
    std::ifstream lines(path);
    for (std::string line; std::getline(lines, line);)
        if (auto f = fact::from(line)) all.push_back(std::move(*f));
    return all;
}

std::vector<std::string> check_history(const std::vector<fact>& facts,
                                       const std::vector<std::string>& groups) {
    checker all(groups);
    for (const fact& f : facts) all.add(f);
    return all.end();
}

}  // namespace cairn::test
