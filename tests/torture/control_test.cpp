#include "torture.hpp"

#include <algorithm>
#include <csignal>
#include <ostream>
#include <set>

// Negative controls: of a store or a reader that breaks one rule on purpose the checker has to
// complain.
namespace cairn::test {
namespace {

struct broken {
    std::string name;
    std::string daemon;           ///< the rule that cairn::store_server breaks
    std::string store;            ///< the rule that cairn::store breaks
    std::string reader;           ///< the rule that the group's process breaks
    std::set<std::string> rules;  ///< those of check_history() that have to complain
};

void PrintTo(const broken& b, std::ostream* out) { *out << b.name; }

class BrokenProcess : public Torture, public testing::WithParamInterface<broken> {
protected:
    static process start_broken(const std::string& program, std::vector<std::string> words) {
        words.insert(words.begin(), {"/usr/bin/env", "CAIRN_DAEMON_SABOTAGE=" + GetParam().daemon,
                                     "CAIRN_STORE_SABOTAGE=" + GetParam().store,
                                     "CAIRN_PARTY_SABOTAGE=" + GetParam().reader, program});
        return std::make_unique<child_process>(words);
    }
    void begin_store() {
        store_process_.reset();
        store_process_ = start_broken(CAIRN_TORTURE_PARTY_BROKEN, {"store", file("data"), store_});
    }
    void begin_publisher(const std::string& messages) {
        publisher_.reset();
        publisher_ = start({"publisher", "publisher", home_, store_, file("state"),
                            file("publisher.log"), "spill", messages});
    }
    void begin_alarms() {
        alarms_.reset();
        alarms_ = start_broken(CAIRN_TORTURE_PARTY,
                               {"subscriber", "alarms", store_, file("alarms.log"), home_});
    }
    /// All of it, until the store confirmed and groups were given and acked some more.
    bool goes_on() { return confirmed_.grows(200) && given_.grows(200) && acked_.grows(200); }
    /// C8: who works comes to an end in no time, and whoever does not come to one in any.
    std::set<std::string> come_to_an_end() {
        const auto time = GetParam().rules.contains("C8") ? 3s : 60s;
        std::set<std::string> rules;
        EXPECT_EQ(alarms_->wait(60s), 0) << alarms_->output();
        const auto code = publisher_->wait(time);
        if (!code) rules.insert("C8");
        EXPECT_TRUE(!code || code == 0) << publisher_->output();
        return rules;
    }

    std::string home_ = "ipc://" + file("home");
    process store_process_;
    process publisher_;
    process alarms_;
    followed confirmed_{file("publisher.log"), fact::kind::durable};
    followed given_{file("alarms.log"), fact::kind::given};
    followed acked_{file("alarms.log"), fact::kind::acked};
};

TEST_P(BrokenProcess, IsFoundOut) {
    groups_ = {"alarms"};
    begin_store();
    begin_publisher("0");
    // There is something to begin with.
    EXPECT_TRUE(confirmed_.grows(200));
    begin_alarms();
    EXPECT_TRUE(goes_on());
    begin_alarms();
    EXPECT_TRUE(goes_on()) << "after the group";
    begin_store();
    EXPECT_TRUE(goes_on()) << "after the store";
    // What the group then still needs the store alone has.
    alarms_.reset();
    EXPECT_TRUE(confirmed_.grows(200));
    publisher_.reset();
    begin_store();
    begin_alarms();
    begin_publisher("500");
    std::set<std::string> rules = come_to_an_end();
    publisher_.reset();
    store_process_.reset();
    for (const std::string& w : wrong(found_on_the_disk())) rules.insert(w.substr(0, 2));
    if (GetParam().rules.empty()) {
        EXPECT_EQ(rules, std::set<std::string>{});
    }
    EXPECT_TRUE(
        std::includes(rules.begin(), rules.end(), GetParam().rules.begin(), GetParam().rules.end()))
        << testing::PrintToString(rules);
}

INSTANTIATE_TEST_SUITE_P(
    That, BrokenProcess,
    testing::Values(broken{"BreaksNothing", "", "", "", {}},
                    broken{"SaysThatItLacksWhatItHas", "false-gone", "", "", {"C1"}},
                    broken{"AltersWhatItStores", "alter-append", "", "", {"C2"}},
                    broken{"MixesUpWhatItStores", "mix-up", "", "", {"C3"}},
                    broken{"PassesOnInAnyOrder", "", "", "any-order", {"C4"}},
                    broken{"LosesAcksThatItConfirms", "lose-acks", "", "", {"C5"}},
                    broken{"ForgetsAcks", "forget-acks", "", "", {"C5"}},
                    broken{"TakesRepeats", "repeat-append", "no-duplicate-check", "", {"C4", "C6"}},
                    broken{"LosesWhatItConfirms", "lose-append", "accept-hole", "", {"C7"}},
                    broken{"ConfirmsAllButTheLast", "confirm-late", "", "", {"C8"}},
                    broken{"SkipsWhatAGroupHasNotDone", "skip-points", "", "", {"C9"}}),
    [](const auto& of) { return of.param.name; });

using KilledStore = Torture;

// Its publisher still holds what is missing, and makes up for it when the store is back.
TEST_F(KilledStore, ThatConfirmedTooEarlyIsFoundOut) {
    const std::string log = file("publisher.log");
    process kept = std::make_unique<child_process>(std::vector<std::string>{
        "/usr/bin/env", "CAIRN_TEST_HANG=" + file("hang"), "CAIRN_DAEMON_SABOTAGE=confirm-at-once",
        CAIRN_TORTURE_PARTY_BROKEN, "store", file("data"), store_});
    const process sender = start({"publisher", "publisher", "ipc://" + file("home"), store_,
                                  file("state"), log, "spill", "0"});
    ASSERT_TRUE(followed(log, fact::kind::durable).grows(10));
    std::ofstream(file("hang")) << "";
    ASSERT_TRUE(eventually([&] { return std::filesystem::exists(file("hang.held")); }, patience));
    followed still(log, fact::kind::durable);
    static_cast<void>(still.count());
    ASSERT_TRUE(still.grows(10));
    kept->signal(SIGKILL);
    EXPECT_EQ(kept->wait(patience), 128 + SIGKILL);
    EXPECT_LT(head_on_the_disk("publisher"), followed_confirms(log).newest());
}

}  // namespace
}  // namespace cairn::test
