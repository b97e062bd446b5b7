#include "command.hpp"

#include <sys/stat.h>

// cairn keygen, and what its keys open.
namespace {

using namespace cairn::test;

class KeygenCommand : public command {};

TEST_F(KeygenCommand, MakesKeysThatNobodyElseReads) {
    const json made = object({"keygen", path("client")});
    EXPECT_EQ(made.at("public_key").get<std::string>().size(), 40U);
    EXPECT_EQ(made.at("secret_file"), path("client_secret"));
    EXPECT_NE(contents(path("client")).find(made.at("public_key").get<std::string>()),
              std::string::npos);
    struct stat secret {};
    ASSERT_EQ(::stat(path("client_secret").c_str(), &secret), 0);
    EXPECT_EQ(secret.st_mode & 0777U, 0600U);
}

TEST_F(KeygenCommand, OverwritesNothing) {
    ASSERT_EQ(cairn({"keygen", path("client")}).code, 0);
    const std::string before = contents(path("client_secret"));
    const outcome again = cairn({"keygen", path("client")});
    EXPECT_EQ(again.code, 1);
    EXPECT_TRUE(again.says("name another file")) << testing::PrintToString(again);
    EXPECT_EQ(contents(path("client_secret")), before);
}

TEST_F(KeygenCommand, MakesWhatAStoreAndItsClientsNeed) {
    ASSERT_EQ(cairn({"keygen", path("server")}).code, 0);
    const std::string client = object({"keygen", path("client")}).at("public_key");
    start_store({"--security-key-file", path("server_secret"), "--security-allowed-keys", client});
    variables_.push_back("CAIRN_KEY_FILE=" + path("client_secret"));
    variables_.push_back("CAIRN_SERVER_KEY=" + path("server"));
    publish("quakes", "one\n");
    EXPECT_EQ(object({"read", "quakes"}).at("body"), "one");
    EXPECT_EQ(object({"topic", "info", "quakes"}).at("messages"), 1);
}

TEST_F(KeygenCommand, MakesNobodyWaitWhoIsTurnedAway) {
    for (const char* who : {"server", "stranger"}) ASSERT_EQ(cairn({"keygen", path(who)}).code, 0);
    const std::string client = object({"keygen", path("client")}).at("public_key");
    start_store({"--security-key-file", path("server_secret"), "--security-allowed-keys", client});
    const auto refused = [&](std::vector<std::string> keys, const std::string& words) {
        keys.insert(keys.begin(), {"topic", "ls", "--patience", "10min"});
        const outcome told = cairn(keys);
        EXPECT_EQ(told.code, 1);
        EXPECT_TRUE(told.says(words)) << testing::PrintToString(told);
        EXPECT_FALSE(told.says("nobody answered")) << testing::PrintToString(told);
    };
    refused({"--key-file", path("stranger_secret"), "--server-key", path("server")},
            "allow-list does not hold our key");
    refused({"--key-file", path("client_secret"), "--server-key", path("stranger")},
            "security.server_key");
    refused({}, "demands keys");
}

// Z85 has brackets, and CLI11 has lists in brackets.
TEST_F(KeygenCommand, MakesKeysOfAnyShape) {
    const std::string shaped = "[abMfDd{K0]}kZ$ocEJEyOk^nGefUnWJfz@6GE-]";
    ASSERT_EQ(cairn({"keygen", path("ours")}).code, 0);
    const outcome told = cairn({"pub", "quakes", "one", "--bind", "tcp://127.0.0.1:0", "--key-file",
                                path("ours_secret"), "--allowed-key", shaped, "--patience", "1ms"});
    EXPECT_TRUE(told.says("listens on")) << testing::PrintToString(told);
}

TEST_F(KeygenCommand, IsNamedWhereAKeyIsMissing) {
    ASSERT_EQ(cairn({"keygen", path("client")}).code, 0);
    const outcome missing =
        cairn({"topic", "ls", "--key-file", path("client"), "--server-key", path("client")});
    EXPECT_EQ(missing.code, 1);
    EXPECT_TRUE(missing.says("cairn keygen FILE")) << testing::PrintToString(missing);
}

}  // namespace
