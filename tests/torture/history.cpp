#include "history.hpp"

#include <algorithm>
#include <fstream>
#include <map>
#include <set>
#include <sstream>
#include <utility>

namespace cairn::test {

namespace {

using place = std::pair<std::uint64_t, std::uint64_t>;  // epoch and sequence

/// Ranges of one run that were told as missing.
class ranges {
public:
    void add(std::uint64_t epoch, std::uint64_t first, std::uint64_t last) {
        all_[epoch].emplace_back(first, last);
    }
    /// The first sequence at or after `at` that no range holds.
    std::uint64_t behind(std::uint64_t epoch, std::uint64_t at) const {
        const auto found = all_.find(epoch);
        if (found == all_.end()) return at;
        for (bool moved = true; moved;) {
            moved = false;
            for (const auto& [first, last] : found->second)
                if (first <= at && at <= last) {
                    at = last + 1;
                    moved = true;
                }
        }
        return at;
    }
    bool contains(const place& p) const { return behind(p.first, p.second) != p.second; }

private:
    std::map<std::uint64_t, std::vector<std::pair<std::uint64_t, std::uint64_t>>> all_;
};

struct group_state {
    std::set<place> given;
    std::set<place> acked;
    place newest{};
    ranges gaps;
};

class checker {
public:
    explicit checker(const std::vector<std::string>& groups) {
        for (const std::string& g : groups) groups_[g];
    }

    void add(const fact& f) {
        const place at{f.epoch, f.first};
        switch (f.what) {
            case fact::kind::invoked:
                invoked_.insert(f.text);
                return;
            case fact::kind::published:
                return same(at, f.text);
            case fact::kind::durable:
                durable_[f.epoch] = std::max(durable_[f.epoch], f.first);
                return;
            case fact::kind::lost:
                return lost_.add(f.epoch, f.first, f.last);
            case fact::kind::stored:
                return stored(at, f.text);
            case fact::kind::given:
                return given(groups_[f.who], f.who, at, f.text);
            case fact::kind::gap:
                return groups_[f.who].gaps.add(f.epoch, f.first, f.last);
            case fact::kind::acked:
                groups_[f.who].acked.insert(at);
                return;
            case fact::kind::wiped:
                forgotten_ = std::max(forgotten_, f.epoch);
                return;
        }
    }

    std::vector<std::string> end() {
        for (const auto& [epoch, last] : durable_) {
            if (epoch <= forgotten_) continue;
            for (std::uint64_t s = 1; s <= last; ++s) {
                const place at{epoch, s};
                if (lost_.contains(at)) continue;
                if (!stored_.contains(at)) wrong("C7", at, "confirmed and not in the store");
                for (const auto& [name, g] : groups_)
                    if (!g.given.contains(at))
                        wrong("C1", at, "confirmed and not given to " + name);
            }
        }
        for (const auto& [name, g] : groups_) {
            place expected{0, 1};
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
    void wrong(const std::string& rule, const place& at, const std::string& how) {
        wrong_.push_back(rule + " " + std::to_string(at.first) + ":" + std::to_string(at.second) +
                         " " + how);
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
        if (!stored_.empty() && at <= newest_stored_) wrong("C4", at, "stored out of order");
        newest_stored_ = std::max(newest_stored_, at);
        stored_.insert(at);
    }
    void given(group_state& g, const std::string& name, const place& at, const std::string& text) {
        same(at, text);
        if (!invoked_.contains(text)) wrong("C2", at, "given and never published: " + text);
        if (at.first > forgotten_ && g.acked.contains(at))
            wrong("C5", at, "given again to " + name + " after its ack");
        if (!g.given.insert(at).second) return;
        if (at < g.newest) wrong("C4", at, "given to " + name + " out of order");
        g.newest = std::max(g.newest, at);
    }

    std::uint64_t forgotten_ = 0;  // runs up to there
    std::set<std::string> invoked_;
    std::map<place, std::string> contents_;
    std::map<std::uint64_t, std::uint64_t> durable_;
    ranges lost_;
    std::set<place> stored_;
    std::set<std::string> stored_texts_;
    place newest_stored_{};
    std::map<std::string, group_state> groups_;
    std::vector<std::string> wrong_;
};

}  // namespace

std::string fact::line() const {
    return std::string(1, static_cast<char>(what)) + ' ' + (who.empty() ? "-" : who) + ' ' +
           std::to_string(epoch) + ' ' + std::to_string(first) + ' ' + std::to_string(last) + ' ' +
           text + " .\n";
}

std::optional<fact> fact::from(std::string_view line) {
    std::istringstream words{std::string(line)};
    fact f;
    char what = 0;
    std::string end;
    words >> what >> f.who >> f.epoch >> f.first >> f.last >> f.text;
    if (f.text == ".")
        f.text.clear();
    else
        words >> end;
    if (!words || (!f.text.empty() && end != ".")) return std::nullopt;
    f.what = static_cast<fact::kind>(what);
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
