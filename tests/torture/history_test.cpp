#include "history.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <string>
#include <vector>

// The checker finds what it is there to find.
namespace cairn::test {
namespace {

using kind = fact::kind;

std::string text_of(std::uint64_t epoch, std::uint64_t n) {
    return "m" + std::to_string(epoch) + "-" + std::to_string(n);
}

/// Two runs of ten messages, of which the store lost 4 and 5 of the first, and one group.
std::vector<fact> good_history() {
    std::vector<fact> all;
    for (std::uint64_t epoch = 1; epoch <= 2; ++epoch) {
        for (std::uint64_t n = 1; n <= 10; ++n) {
            all.push_back({kind::invoked, "", "one", epoch, 0, 0, text_of(epoch, n)});
            all.push_back({kind::published, "", "one", epoch, n, n, text_of(epoch, n)});
        }
        all.push_back({kind::durable, "", "one", epoch, 10, 0, ""});
    }
    all.push_back({kind::lost, "", "one", 1, 4, 5, ""});
    for (const kind what : {kind::stored, kind::given}) {
        const std::string who = what == kind::given ? "group" : "";
        for (std::uint64_t epoch = 1; epoch <= 2; ++epoch) {
            for (std::uint64_t n = 1; n <= 10; ++n) {
                if (epoch == 1 && (n == 4 || n == 5)) continue;
                if (epoch == 1 && n == 6 && what == kind::given)
                    all.push_back({kind::gap, who, "one", 1, 4, 5, ""});
                all.push_back({what, who, "one", epoch, n, n, text_of(epoch, n)});
                if (what == kind::given) all.push_back({kind::acked, who, "one", epoch, n, n, ""});
            }
        }
    }
    return all;
}

std::vector<std::string> rules_broken(const std::vector<fact>& facts) {
    std::vector<std::string> rules;
    for (const std::string& w : check_history(facts, {"group"})) rules.push_back(w.substr(0, 2));
    return rules;
}

bool breaks(const std::string& rule, const std::function<void(std::vector<fact>&)>& mutate) {
    auto facts = good_history();
    mutate(facts);
    const auto broken = rules_broken(facts);
    return std::find(broken.begin(), broken.end(), rule) != broken.end();
}

auto find(std::vector<fact>& in, kind what, std::uint64_t epoch, std::uint64_t first) {
    return std::find_if(in.begin(), in.end(), [&](const fact& f) {
        return f.what == what && f.epoch == epoch && f.first == first;
    });
}

TEST(HistoryChecker, FindsNothingWrongWithAGoodHistory) {
    EXPECT_EQ(check_history(good_history(), {"group"}), std::vector<std::string>{});
}

TEST(HistoryChecker, AllowsWhatIsGivenAgainBeforeItsAck) {
    auto facts = good_history();
    const auto at = find(facts, kind::given, 2, 3);
    const fact again = *at;
    facts.insert(at, again);
    EXPECT_EQ(check_history(facts, {"group"}), std::vector<std::string>{});
}

/// The good history, and a second source that published the same number of runs at the same time.
std::vector<fact> history_of_two() {
    auto all = good_history();
    for (fact other : good_history()) {
        other.source = "two";
        if (!other.text.empty()) other.text += "-two";
        all.push_back(other);
    }
    return all;
}

TEST(HistoryChecker, TellsSourcesApart) {
    EXPECT_EQ(check_history(history_of_two(), {"group"}), std::vector<std::string>{});
    auto facts = history_of_two();
    const auto lost = std::find_if(facts.begin(), facts.end(), [](const fact& f) {
        return f.what == kind::lost && f.source == "two";
    });
    facts.erase(lost);
    EXPECT_EQ(check_history(facts, {"group"}).size(), 4U) << "neither stored nor given";
}

TEST(HistoryChecker, FindsWhatWasConfirmedAndNeverGiven) {
    EXPECT_TRUE(breaks("C1", [](auto& h) { h.erase(find(h, kind::given, 2, 7)); }));
    EXPECT_TRUE(breaks("C1", [](auto& h) { h.erase(find(h, kind::given, 2, 10)); }));
}

TEST(HistoryChecker, FindsWhatNobodyPublished) {
    EXPECT_TRUE(breaks("C2", [](auto& h) { find(h, kind::given, 1, 2)->text = "made-up"; }));
    EXPECT_TRUE(breaks("C2", [](auto& h) { find(h, kind::stored, 1, 2)->text = "made-up"; }));
}

TEST(HistoryChecker, FindsAPositionWithTwoContents) {
    EXPECT_TRUE(breaks("C3", [](auto& h) { find(h, kind::given, 1, 2)->text = text_of(1, 3); }));
}

TEST(HistoryChecker, FindsWhatBelongsToAnotherSource) {
    auto facts = history_of_two();
    const auto given = std::find_if(facts.begin(), facts.end(), [](const fact& f) {
        return f.what == kind::given && f.source == "two" && f.first == 2;
    });
    given->text = text_of(1, 2);
    EXPECT_EQ(rules_broken(facts), std::vector<std::string>{"C3"});
}

TEST(HistoryChecker, FindsWhatIsOutOfOrder) {
    EXPECT_TRUE(breaks("C4", [](auto& h) {
        std::iter_swap(find(h, kind::given, 2, 3), find(h, kind::given, 2, 4));
    }));
    EXPECT_TRUE(breaks("C4", [](auto& h) {
        std::iter_swap(find(h, kind::stored, 1, 10), find(h, kind::stored, 2, 1));
    }));
}

TEST(HistoryChecker, FindsWhatIsGivenAgainAfterItsAck) {
    EXPECT_TRUE(breaks("C5", [](auto& h) { h.push_back(*find(h, kind::given, 2, 3)); }));
}

TEST(HistoryChecker, FindsAGroupThatWentBack) {
    auto facts = good_history();
    for (std::uint64_t n = 8; n <= 10; ++n) facts.push_back(*find(facts, kind::given, 2, n));
    EXPECT_EQ(rules_broken(facts), (std::vector<std::string>{"C5", "C5", "C5"}));
}

TEST(HistoryChecker, FindsWhatIsStoredTwice) {
    EXPECT_TRUE(breaks("C6", [](auto& h) {
        fact again = *find(h, kind::stored, 2, 10);
        again.first = 11;
        h.insert(find(h, kind::stored, 2, 10) + 1, again);
    }));
}

TEST(HistoryChecker, FindsWhatWasConfirmedAndIsNotStored) {
    EXPECT_TRUE(breaks("C7", [](auto& h) { h.erase(find(h, kind::stored, 1, 9)); }));
}

TEST(HistoryChecker, FindsAHoleThatWasNotTold) {
    EXPECT_TRUE(breaks("C9", [](auto& h) { h.erase(find(h, kind::gap, 1, 4)); }));
}

TEST(HistoryChecker, AsksNoMoreOfAWipedStoreThanOfTheRunsAfter) {
    const auto forgotten = [](std::uint64_t up_to, const auto& mutate) {
        return [up_to, mutate](std::vector<fact>& h) {
            mutate(h);
            h.insert(h.begin(), {kind::wiped, "", "one", up_to, 0, 0, ""});
        };
    };
    const auto unstored = [](auto& h) { h.erase(find(h, kind::stored, 1, 9)); };
    const auto ungiven = [](auto& h) { h.erase(find(h, kind::given, 1, 10)); };
    const auto again = [](auto& h) { h.push_back(*find(h, kind::given, 1, 3)); };
    EXPECT_FALSE(breaks("C7", forgotten(1, unstored)));
    EXPECT_FALSE(breaks("C1", forgotten(1, ungiven)));
    EXPECT_FALSE(breaks("C5", forgotten(1, again)));
    EXPECT_TRUE(breaks("C1", forgotten(1, [](auto& h) { h.erase(find(h, kind::given, 2, 7)); })));
    EXPECT_TRUE(breaks("C9", forgotten(1, [](auto& h) { h.erase(find(h, kind::gap, 1, 4)); })));
}

TEST(HistoryChecker, PassesOverALineThatWasNotFinished) {
    EXPECT_TRUE(fact::from("g group one 1 2 2 m1-2 ."));
    EXPECT_TRUE(fact::from("d - one 1 2 0  ."));
    for (const char* line : {"", "g", "g group one 1 2 2 m1-2", "g group one 1 2", "d - one 1 2 0"})
        EXPECT_FALSE(fact::from(line)) << line;
}

}  // namespace
}  // namespace cairn::test
