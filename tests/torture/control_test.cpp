#include "torture.hpp"

#include <algorithm>
#include <csignal>
#include <ostream>
#include <set>

// Negative controls: with a store that breaks one rule on purpose the checker has to complain.
namespace cairn::test {
namespace {

struct broken {
    std::string name;
    std::string daemon;  ///< the rule that cairn::store_server breaks
    std::string store;   ///< the rule that cairn::store breaks
    std::string rule;    ///< the one of check_history() that has to complain; empty: none
};

void PrintTo(const broken& b, std::ostream* out) { *out << b.rule; }

class BrokenStore : public Torture, public testing::WithParamInterface<broken> {
protected:
    void begin_store() {
        store_process_.reset();
        store_process_ = std::make_unique<child_process>(
            std::vector<std::string>{"/usr/bin/env", "CAIRN_DAEMON_SABOTAGE=" + GetParam().daemon,
                                     "CAIRN_STORE_SABOTAGE=" + GetParam().store,
                                     CAIRN_TORTURE_PARTY_BROKEN, "store", file("data"), store_});
    }
    void begin_publisher(const std::string& messages) {
        publisher_.reset();
        publisher_ = start({"publisher", "publisher", home_, store_, file("state"),
                            file("publisher.log"), "spill", messages});
    }
    void begin_alarms() {
        alarms_.reset();
        alarms_ = start({"subscriber", "alarms", store_, file("alarms.log"), home_});
    }
    /// All of it, until the store confirmed and groups were given and acked some more.
    bool goes_on() { return confirmed_.grows(200) && given_.grows(200) && acked_.grows(200); }

    std::string home_ = "ipc://" + file("home");
    process store_process_;
    process publisher_;
    process alarms_;
    followed confirmed_{file("publisher.log"), fact::kind::durable};
    followed given_{file("alarms.log"), fact::kind::given};
    followed acked_{file("alarms.log"), fact::kind::acked};
};

TEST_P(BrokenStore, IsFoundOut) {
    groups_ = {"alarms"};
    begin_store();
    begin_publisher("0");
    begin_alarms();
    EXPECT_TRUE(goes_on());
    begin_alarms();
    EXPECT_TRUE(goes_on()) << "after the group";
    begin_store();
    EXPECT_TRUE(goes_on()) << "after the store";
    store_process_.reset();
    publisher_.reset();
    alarms_.reset();
    begin_store();
    begin_alarms();
    begin_publisher("500");
    EXPECT_EQ(publisher_->wait(60s), 0) << publisher_->output();
    EXPECT_EQ(alarms_->wait(60s), 0) << alarms_->output();

    auto stored = given_by_the_store();
    if (GetParam().rule == "C6") {
        store_process_.reset();
        stored = found_on_the_disk();
    }
    std::set<std::string> rules;
    for (const std::string& w : wrong(stored)) rules.insert(w.substr(0, 2));
    if (GetParam().rule.empty())
        EXPECT_EQ(rules, std::set<std::string>{});
    else
        EXPECT_TRUE(rules.contains(GetParam().rule)) << "of " << rules.size() << " that complain";
}

INSTANTIATE_TEST_SUITE_P(
    That, BrokenStore,
    testing::Values(broken{"BreaksNothing", "", "", ""},
                    broken{"LosesAcksThatItConfirms", "lose-acks", "", "C5"},
                    broken{"ForgetsAcks", "forget-acks", "", "C5"},
                    broken{"LosesWhatItConfirms", "lose-append", "accept-hole", "C7"},
                    broken{"TakesRepeats", "repeat-append", "no-duplicate-check", "C6"},
                    broken{"SaysThatItLacksWhatItHas", "false-gone", "", "C7"}),
    [](const auto& of) { return of.param.name; });

}  // namespace
}  // namespace cairn::test
