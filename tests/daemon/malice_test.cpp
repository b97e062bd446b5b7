#include "malice.hpp"
#include "support/eventually.hpp"
#include "support/resident.hpp"
#include "support/rounds.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

// Clients of a store without keys that mean harm.
namespace {

using namespace cairn;
using namespace cairn::test;
using namespace std::string_literals;

// --- What was asked is over before it is answered -----------------------------------------------

// Of a store that counts only what is open, each pair leaves a command on its way to the disk.
TEST_F(Malice, OfOpeningAndClosingWithoutEndHasNoMoreUnderWayThanItsLimit) {
    const auto evil = peer();
    std::uint64_t most = 0;
    for (int i = 0; i != 10'000; ++i) {
        evil->raw().say(wire::open_source{9, "t", "s" + std::to_string(i % 4), epoch{1}});
        evil->raw().say(wire::close_source{9});
        if (i % 50 == 0) most = std::max(most, store_->stats().waiting_bytes);
        if (i == 5'000) honest_go_on();
    }
    // 60 commands of its own at most, and at the moment of asking one of the honest.
    EXPECT_LE(most, 61 * 512U);
    EXPECT_EQ(network().links, 3U);
    EXPECT_TRUE(eventually([&] { return store_->stats().waiting_bytes == 0; }));
    // What has ended counts no more.
    ASSERT_TRUE(evil->raw().answered());
    wire::channel channel = 10;
    EXPECT_TRUE(eventually([&] {
        return answer(*evil, wire::open_source{channel++, "t", "s", epoch{1}},
                      kind::source_opened) == errc::ok;
    }));
}

TEST_F(Malice, OfAttachingAndDetachingWithoutEndHasNoMoreUnderWayThanItsLimit) {
    const auto evil = peer();
    std::uint64_t most = 0;
    for (int i = 0; i != 10'000; ++i) {
        evil->raw().say(wire::attach_group{9, "t", "g", "m", wire::group_kind::each, {}, 0});
        evil->raw().say(wire::detach{9});
        if (i % 50 == 0) most = std::max(most, store_->stats().waiting_bytes);
        if (i == 5'000) honest_go_on();
    }
    EXPECT_LE(most, 51 * 512U);
    EXPECT_EQ(network().links, 3U);
    ASSERT_TRUE(evil->raw().answered());
    wire::channel channel = 10;
    EXPECT_TRUE(eventually([&] {
        return answer(*evil,
                      wire::attach_group{channel++, "t", "g", "m", wire::group_kind::each, {}, 0},
                      kind::group_attached) == errc::ok;
    }));
    EXPECT_TRUE(eventually([&] { return store_->stats().members == 1; }));
}

// --- Too much -----------------------------------------------------------------------------------

TEST_F(Malice, OfSourcesWithoutNumberEndsAtTheLimitOfThePeer) {
    const auto evil = peer();
    for (wire::channel c = 1; c <= 60; ++c)
        ASSERT_TRUE(evil->open(c, "t", "s" + std::to_string(c), 1));
    const std::uint64_t before = network().frames_malformed;
    for (wire::channel c = 61; c <= 260; ++c) {
        evil->raw().say(wire::open_source{c, "t", "s" + std::to_string(c), epoch{1}});
        EXPECT_EQ(evil->raw().refusal(kind::error), errc::limit_exceeded);
    }
    EXPECT_EQ(network().frames_malformed, before + 200);
    EXPECT_EQ(store_->stats().sources, 61U);
    evil->raw().say(wire::close_source{1});
    EXPECT_TRUE(evil->open(300, "t", "other", 1)) << "the link was not cut";
}

TEST_F(Malice, OfAttachmentsWithoutNumberEndsAtTheLimitOfThePeer) {
    const auto evil = peer();
    for (wire::channel c = 1; c <= 50; ++c) ASSERT_TRUE(evil->attach(c, "t", "g"));
    for (wire::channel c = 51; c <= 250; ++c)
        EXPECT_EQ(answer(*evil, wire::attach_group{c, "t", "g", "m", wire::group_kind::each, {}, 0},
                         kind::group_attached),
                  errc::limit_exceeded);
    EXPECT_EQ(store_->stats().members, 50U);
    EXPECT_TRUE(evil->raw().answered());
}

TEST_F(Malice, OfSubscriptionsWithoutNumberEndsAtTheLimitOfThePeer) {
    const auto evil = peer();
    const auto subscribing = [&](wire::channel c, bool more) {
        return wire::subscribe{c, "honest", wire::start::live, 0, more, {}};
    };
    for (wire::channel c = 1; c <= 50; ++c)
        EXPECT_EQ(answer(*evil, subscribing(c, false), kind::subscribed), errc::ok);
    for (wire::channel c = 51; c <= 250; ++c)
        for (const bool more : {false, true})
            EXPECT_EQ(answer(*evil, subscribing(c, more), kind::subscribed), errc::limit_exceeded);
    EXPECT_EQ(store_->stats().subscriptions, 51U) << "and the honest one";
    EXPECT_EQ(answer(*evil, subscribing(50, false), kind::subscribed), errc::ok)
        << "one that replaces another is none more";
    evil->raw().say(wire::unsubscribe{50});
    EXPECT_EQ(answer(*evil, subscribing(51, false), kind::subscribed), errc::ok);
}

TEST_F(Malice, OfTopicsWithoutNumberEndsAtTheLimitOfTheStore) {
    const auto evil = peer();
    std::size_t made = 0;
    for (wire::channel c = 1; c <= 40; ++c)
        if (answer(*evil, wire::open_source{c, "t" + std::to_string(c), "s", epoch{1}},
                   kind::source_opened) == errc::ok)
            ++made;
    EXPECT_EQ(made, 19U) << "and the honest one";
    EXPECT_EQ(answer(*evil, wire::attach_group{50, "more", "g", "", wire::group_kind::each, {}, 0},
                     kind::group_attached),
              errc::limit_exceeded);
    EXPECT_TRUE(evil->raw().answered());
}

TEST_F(Malice, OfConnectionsWithoutNumberHoldsUpNobody) {
    // Beyond peers_max and the backlog a connect() of our own would block, and the honest with it.
    const std::size_t wanted = long_test() ? 1'800 : 300;
    rlimit limit{};
    ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &limit), 0);
    const std::size_t before = resident_bytes();
    std::vector<std::unique_ptr<raw_peer>> silent;
    for (std::size_t i = 0; i != wanted; ++i) {
        try {
            silent.push_back(std::make_unique<raw_peer>(port()));
        } catch (const std::system_error&) {
            // The store accepts no more for now.
        }
        if (i % 20 == 0) honest_go_on();
    }
    EXPECT_EQ(network().links, 2U);
    // What a connection costs of which nobody knows yet whose it is.
    if (!sanitized) {
        EXPECT_LE(resident_bytes(), before + silent.size() * (16 << 10));
    }
}

// --- Below the protocol -------------------------------------------------------------------------

TEST_F(Malice, InHandshakesCutAnywhereHoldsUpNobody) {
    const std::string greeting = null_greeting();
    std::vector<std::unique_ptr<raw_peer>> cut;
    for (std::size_t bytes = 0; bytes <= greeting.size(); ++bytes) {
        cut.push_back(std::make_unique<raw_peer>(port()));
        cut.back()->send(greeting.substr(0, bytes));
    }
    honest_go_on();
    cut.clear();
    EXPECT_EQ(network().links, 2U);
}

TEST_F(Malice, InCommandsOfZeroMQEndsItsOwnConnectionAtMost) {
    for (const std::string& command :
         {"\x04\x00"s, "\x04\x06\x05READY"s, "\x04\x02\x05R"s, "\x04\x01\xff"s,
          "\x04\x0a\x09SUBSCRIBE"s, "\x04\x08\x07UNKNOWN"s, "\x07\x00"s, "\xff\xff\xff\xff"s,
          // CVE-2019-6250: a size that overflows where it is added to.
          "\x02" + std::string(8, '\xff'), "\x02\x7f" + std::string(7, '\xff')}) {
        raw_peer evil(port());
        ASSERT_TRUE(evil.greet_as_dealer());
        evil.send(command);
        evil.send(command);
    }
    EXPECT_EQ(network().links, 2U);
}

TEST_F(Malice, OfAThousandFramesInAMessageIsOneMalformedFrame) {
    const auto evil = peer();
    evil->raw().say(std::vector<std::string>(1'000, "x"));
    EXPECT_EQ(evil->raw().refusal(kind::error), errc::malformed);
    EXPECT_TRUE(evil->raw().answered());
    EXPECT_EQ(network().frames_malformed, 1U);
}

// --- Credit, repair, and reading nothing --------------------------------------------------------

TEST_F(Malice, OfRepairsWithoutEndIsPaidWithTheCreditOfWhoAsks) {
    ASSERT_TRUE(peer()->store("kept", "friend", 7, 1, 1'000));
    const std::uint64_t page = records_from(1, 1'000).size();
    const auto evil = peer();
    const std::uint64_t before = store_->stats().replayed_bytes;
    evil->subscribe("kept", 10 * page);
    for (int i = 0; i != 2'000; ++i) {
        evil->raw().say(wire::repair{1, {"kept", "friend", epoch{7}, sequence{1}}});
        evil->raw().say(wire::repair{1, {"kept", "friend", epoch{7}, sequence{everything}}});
        evil->raw().say(wire::repair{1, {"kept", "nobody", epoch{everything}, sequence{0}}});
        if (i == 1'000) honest_go_on();
    }
    EXPECT_TRUE(evil->raw().answered());
    EXPECT_LE(store_->stats().replayed_bytes - before, 11 * page + 100);
}

TEST_F(Malice, OfCreditThatFallsOrIsWithoutEndIsWorthWhatWasGranted) {
    const auto evil = peer();
    evil->subscribe("honest", 0);
    ASSERT_TRUE(evil->raw().hear(kind::subscribed));
    for (const std::uint64_t granted : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{0}})
        evil->raw().say(wire::credit{1, granted, everything});
    EXPECT_EQ(evil->read(sent_).size(), 1U) << "one byte is one batch";
    evil->raw().say(wire::credit{1, everything, 0});
    evil->raw().say(wire::credit{1, 0, everything});
    honest_go_on();
    EXPECT_FALSE(evil->read(1).empty()) << "a lower total takes nothing back";
    for (int i = 0; i != 1'000; ++i) evil->raw().say(wire::credit{1, everything, everything});
    EXPECT_TRUE(evil->raw().answered());
}

TEST_F(Malice, OfReadingNothingIsSentNoMoreThanItsShare) {
    const std::string body(1'000'000, 'x');
    std::vector<std::byte> record(wire::record_bytes(0, body.size()));
    wire::write_record(record.data(), {}, std::as_bytes(std::span(body)));
    const std::string large(reinterpret_cast<const char*>(record.data()), record.size());
    const auto writer = peer();
    ASSERT_TRUE(writer->open(1, "large", "friend", 7));
    for (std::uint64_t n = 1; n <= 100; ++n) {
        writer->append(1, n, 1, large);
        ASSERT_TRUE(writer->confirmed(n));
    }
    const auto evil = peer();
    evil->subscribe("large", everything);
    // Nothing tells that no more will come but that something else has come since: a reader that
    // began later has all of it.
    const auto late = peer();
    late->subscribe("large", ample);
    EXPECT_EQ(late->read(100), std::vector<std::string>{"friend 7:1-100"});
    EXPECT_LE(store_->stats().replayed_bytes, 100'100'000U + (66U << 20));
    honest_go_on();
}

// --- Absurd numbers -----------------------------------------------------------------------------

TEST_F(Malice, OfAbsurdPlacesIsAnsweredWithinWhatThereIs) {
    const auto evil = peer();
    for (const auto place : {wire::place::first, wire::place::end, wire::place::last,
                             wire::place::offset, wire::place::time}) {
        for (const std::uint64_t value : {std::uint64_t{0}, everything, everything / 2 + 1}) {
            const std::string points = evil->locate("honest", place, value);
            EXPECT_TRUE(points == "friend 7:1" || points == "friend 7:2" || points.empty())
                << points;
        }
    }
    wire::channel channel = 1;
    for (const std::uint64_t run : {std::uint64_t{0}, std::uint64_t{7}, everything}) {
        for (const std::uint64_t next : {std::uint64_t{0}, everything, everything / 2 + 1}) {
            evil->raw().say(wire::subscribe{channel++,
                                            "honest",
                                            wire::start::earliest,
                                            0,
                                            false,
                                            {{"honest", "friend", epoch{run}, sequence{next}}}});
            EXPECT_TRUE(evil->raw().hear_either(kind::subscribed, kind::error));
        }
    }
    EXPECT_TRUE(evil->raw().answered());
}

TEST_F(Malice, OfSequencesThatJumpIsRefusedWithTheOneThatIsDue) {
    for (const std::uint64_t first : {everything, everything / 2 + 1, std::uint64_t{2}}) {
        const auto evil = peer();
        ASSERT_TRUE(evil->open(1, "t", "s" + std::to_string(first), 1));
        evil->append(1, first, 1);
        const auto told = evil->raw().hear_any({kind::append_refused, kind::error});
        ASSERT_TRUE(told) << first;
        if (const auto* refused = std::get_if<wire::append_refused>(&*told)) {
            EXPECT_EQ(refused->next, sequence{1}) << first;
            evil->append(1, 1, 1);
            EXPECT_TRUE(evil->confirmed(1)) << first;
        }
    }
    const auto other = peer();
    ASSERT_TRUE(other->open(1, "t", "other", 1));
    other->append(1, 1, 1);
    EXPECT_TRUE(other->confirmed(1));
}

TEST_F(Malice, OfLosingEverythingHarmsItsOwnSourceOnly) {
    const auto evil = peer();
    ASSERT_TRUE(evil->open(1, "honest", "evil", 1));
    evil->lose(1, 9, 3);
    evil->lose(1, 0, everything);
    evil->lose(1, 2, everything);
    EXPECT_TRUE(evil->raw().answered());
    honest_go_on();
    const auto again = peer();
    ASSERT_TRUE(again->open(1, "t", "evil", 2));
    again->append(1, 1, 1);
    EXPECT_TRUE(again->confirmed(1));
}

TEST_F(Malice, OfWrongChecksumsIsRefusedEachTimeAndCounted) {
    const auto evil = peer();
    ASSERT_TRUE(evil->open(1, "t", "s", 1));
    for (int i = 0; i != 150; ++i) {
        evil->append(1, 1, 1, records_from(1, 1), false);
        const auto told = evil->raw().hear<wire::append_refused>(kind::append_refused);
        ASSERT_TRUE(told);
        EXPECT_EQ(told->code, errc::checksum_mismatch);
    }
    EXPECT_EQ(store_->stats().appends_refused, 150U);
    EXPECT_TRUE(evil->raw().answered());
}

// --- Names --------------------------------------------------------------------------------------

TEST_F(Malice, InNamesReachesNeitherFilesNorTheLog) {
    const std::set<std::string> before = files();
    const auto evil = peer();
    wire::channel channel = 1;
    for (const std::string& name :
         {"\0"s, "a\0b"s, "a\nERROR forged"s, "\x1b[2J"s, "a*b"s, "\x7f"s}) {
        EXPECT_EQ(
            answer(*evil, wire::open_source{channel++, name, "s", epoch{1}}, kind::source_opened),
            errc::topic_invalid);
        EXPECT_EQ(answer(*evil, wire::locate{channel++, name, wire::place::end, 0}, kind::located),
                  errc::topic_invalid);
    }
    // Names of paths are names: no file is ever called after a topic.
    for (const std::string& name : {"../../escape"s, "/etc/passwd"s, "\xc0\xae\xc0\xae/x"s})
        EXPECT_EQ(answer(*evil, wire::open_source{channel++, name, "../s", epoch{1}},
                         kind::source_opened),
                  errc::ok);
    // Our own encoder writes no such names.
    for (const auto& [written, wrong] :
         {std::pair{"\xa0"s, errc::malformed},
          std::pair{"\xda\x01\x00"s + std::string(256, 'x'), errc::too_large},
          std::pair{"\xdb\x00\x01\x00\x00"s + std::string(65'536, 'x'), errc::too_large}}) {
        std::vector<std::byte> bytes;
        wire::encode(wire::open_source{channel++, "T", "s", epoch{1}}, bytes);
        std::string frame(reinterpret_cast<const char*>(bytes.data()), bytes.size());
        frame.replace(frame.find("\xa1T"), 2, written);
        evil->raw().say(std::vector{frame});
        EXPECT_EQ(evil->raw().refusal(kind::error), wrong);
    }
    evil->raw().say(wire::attach_group{
        channel++, "t", "g\nERROR", "m\x1b[2J\n", wire::group_kind::each, {}, 0});
    EXPECT_TRUE(evil->raw().answered());
    EXPECT_EQ(files(), before);
    const std::lock_guard hold(mutex_);
    for (const std::string& line : lines_) EXPECT_EQ(line.find_first_of("\n\x1b"), line.npos);
}

// --- Rights and keys ----------------------------------------------------------------------------

TEST_F(Malice, BeyondItsRightsIsRefusedForEachRightAndRequest) {
    struct asked {
        wire::control_frame frame;
        kind good;
        std::function<bool(const rights&)> allowed;
    };
    ASSERT_TRUE(peer()->open(2, "t", "friend", 7));
    const auto admin = [](const rights& r) { return r.admin; };
    const auto any = [](const rights& r) {
        return r.publish || r.subscribe || r.consume || r.admin;
    };
    const std::vector<asked> all{
        {wire::open_source{20, "t", "s", epoch{1}}, kind::source_opened,
         [](const rights& r) { return r.publish; }},
        {wire::subscribe{21, "t", wire::start::live, 0, false, {}}, kind::subscribed,
         [](const rights& r) { return r.subscribe || r.consume; }},
        {wire::locate{22, "t", wire::place::end, 0}, kind::located,
         [](const rights& r) { return r.subscribe || r.consume; }},
        {wire::attach_group{23, "t", "g", "", wire::group_kind::each, {}, 0}, kind::group_attached,
         [](const rights& r) { return r.consume; }},
        {wire::list_sources{{24, "t"}}, kind::sources, any},
        {wire::list_groups{{25, "t"}}, kind::groups, any},
        {wire::list_figures{26}, kind::figures, admin},
        {wire::create_topic{{27, "u", {}}}, kind::done, admin},
        {wire::alter_topic{{28, "u", {.messages_max = 7}}}, kind::done, admin},
        {wire::trim{29, "u", wire::place::first, 0}, kind::done, admin},
        {wire::create_group{30, "u", "g", {}, wire::place::first, 0}, kind::done, admin},
        {wire::seek_group{31, "u", "g", wire::place::first, 0}, kind::done, admin},
        {wire::delete_group{32, "u", "g"}, kind::done, admin},
        {wire::delete_topic{{33, "u"}}, kind::done, admin}};
    for (unsigned bits = 0; bits != 16; ++bits) {
        rights may;
        may.publish = (bits & 1) != 0;
        may.subscribe = (bits & 2) != 0;
        may.consume = (bits & 4) != 0;
        may.admin = (bits & 8) != 0;
        allow({{"*", "*", may}});
        const auto who = peer();
        for (const asked& a : all)
            EXPECT_EQ(answer(*who, a.frame, a.good),
                      a.allowed(may) ? errc::ok : errc::not_authorised)
                << bits << ' ' << a.frame.index();
        // A list is never refused: it leaves out what its reader has no right to.
        who->raw().say(wire::list_topics{34, "*"});
        const auto listed = who->raw().hear<wire::topics>(kind::topics);
        ASSERT_TRUE(listed);
        const bool others = std::any_of(listed->items.begin(), listed->items.end(),
                                        [](const auto& t) { return t.name != "honest"; });
        EXPECT_EQ(others, any(may)) << bits;
    }
}

// Whoever is set up wrongly asks again and again: its other requests are served all the same.
TEST_F(Malice, OfAThousandRequestsInVainEndsNoLink) {
    allow({{"*", "t", {.publish = true}}});
    const auto misled = peer();
    const std::uint64_t before = network().frames_malformed;
    for (wire::channel c = 1; c <= 1'000; ++c)
        EXPECT_EQ(answer(*misled, wire::subscribe{c, "t", wire::start::live, 0, false, {}},
                         kind::subscribed),
                  errc::not_authorised);
    EXPECT_TRUE(misled->store("t", "s", 1, 1, 1));
    EXPECT_EQ(network().frames_malformed, before + 1'000) << "each is counted";
    for (int i = 0; i != 100; ++i) misled->raw().say({"garbage"});
    EXPECT_EQ(misled->raw().refusal(kind::bye), errc::malformed) << "and nonsense is cut";
}

}  // namespace
