#include "command.hpp"

// cairn topic, group, stats.
namespace {

using namespace cairn::test;

using strings = std::vector<std::string>;

class TopicCommand : public command {
protected:
    void SetUp() override { start_store(); }
    /// Of a topic or group: in each copy that the file has of its record, the byte behind the name.
    void spoil_records_of(const std::string& name) const {
        const std::string file = path("data/data.mdb");
        std::string all = contents(file);
        const std::string begin = std::string{'\0', static_cast<char>(name.size())} + name;
        for (std::size_t at = all.find(begin); at != std::string::npos;
             at = all.find(begin, at + 1))
            all[at + begin.size()] ^= 1;
        std::ofstream(file, std::ios::binary | std::ios::in) << all;
    }
};
class GroupCommand : public command {
protected:
    void SetUp() override {
        start_store();
        publish("quakes", "one\ntwo\nthree\nfour\n");
    }
    strings bodies(const strings& arguments) const { return all(objects(arguments), "body"); }
};
using StatsCommand = TopicCommand;

TEST_F(TopicCommand, GivesNamesThatAreNoTextInBase64) {
    const std::string name = "\xff\xfe";
    const std::string encoded = "//4=";
    EXPECT_EQ(object({"topic", "create", name}).at("topic_base64"), encoded);
    EXPECT_EQ(object({"topic", "ls"}).at("topic_base64"), encoded);
    EXPECT_EQ(object({"group", "create", name, name}).at("group_base64"), encoded);
    EXPECT_EQ(object({"topic", "rm", name}).at("topic_base64"), encoded);
}

TEST_F(TopicCommand, MakesATopicAsItIsTold) {
    object({"topic", "create", "quakes", "--age-max", "7d", "--bytes-max", "1GiB", "--messages-max",
            "1000", "--until-acked", "true", "--when-full", "refuse", "--confirm", "written"});
    const json made = object({"topic", "info", "quakes"});
    EXPECT_EQ(made.at("topic"), "quakes");
    EXPECT_EQ(made.at("messages"), 0);
    EXPECT_EQ(made.at("settings"), json({{"age_max_ms", 604'800'000},
                                         {"bytes_max", 1'073'741'824},
                                         {"messages_max", 1'000},
                                         {"until_acked", true},
                                         {"when_full", "refuse"},
                                         {"confirm", "written"},
                                         {"last_per_key", false}}));
}

TEST_F(TopicCommand, ChangesOnlyWhatItIsTold) {
    object({"topic", "create", "quakes", "--age-max", "7d", "--until-acked", "true"});
    const json changed =
        object({"topic", "alter", "quakes", "--messages-max", "5", "--until-acked", "false"});
    EXPECT_EQ(changed.at("settings").at("age_max_ms"), 604'800'000);
    EXPECT_EQ(changed.at("settings").at("messages_max"), 5);
    EXPECT_EQ(changed.at("settings").at("until_acked"), false);
}

TEST_F(TopicCommand, TakesQuantitiesAsItsReadmeSays) {
    object({"topic", "create", "quakes"});
    for (const strings& forms : {strings{"7d", "4096", "true"}, strings{"168 h", "4 KiB", "yes"},
                                 strings{"604800s", "4096B", "1"}}) {
        const json settings = object({"topic", "alter", "quakes", "--age-max", forms[0],
                                      "--bytes-max", forms[1], "--until-acked", forms[2]})
                                  .at("settings");
        EXPECT_EQ(settings.at("age_max_ms"), 604'800'000) << forms[0];
        EXPECT_EQ(settings.at("bytes_max"), 4'096) << forms[1];
        EXPECT_EQ(settings.at("until_acked"), true) << forms[2];
        object({"topic", "alter", "quakes", "--age-max", "0", "--bytes-max", "0", "--until-acked",
                "no"});
    }
    EXPECT_EQ(cairn({"topic", "alter", "quakes", "--messages-max", "5 "}).code, 2);
}

TEST_F(TopicCommand, SaysWhatALowerLimitRemoved) {
    publish("quakes", "one\ntwo\nthree\n");
    const json changed = object({"topic", "alter", "quakes", "--messages-max", "1"});
    EXPECT_EQ(changed.at("removed"), 2);
    const outcome again = cairn({"topic", "alter", "quakes", "--messages-max", "1"});
    EXPECT_EQ(again.out.find("removed"), std::string::npos) << again.out;
}

TEST_F(TopicCommand, KeepsTheNewestBatchWhateverItsSize) {
    for (const char* body : {"one", "two", "three"}) object({"pub", "quakes", body});
    const json changed = object({"topic", "alter", "quakes", "--bytes-max", "1"});
    EXPECT_EQ(changed.at("removed"), 2);
    EXPECT_EQ(changed.at("messages"), 1);
    EXPECT_GT(changed.at("bytes"), 1);
    EXPECT_NE(cairn({"topic", "alter", "--help"}).out.find("never the newest one"),
              std::string::npos);
}

TEST_F(TopicCommand, CountsOneMessageAsOne) {
    const outcome made = cairn({"topic", "create", "quakes", "--messages-max", "1"});
    EXPECT_EQ(made.out, "quakes keeps 1 message\n");
}

TEST_F(TopicCommand, MakesNoTopicTwiceWithOtherSettings) {
    EXPECT_EQ(cairn({"topic", "create", "quakes", "--age-max", "7d"}).code, 0);
    EXPECT_EQ(cairn({"topic", "create", "quakes", "--age-max", "7d"}).code, 0);
    const outcome other = cairn({"topic", "create", "quakes", "--age-max", "8d"});
    EXPECT_EQ(other.code, 1);
    EXPECT_TRUE(other.says("cairn topic alter")) << testing::PrintToString(other);
}

TEST_F(TopicCommand, ListsWhatMatches) {
    for (const char* name : {"quakes.eu", "quakes.us", "storms"}) object({"topic", "create", name});
    EXPECT_EQ(all(objects({"topic", "ls"}), "topic"),
              strings({"quakes.eu", "quakes.us", "storms"}));
    EXPECT_EQ(all(objects({"topic", "ls", "quakes.*"}), "topic"),
              strings({"quakes.eu", "quakes.us"}));
    EXPECT_TRUE(objects({"topic", "ls", "winds"}).empty());
}

TEST_F(TopicCommand, ShowsATableToPeople) {
    publish("quakes", "one\ntwo\n");
    ASSERT_EQ(
        cairn({"topic", "alter", "quakes", "--age-max", "36h", "--bytes-max", "1536KiB"}).code, 0);
    const std::string shown = cairn({"topic", "ls"}).out;
    EXPECT_EQ(shown.find("TOPIC   MESSAGES"), 0U) << shown;
    EXPECT_NE(shown.find("\nquakes         2"), std::string::npos) << shown;
    EXPECT_NE(shown.find("36h, 1.5 MiB\n"), std::string::npos) << shown;
}

TEST_F(TopicCommand, ShowsWhatIsDamagedAsSuch) {
    publish("quakes", "one\n");
    publish("storms", "one\n");
    object({"group", "create", "storms", "alarms"});
    object({"group", "create", "storms", "archive"});
    stop_store();
    spoil_records_of("quakes");
    spoil_records_of("alarms");
    start_store();
    const auto damaged = [&](const strings& arguments) {
        std::vector<bool> told;
        for (const json& row : objects(arguments)) told.push_back(row.at("damaged"));
        return told;
    };
    EXPECT_EQ(damaged({"topic", "ls"}), (std::vector<bool>{true, false}));
    EXPECT_EQ(damaged({"group", "ls", "storms"}), (std::vector<bool>{true, false}));
    EXPECT_EQ(object({"stats"}).at("values").at("damaged_topics"), 1);
    for (const strings& list : {strings{"topic", "ls"}, strings{"group", "ls", "storms"}})
        EXPECT_NE(cairn(list).out.find("its record is damaged"), std::string::npos);
}

TEST_F(TopicCommand, ShowsHowFarEachSourceIsStored) {
    object({"pub", "quakes", "one", "--source", "usgs"});
    object({"pub", "quakes", "--source", "emsc"}, "one\ntwo\n");
    const json info = object({"topic", "info", "quakes"});
    EXPECT_EQ(info.at("messages"), 3);
    EXPECT_EQ(info.at("sources"), 2);
    std::map<std::string, int> stored;
    for (const json& p : info.at("positions")) stored[p.at("source")] = p.at("sequence");
    EXPECT_EQ(stored, (std::map<std::string, int>{{"emsc", 2}, {"usgs", 1}}));
}

TEST_F(TopicCommand, RemovesWhatIsBeforeAPlace) {
    // A run each, since a store trims in batches.
    for (const char* body : {"one", "two", "three"}) object({"pub", "quakes", body});
    EXPECT_EQ(object({"topic", "trim", "quakes", "--before", "last:1"}).at("removed"), 2);
    EXPECT_EQ(all(objects({"read", "quakes"}), "body"), strings({"three"}));
    EXPECT_EQ(object({"topic", "purge", "quakes"}).at("removed"), 1);
    EXPECT_EQ(object({"topic", "info", "quakes"}).at("messages"), 0);
}

TEST_F(TopicCommand, DeletesATopic) {
    publish("quakes", "one\n");
    EXPECT_EQ(object({"topic", "rm", "quakes"}).at("deleted"), true);
    const outcome gone = cairn({"topic", "info", "quakes"});
    EXPECT_EQ(gone.code, 1);
    EXPECT_TRUE(gone.says("cairn topic ls")) << testing::PrintToString(gone);
}

TEST_F(GroupCommand, ShowsHowFarAGroupIs) {
    object({"group", "create", "quakes", "alerts", "--from", "offset:3"});
    object({"group", "create", "quakes", "maps"});
    const std::vector<json> groups = objects({"group", "ls", "quakes"});
    EXPECT_EQ(all(groups, "group"), strings({"alerts", "maps"}));
    EXPECT_EQ(groups.front(), json({{"topic", "quakes"},
                                    {"group", "alerts"},
                                    {"next", 3},
                                    {"done", 0},
                                    {"pending", 2},
                                    {"members", 0},
                                    {"damaged", false}}));
    EXPECT_EQ(object({"group", "info", "quakes", "alerts"}), groups.front());
}

TEST_F(GroupCommand, ListsThoseOfAllTopicsThatMatch) {
    publish("quakes.eu", "five\n");
    object({"group", "create", "quakes", "maps"});
    object({"group", "create", "quakes.eu", "alerts"});
    EXPECT_EQ(all(objects({"group", "ls"}), "topic"), strings({"quakes", "quakes.eu"}));
    EXPECT_EQ(all(objects({"group", "ls", "quakes.*"}), "group"), strings({"alerts"}));
    const outcome unknown = cairn({"group", "ls", "waves"});
    EXPECT_EQ(unknown.code, 1);
    EXPECT_TRUE(unknown.says("cairn topic ls")) << testing::PrintToString(unknown);
}

TEST_F(GroupCommand, MovesWhereALaterMemberGoesOn) {
    const strings member{"sub", "quakes", "--group", "maps", "--from", "first", "--count", "2"};
    EXPECT_EQ(bodies(member), strings({"one", "two"}));
    EXPECT_EQ(bodies(member), strings({"three", "four"}));
    EXPECT_EQ(object({"group", "seek", "quakes", "maps", "--to", "offset:2"}).at("next"), 2);
    EXPECT_EQ(bodies(member), strings({"two", "three"}));
}

TEST_F(GroupCommand, DeletesAGroup) {
    object({"group", "create", "quakes", "maps"});
    object({"group", "rm", "quakes", "maps"});
    EXPECT_TRUE(objects({"group", "ls", "quakes"}).empty());
}

TEST_F(GroupCommand, SaysThatThereIsNone) {
    for (const strings& arguments :
         {strings{"group", "info", "quakes", "maps"}, strings{"group", "rm", "quakes", "maps"},
          strings{"group", "seek", "quakes", "maps", "--to", "first"}}) {
        const outcome none = cairn(arguments);
        EXPECT_EQ(none.code, 1);
        EXPECT_TRUE(none.says("cairn group ls")) << testing::PrintToString(none);
    }
}

TEST_F(StatsCommand, ShowsWhatAStoreSaysOfItself) {
    publish("quakes", "one\ntwo\n");
    const json stats = object({"stats"});
    EXPECT_EQ(stats.at("generation").get<std::string>().size(), 32U);
    EXPECT_EQ(stats.at("values").at("stored_messages"), 2);
    EXPECT_NE(cairn({"stats"}).out.find("\nstored_messages"), std::string::npos);
}

}  // namespace
