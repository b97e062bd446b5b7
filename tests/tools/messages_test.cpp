#include "command.hpp"
#include "support/eventually.hpp"

// cairn read, pub, sub.
namespace {

using namespace cairn::test;

using strings = std::vector<std::string>;

const std::string binary("\x00\xff\x1b[2J\n", 7);

class ReadCommand : public command {
protected:
    void SetUp() override { start_store(); }
    strings bodies(const strings& arguments) const { return all(objects(arguments), "body"); }
    /// Of what is stored, the bytes of a body in each copy that the file has of it.
    void spoil(const std::string& body) const {
        const std::string file = path("data/data.mdb");
        std::string all = contents(file);
        std::size_t copies = 0;
        for (std::size_t at = all.find(body); at != std::string::npos; at = all.find(body, at)) {
            all[at] ^= 1;
            ++copies;
        }
        ASSERT_NE(copies, 0U);
        std::ofstream(file, std::ios::binary | std::ios::in) << all;
    }
};
using PubCommand = ReadCommand;
class StoreWithRights : public command {};

class SubCommand : public command {
protected:
    /// Where the other one listens, from its own words.
    static std::string endpoint(child_process& of) {
        EXPECT_TRUE(of.wait_for_output("\n", patience)) << of.output();
        const std::string& text = of.output();
        const std::size_t begin = text.find("tcp://");
        return begin == std::string::npos ? text : text.substr(begin, text.find('\n') - begin);
    }
};

TEST_F(ReadCommand, PrintsARange) {
    publish("quakes", "one\ntwo\nthree\nfour\n");
    EXPECT_EQ(bodies({"read", "quakes"}), strings({"one", "two", "three", "four"}));
    EXPECT_EQ(bodies({"read", "quakes", "--from", "last:2"}), strings({"three", "four"}));
    EXPECT_EQ(bodies({"read", "quakes", "--from", "offset:2", "--until", "offset:4"}),
              strings({"two", "three"}));
    EXPECT_EQ(bodies({"read", "quakes", "--count", "1"}), strings({"one"}));
    EXPECT_EQ(bodies({"read", "quakes", "--from", "time:2020-02-29T23:59:59.5+01:00"}).size(), 4U);
    EXPECT_TRUE(bodies({"read", "quakes", "--until", "time:2020-02-29"}).empty());
    EXPECT_TRUE(bodies({"read", "quakes", "--from", "time:2200-01-01T00:00Z"}).empty());
}

TEST_F(ReadCommand, PrintsAllOfAMessage) {
    object({"pub", "quakes", "{\"mag\": 5}", "--source", "usgs", "--key", "us7", "--content-type",
            "application/json", "--header", "net=us", "--header", "place=Kéa=1"});
    json read = object({"read", "quakes"});
    EXPECT_GT(read.at("epoch"), 0);
    EXPECT_EQ(read.at("time").get<std::string>().size(), 30U);
    read.erase("epoch");
    read.erase("time");
    EXPECT_EQ(read, json({{"kind", "message"},
                          {"topic", "quakes"},
                          {"source", "usgs"},
                          {"sequence", 1},
                          {"key", "us7"},
                          {"content_type", "application/json"},
                          {"headers", json::array({{{"name", "net"}, {"value", "us"}},
                                                   {{"name", "place"}, {"value", "Kéa=1"}}})},
                          {"body", "{\"mag\": 5}"}}));
}

TEST_F(ReadCommand, GivesBytesThatAreNoTextInBase64) {
    object({"pub", "quakes", "--whole"}, binary);
    EXPECT_EQ(object({"read", "quakes"}).at("body_base64"), "AP8bWzJKCg==");
    EXPECT_EQ(cairn({"read", "quakes", "--raw"}).out, binary + "\n");
}

TEST_F(ReadCommand, ShowsPeopleNoControlCharacters) {
    object({"pub", "quakes", "--whole", "--key", "\x1b[1m"}, binary);
    const std::string shown = cairn({"read", "quakes"}).out;
    EXPECT_NE(shown.find("key=\\x1b[1m  \\x00\\xff\\x1b[2J\\x0a\n"), std::string::npos) << shown;
}

TEST_F(ReadCommand, SaysThatThereIsNoSuchTopic) {
    const outcome none = cairn({"read", "quakes"});
    EXPECT_EQ(none.code, 1);
    EXPECT_TRUE(none.says("cairn topic ls")) << testing::PrintToString(none);
    ASSERT_EQ(cairn({"topic", "create", "quakes"}).code, 0);
    EXPECT_EQ(cairn({"read", "quakes"}).code, 0);
}

TEST_F(ReadCommand, LeavesWithThreeWhenMessagesAreMissing) {
    for (const char* body : {"first of them", "second of them", "third of them"})
        object({"pub", "quakes", body, "--source", "usgs"});
    stop_store();
    spoil("second of them");
    start_store();
    const outcome read = cairn({"read", "quakes"});
    EXPECT_EQ(read.code, 3) << testing::PrintToString(read);
    EXPECT_TRUE(
        read.says("read quakes: 1 message of the range is missing, told in its place; "
                  "cairnd --verify names what is damaged"))
        << read.errors;
    EXPECT_NE(read.out.find("first of them"), std::string::npos) << read.out;
    EXPECT_NE(read.out.find("third of them"), std::string::npos) << read.out;
    EXPECT_EQ(cairn({"read", "quakes", "--from", "last:1"}).code, 0) << "nothing of it is missing";
    EXPECT_NE(cairn({"read", "--help"}).out.find("Leaves with 3"), std::string::npos);
}

TEST_F(ReadCommand, SaysNothingOfWhatWentBeforeTheFirstMessage) {
    std::string lines;
    for (int i = 0; i != 20'000; ++i) lines += "message " + std::to_string(i) + "\n";
    publish("quakes", lines);
    ASSERT_GT(object({"topic", "trim", "quakes", "--before", "last:1"}).at("removed"), 0);
    const outcome read = cairn({"read", "quakes"});
    EXPECT_EQ(read.code, 0);
    EXPECT_EQ(read.errors, "");
    EXPECT_EQ(objects({"read", "quakes"}).front().at("kind"), "message");
}

TEST_F(ReadCommand, SaysWhichOffsetsOfItsRangeWent) {
    for (const char* body : {"one", "two", "three"}) object({"pub", "quakes", body});
    object({"topic", "trim", "quakes", "--before", "last:1"});
    const outcome read = cairn({"read", "quakes", "--from", "offset:1"});
    EXPECT_EQ(read.code, 0);
    EXPECT_TRUE(read.says("quakes: offsets 1 to 2 are gone, by retention, acks or a trim\n"))
        << read.errors;
    EXPECT_EQ(
        objects({"read", "quakes", "--from", "offset:0", "--until", "offset:2"}),
        (std::vector<json>{{{"kind", "trimmed"}, {"topic", "quakes"}, {"first", 1}, {"last", 1}}}));
    EXPECT_EQ(cairn({"read", "quakes", "--from", "offset:3"}).errors, "");
}

TEST_F(ReadCommand, LeavesInSilenceWhenNobodyReads) {
    std::string lines;
    for (int i = 0; i != 20'000; ++i) lines += "message " + std::to_string(i) + "\n";
    publish("quakes", lines);
    child_process pipe(
        {"/bin/sh", "-c",
         std::string(CAIRN_COMMAND) + " read quakes --raw --store " + store_ + " | head -n 1"});
    EXPECT_EQ(pipe.wait(patience), 0);
    EXPECT_EQ(pipe.output(), "message 0\n");
}

TEST_F(PubCommand, PublishesEachLine) {
    const json done = object({"pub", "quakes", "--source", "usgs"}, "one\n\nthree");
    EXPECT_EQ(done.at("source"), "usgs");
    EXPECT_EQ(done.at("messages"), 3);
    EXPECT_EQ(done.at("first"), 1);
    EXPECT_EQ(done.at("last"), 3);
    EXPECT_EQ(done.at("durable"), 3);
    EXPECT_EQ(bodies({"read", "quakes"}), strings({"one", "", "three"}));
}

TEST_F(PubCommand, PublishesAllOfItsInputAsOneMessage) {
    EXPECT_EQ(object({"pub", "quakes", "--whole"}, "one\ntwo\n").at("messages"), 1);
    EXPECT_EQ(bodies({"read", "quakes"}), strings({"one\ntwo\n"}));
    EXPECT_NE(cairn({"pub", "--help"}).out.find("without it each line is one"), std::string::npos);
}

TEST_F(PubCommand, FailsWhenTheStoreDoesNotConfirm) {
    running_->signal(SIGSTOP);
    const outcome hung = cairn({"pub", "quakes", "one", "--durable", "--patience", "300ms"});
    EXPECT_EQ(hung.code, 1);
    EXPECT_TRUE(hung.says("--store")) << testing::PrintToString(hung);
    running_->signal(SIGCONT);
}

TEST_F(PubCommand, SaysThatATopicIsFullAndWhatMakesRoom) {
    object({"topic", "create", "quakes", "--messages-max", "1", "--when-full", "refuse"});
    publish("quakes", "one\n");
    EXPECT_EQ(cairn({"pub", "quakes", "two", "--patience", "300ms", "--json"}).object().at("error"),
              "store_full");
    const outcome full = cairn({"pub", "quakes", "two", "--patience", "300ms"});
    EXPECT_EQ(full.code, 1);
    EXPECT_TRUE(full.says("1 message not durable, the store refuses it for now"))
        << testing::PrintToString(full);
    EXPECT_TRUE(full.says("cairn topic trim")) << testing::PrintToString(full);
}

TEST_F(StoreWithRights, IsNotSaidToHaveWhatItDoesNotTake) {
    std::ofstream(path("store.toml")) << "limits.body_bytes_max = \"1KiB\"\n";
    start_store({"-c", path("store.toml")});
    const std::string large(2'048, 'x');
    const outcome lost = cairn({"pub", "quakes", "--patience", "10min"}, large + "\nsmall\n");
    EXPECT_EQ(lost.code, 1);
    EXPECT_EQ(lost.out, "");
    EXPECT_TRUE(
        lost.says("publish quakes: 1 message not stored, and never will be (1); all others (1 "
                  "message) are durable."))
        << testing::PrintToString(lost);
    const outcome alone = cairn({"pub", "storms", "--whole"}, large);
    EXPECT_TRUE(alone.says("never will be (1); there was no other.")) << alone.errors;
    const outcome read = cairn({"read", "quakes", "--json"});
    EXPECT_EQ(read.code, 3) << "one is missing";
    EXPECT_TRUE(read.says("read quakes: 1 message of the range is missing")) << read.errors;
    const std::vector<json> found = read.objects();
    ASSERT_EQ(found.size(), 3U) << "what is lost is told in its place";
    EXPECT_EQ(found[0].at("kind"), "gap");
    EXPECT_FALSE(found[0].contains("body"));
    EXPECT_EQ(found[1].at("body"), "small");
    EXPECT_EQ(found[2].at("error"), "lost");
}

TEST_F(StoreWithRights, MakesNobodyWaitWhoMayNotPublish) {
    std::ofstream(path("store.toml")) << "[[access]]\nkey = \"*\"\ntopics = \"quakes\"\n"
                                         "may = [\"publish\"]\n";
    start_store({"-c", path("store.toml")});
    publish("quakes", "one\n");
    const outcome refused = cairn({"pub", "other", "one", "--patience", "10min"});
    EXPECT_EQ(refused.code, 1);
    EXPECT_TRUE(refused.says("publish other: 1 message not durable, the store refuses"))
        << testing::PrintToString(refused);
    EXPECT_TRUE(refused.says("[[access]]")) << testing::PrintToString(refused);
}

TEST_F(StoreWithRights, MakesNobodyWaitWhoMayNotSubscribe) {
    std::ofstream(path("store.toml"))
        << "[[access]]\nkey = \"*\"\ntopics = \"quakes\"\nmay = [\"publish\", \"subscribe\"]\n";
    start_store({"-c", path("store.toml")});
    publish("quakes", "one\n");
    EXPECT_EQ(object({"sub", "quakes", "--from", "first", "--count", "1"}).at("body"), "one");
    for (const strings& wanted :
         {strings{"sub", "other"}, strings{"sub", "quakes", "--group", "g"}}) {
        strings all = wanted;
        all.insert(all.end(), {"--from", "first", "--patience", "10min"});
        const outcome refused = cairn(all);
        EXPECT_EQ(refused.code, 1);
        EXPECT_TRUE(refused.says("[[access]]")) << testing::PrintToString(refused);
    }
}

TEST_F(PubCommand, FailsWhenNobodyListens) {
    const outcome alone =
        cairn({"pub", "quakes", "one", "--bind", "tcp://127.0.0.1:0", "--patience", "50ms"});
    EXPECT_EQ(alone.code, 1);
    EXPECT_TRUE(alone.says("0 of 1 subscriber came")) << testing::PrintToString(alone);
    EXPECT_TRUE(alone.says("--wait")) << testing::PrintToString(alone);
    EXPECT_EQ(cairn({"pub", "quakes", "one", "--bind", "tcp://127.0.0.1:0", "--wait", "0"}).code,
              0);
}

TEST_F(PubCommand, GivesPeersAndTheStoreTheSame) {
    child_process peer = process({"sub", "quakes", "--bind", "tcp://127.0.0.1:0", "--count", "1"});
    ASSERT_TRUE(peer.wait_for_output("\n", patience));
    const std::string text = peer.output();
    const std::size_t begin = text.find("tcp://");
    ASSERT_NE(begin, std::string::npos) << text;
    const json done = object({"pub", "quakes", "one", "--durable", "--connect",
                              text.substr(begin, text.find('\n') - begin)});
    EXPECT_EQ(done.at("durable"), 1);
    EXPECT_EQ(peer.wait(patience), 0);
    EXPECT_NE(peer.output().find("  one\n"), std::string::npos) << peer.output();
    EXPECT_EQ(bodies({"read", "quakes"}), strings({"one"}));
}

TEST_F(SubCommand, NeedsNoStoreBetweenPeers) {
    child_process peer = process({"sub", "quakes.*", "--bind", "tcp://127.0.0.1:0", "--raw"});
    const std::string at = endpoint(peer);
    EXPECT_EQ(cairn({"pub", "quakes.eu", "--connect", at}, "one\ntwo\n").code, 0);
    EXPECT_EQ(cairn({"pub", "quakes.us", "three", "--connect", at}).code, 0);
    ASSERT_TRUE(peer.wait_for_output("one\ntwo\nthree\n", patience)) << peer.output();
    peer.signal(SIGTERM);
    EXPECT_EQ(peer.wait(patience), 0);
}

TEST_F(SubCommand, SaysWhenNobodyAnswersAndWaitsOn) {
    const std::string at = "ipc://" + path("nobody.ipc");
    child_process one =
        process({"sub", "quakes", "--connect", at, "--patience", "3s", "--raw", "--count", "1"});
    ASSERT_TRUE(one.wait_for_output("still waiting\n", patience)) << one.output();
    EXPECT_NE(one.output().find("nobody who publishes quakes answered within 3s; " + at + ": "),
              std::string::npos)
        << one.output();
    EXPECT_EQ(cairn({"pub", "quakes", "late", "--bind", at}).code, 0);
    EXPECT_EQ(one.wait(patience), 0);
    EXPECT_TRUE(one.output().ends_with("still waiting\nlate\n")) << one.output();
}

TEST_F(SubCommand, SaysWhereAGroupBeginsAndThatAnotherMemberIsActive) {
    start_store();
    publish("quakes", "one\n");
    child_process first = process({"sub", "quakes", "--group", "alarms"});
    ASSERT_TRUE(
        first.wait_for_output("group alarms is new and begins with what is published from "
                              "now on",
                              patience))
        << first.output();
    ASSERT_TRUE(eventually([&] {
        const std::vector<json> groups = cairn({"group", "ls", "quakes", "--json"}).objects();
        return groups.size() == 1 && groups[0].at("members") == 1;
    }));
    child_process second = process({"sub", "quakes", "--group", "alarms", "--from", "first"});
    ASSERT_TRUE(second.wait_for_output("group alarms exists and goes on where it is", patience))
        << second.output();
    ASSERT_TRUE(second.wait_for_output("another member of group alarms is active", patience))
        << second.output();
    first.signal(SIGINT);
    EXPECT_EQ(first.wait(patience), 0);
    publish("quakes", "two\n");
    EXPECT_TRUE(second.wait_for_output("two", patience)) << second.output();
}

TEST_F(SubCommand, LeavesWhenItIsInterrupted) {
    for (const int number : {SIGINT, SIGTERM}) {
        child_process one = process({"sub", "quakes", "--bind", "tcp://127.0.0.1:0"});
        endpoint(one);
        one.signal(number);
        EXPECT_EQ(one.wait(patience), 0);
    }
}

TEST_F(SubCommand, FollowsTheStore) {
    start_store();
    publish("quakes", "one\n");
    child_process one =
        process({"sub", "quakes", "--from", "first", "--raw", "--count", "2", "--json"});
    ASSERT_TRUE(one.wait_for_output("\n", patience)) << one.output();
    publish("quakes", "two\n");
    EXPECT_EQ(one.wait(patience), 0);
    EXPECT_NE(one.output().find("two"), std::string::npos) << one.output();
}

TEST_F(SubCommand, LeavesInSilenceWhenNobodyReadsAnyMore) {
    start_store();
    publish("quakes", "one\n");
    child_process pipe({"/bin/sh", "-c",
                        std::string("{ ") + CAIRN_COMMAND + " sub quakes --from first --raw " +
                            "--store " + store_ + "; echo left with $? >&2; } | head -n 1"});
    EXPECT_EQ(pipe.wait(patience), 0);
    EXPECT_NE(pipe.output().find("one\n"), std::string::npos) << pipe.output();
    EXPECT_NE(pipe.output().find("left with 0\n"), std::string::npos) << pipe.output();
}

TEST_F(SubCommand, AcksWhatItWroteBeforeItWasInterrupted) {
    start_store();
    publish("quakes", "one\ntwo\n");
    const strings member{"sub", "quakes", "--group", "maps", "--from", "first", "--raw"};
    child_process one = process(member);
    ASSERT_TRUE(one.wait_for_output("one\ntwo\n", patience)) << one.output();
    one.signal(SIGINT);
    EXPECT_EQ(one.wait(patience), 0);
    publish("quakes", "three\n");
    strings next = member;
    next.insert(next.end(), {"--count", "1"});
    EXPECT_EQ(cairn(next).out, "three\n");
}

}  // namespace
