#include "command.hpp"

#include <algorithm>
#include <regex>

// What all verbs have in common.
namespace {

using namespace cairn::test;

using strings = std::vector<std::string>;

class Command : public command {
protected:
    const std::vector<strings> verbs_{{"topic", "ls"},
                                      {"topic", "info"},
                                      {"topic", "create"},
                                      {"topic", "alter"},
                                      {"topic", "rm"},
                                      {"topic", "trim"},
                                      {"topic", "purge"},
                                      {"group", "ls"},
                                      {"group", "info"},
                                      {"group", "create"},
                                      {"group", "seek"},
                                      {"group", "rm"},
                                      {"read"},
                                      {"pub"},
                                      {"sub"},
                                      {"stats"},
                                      {"keygen"}};

    static strings with(strings verb, const strings& more) {
        verb.insert(verb.end(), more.begin(), more.end());
        return verb;
    }
};

TEST_F(Command, ExplainsEachVerb) {
    for (const strings& verb : verbs_) {
        const outcome help = cairn(with(verb, {"--help"}));
        EXPECT_EQ(help.code, 0) << testing::PrintToString(help);
        EXPECT_NE(help.out.find("--json"), std::string::npos) << help.out;
    }
    EXPECT_NE(cairn({"--help"}).out.find("keygen"), std::string::npos);
    EXPECT_EQ(cairn({"--version"}).code, 0);
}

TEST_F(Command, LeavesWithTwoWhenItIsUsedWrongly) {
    const auto said = [&](const strings& arguments) {
        const outcome wrong = cairn(arguments);
        EXPECT_EQ(wrong.code, 2) << testing::PrintToString(wrong);
        EXPECT_EQ(std::count(wrong.errors.begin(), wrong.errors.end(), '\n'), 1) << wrong.errors;
        return wrong.errors;
    };
    EXPECT_NE(said({}).find("see cairn --help"), std::string::npos);
    EXPECT_NE(said({"quakes"}).find("\"quakes\" means nothing here; see cairn --help"),
              std::string::npos);
    EXPECT_NE(said({"pub", "--bogus"}).find("\"--bogus\" means nothing here"), std::string::npos);
    EXPECT_NE(said({"topic"}).find("see cairn topic --help"), std::string::npos);
    EXPECT_NE(said({"topic", "info"}).find("see cairn topic info --help"), std::string::npos);
    EXPECT_NE(said({"topic", "ls", "--jsn"}).find("--jsn"), std::string::npos);
    EXPECT_NE(said({"read", "a", "--from", "yesterday"}).find("last:N"), std::string::npos);
    EXPECT_NE(said({"read", "a", "--from", "lst"}).find("write first, last:N"), std::string::npos);
    EXPECT_NE(said({"read", "a", "--from", "live"}).find("cairn sub"), std::string::npos);
    EXPECT_NE(said({"read", "a", "--from", "time:2023-02-29"}).find("is no time"),
              std::string::npos);
    EXPECT_NE(said({"pub", "a", "b", "--header", "c"}).find("NAME=VALUE"), std::string::npos);
    EXPECT_NE(said({"topic", "create", "a", "--age-max", "7x"}).find("--age-max"),
              std::string::npos);
}

TEST_F(Command, SuggestsVerbsAndFlags) {
    const auto said = [&](const strings& arguments) {
        const outcome wrong = cairn(arguments);
        EXPECT_EQ(wrong.code, 2) << testing::PrintToString(wrong);
        return wrong.errors;
    };
    const auto suggests = [](const std::string& what, const std::string& near) {
        return "cairn: \"" + what + "\" means nothing here; did you mean \"" + near + "\"?\n";
    };
    EXPECT_EQ(said({"topik", "ls"}), suggests("topik", "topic"));
    EXPECT_EQ(said({"raed", "quakes"}), suggests("raed", "read"));
    EXPECT_EQ(said({"topic", "lst"}), suggests("lst", "ls"));
    EXPECT_EQ(said({"group", "seak", "quakes", "maps"}), suggests("seak", "seek"));
    EXPECT_EQ(said({"read", "quakes", "--form", "first"}), suggests("--form", "--from"));
    EXPECT_EQ(said({"topic", "alter", "quakes", "--max-age=7d"}),
              "cairn: \"--max-age=7d\" means nothing here; see cairn topic alter --help\n");
    EXPECT_EQ(said({"topic", "alter", "quakes", "--agemax=7d"}),
              suggests("--agemax=7d", "--age-max"));
    EXPECT_EQ(said({"--verson"}), suggests("--verson", "--version"));
}

TEST_F(Command, SaysWhatFailedAsAnObjectWithJson) {
    const auto failed = [&](strings arguments, int code) {
        arguments.emplace_back("--json");
        const outcome told = cairn(arguments);
        EXPECT_EQ(told.code, code) << testing::PrintToString(told);
        const json object = told.object();
        EXPECT_TRUE(told.errors.ends_with("cairn: " + object.value("text", "") + "\n"))
            << testing::PrintToString(told);
        return object.value("error", "");
    };
    for (const strings& verb :
         {strings{"topic", "ls"}, strings{"group", "ls", "a"}, strings{"stats"},
          strings{"read", "a"}, strings{"pub", "a", "b"}, strings{"sub", "a"},
          strings{"pub", "a", "b", "--bind", "tcp://127.0.0.1:0"}})
        EXPECT_EQ(failed(with(verb, {"--patience", "50ms"}), 1), "timed_out") << verb.front();
    EXPECT_EQ(failed({"topic", "ls", "--key-file", path("none")}, 1), "key_invalid");
    EXPECT_EQ(failed({"read", "a", "--from", "yesterday"}, 2), "invalid_argument");
    EXPECT_EQ(failed({"topik"}, 2), "invalid_argument");
    EXPECT_EQ(failed({"read", "a", "--from="}, 2), "invalid_argument");
    std::ofstream(path("client")) << "";
    EXPECT_EQ(failed({"keygen", path("client")}, 1), "address_in_use");
    start_store();
    EXPECT_EQ(failed({"topic", "info", "a"}, 1), "topic_unknown");
}

TEST_F(Command, TakesNoArgumentForAValueThatIsLeftOut) {
    const std::regex valued("(--[a-z-]+) [A-Z]+");
    std::size_t options = 0;
    for (const strings& verb : verbs_) {
        const std::string help = cairn(with(verb, {"--help"})).out;
        for (std::sregex_iterator at(help.begin(), help.end(), valued), end; at != end; ++at) {
            const std::string name = (*at)[1];
            const outcome wrong = cairn(with(verb, {name + "=", "a", "b"}));
            EXPECT_EQ(wrong.code, 2) << testing::PrintToString(wrong);
            EXPECT_TRUE(wrong.says("nothing stands behind " + name + "=; ")) << wrong.errors;
            ++options;
        }
    }
    EXPECT_GT(options, 60U);
    start_store();
    EXPECT_EQ(cairn({"pub", "quakes", "--", "--name="}).code, 0) << "a message";
}

TEST_F(Command, GivesUpAfterItsPatienceWithoutAStore) {
    for (const strings& verb :
         {strings{"topic", "ls"}, strings{"group", "ls", "a"}, strings{"stats"},
          strings{"read", "a"}, strings{"pub", "a", "b"}, strings{"sub", "a"}}) {
        const outcome alone = cairn(with(verb, {"--patience", "50ms"}));
        EXPECT_EQ(alone.code, 1) << testing::PrintToString(alone);
        EXPECT_TRUE(alone.says(store_)) << testing::PrintToString(alone);
        EXPECT_TRUE(alone.says("start cairnd there")) << testing::PrintToString(alone);
        EXPECT_EQ(std::count(alone.errors.begin(), alone.errors.end(), '\n'), 1) << alone.errors;
        EXPECT_EQ(alone.out, "");
    }
}

TEST_F(Command, FindsTheStoreOfItsUser) {
    store_ = "ipc://" + path("cairnd.ipc");
    start_store();
    variables_ = {"XDG_RUNTIME_DIR=" + path("")};
    publish("quakes", "one\n");
    EXPECT_EQ(object({"topic", "info", "quakes"}).at("messages"), 1);
}

TEST_F(Command, PrefersTheStoreThatItIsTold) {
    start_store();
    variables_ = {"CAIRN_STORE=ipc://" + path("nobody.ipc")};
    EXPECT_EQ(cairn({"stats", "--store", store_}).code, 0);
}

}  // namespace
