#include "cairnd_fixture.hpp"

// What cairnd says of settings, and where in its file they stand.
namespace {

using namespace cairn;
using namespace cairn::test;

class CairndSettings : public Cairnd {
protected:
    /// What --check-config says of a file, with FILE for its name; behind the code.
    std::pair<int, std::string> checked(const std::string& text,
                                        const std::vector<std::string>& more = {}) {
        const std::string config = file("c.toml", text);
        std::vector<std::string> flags{"-c", config, "--check-config"};
        flags.insert(flags.end(), more.begin(), more.end());
        auto [code, words] = said(flags);
        for (std::size_t at; (at = words.find(config)) != std::string::npos;)
            words.replace(at, config.size(), "FILE");
        return {code, words};
    }
    /// The same of one that has to be refused.
    std::string refused(const std::string& text, const std::vector<std::string>& more = {}) {
        const auto [code, words] = checked(text, more);
        EXPECT_EQ(code, 2) << words;
        return words;
    }
};

TEST_F(CairndSettings, RefuseARuleThatGivesNoRight) {
    const std::string remedy =
        ", so that the rule gives nothing; write which rights it gives: may = [\"publish\", "
        "\"subscribe\", \"consume\", \"admin\"], or some of them\n";
    EXPECT_EQ(refused("[[access]]\ntopics = \"a*\"\n"),
              "cairnd: FILE:1:1: access: may is missing" + remedy);
    EXPECT_EQ(refused("[[access]]\nmay = \"admin\"\n[[access]]\nkey = \"*\"\nmay = []\n"),
              "cairnd: FILE:5:7: access.may is empty" + remedy);
}

TEST_F(CairndSettings, WarnOfARuleForAKeyThatMayNotConnect) {
    const std::string server = (directory_ / "store").string();
    ASSERT_EQ(said({"--make-keys", server}).first, 0);
    const std::string client = generate_keys().public_key;
    std::string typo = client;
    typo.back() = typo.back() == 'x' ? 'y' : 'x';
    const auto settings = [&](const std::string& key) {
        return "security.key_file = \"" + server + "_secret\"\nsecurity.allowed_keys = ['" +
               client + "']\n[[access]]\nkey = '" + key + "'\nmay = [\"publish\"]\n";
    };
    EXPECT_EQ(checked(settings(client)), std::pair(0, std::string()));
    EXPECT_EQ(checked(settings("*")), std::pair(0, std::string()));
    const std::string warning = ":4:7: access.key: nobody who may connect has \"" + typo +
                                "\", which is not in security.allowed_keys; did you mean \"" +
                                client + "\"?\n";
    EXPECT_EQ(checked(settings(typo)), std::pair(0, "cairnd: warning: FILE" + warning));
    EXPECT_EQ(checked(settings(typo), {"--security-allowed-keys", typo}),
              std::pair(0, std::string()));

    const std::string config = file("c.toml", settings(typo));
    start({"-c", config});
    ASSERT_TRUE(running_->wait_for_output(config + warning, 30s)) << running_->output();
    file("c.toml", "\n" + settings(typo));
    running_->signal(SIGHUP);
    EXPECT_TRUE(running_->wait_for_output(config + ":5:7: access.key: nobody", 30s))
        << running_->output();
}

TEST_F(CairndSettings, WarnOfARuleForAKeyWhereThereAreNoKeys) {
    const std::string client = generate_keys().public_key;
    const auto [code, words] = checked("[[access]]\nkey = '" + client + "'\nmay = [\"publish\"]\n");
    EXPECT_EQ(code, 0);
    EXPECT_EQ(words, "cairnd: warning: FILE:2:7: access.key: nobody who may connect has \"" +
                         client +
                         "\": the store has no keys, so write \"*\" or give it "
                         "security.key_file\n");
}

TEST_F(CairndSettings, WarnThatNobodyMayConnect) {
    const std::string server = (directory_ / "store").string();
    ASSERT_EQ(said({"--make-keys", server}).first, 0);
    EXPECT_EQ(
        checked("security.key_file = \"" + server + "_secret\"\n"),
        std::pair(0, std::string("cairnd: warning: no key may connect: name the clients' public "
                                 "keys in security.allowed_keys\n")));
}

TEST_F(CairndSettings, SayHowAValueIsQuoted) {
    const auto hint = [&](const std::string& text) {
        const std::string words = refused(text);
        const std::size_t at = words.find("; quote it: ");
        return at == std::string::npos ? "none" : words.substr(at);
    };
    EXPECT_EQ(hint("[store]\nquota = 4MiB\n"), "; quote it: quota = \"4MiB\"\n");
    EXPECT_EQ(hint("topics.age_max =7d # a week\n"), "; quote it: topics.age_max = \"7d\"\n");
    EXPECT_EQ(hint("data = /srv/cairn\n"), "; quote it: data = \"/srv/cairn\"\n");
    EXPECT_EQ(hint("name = \"shop\nlog_level = \"info\"\n"), "none");
    EXPECT_EQ(hint("name = \n"), "none");
    EXPECT_EQ(hint("name = 1\nname = 2\n"), "none");
}

TEST_F(CairndSettings, SayThatRulesAreAList) {
    const std::string rule = "[access]\nmay = [\"publish\"]\n";
    EXPECT_EQ(refused(rule),
              "cairnd: FILE:1:1: [access] is one table, and rules are a list of "
              "tables: write [[access]] before each rule\n");
    for (const std::string& text :
         {rule + rule, "[" + rule.substr(0, 8) + "]" + rule.substr(8) + rule})
        EXPECT_TRUE(refused(text).ends_with("; write [[access]] before each rule\n"))
            << refused(text);
}

TEST_F(CairndSettings, AreToldWithTheirPlaces) {
    const auto begins = [&](const std::string& text, const std::string& place) {
        const std::string words = refused(text);
        EXPECT_TRUE(words.starts_with("cairnd: FILE:" + place + ": ")) << words;
    };
    const std::string rule = "[[access]]\nmay = \"publish\"\n";
    begins(rule + rule + "topics = \"a*b\"\n", "5:10");
    begins(rule + rule + "key = \"me\"\n", "5:7");
    const std::string server = (directory_ / "store").string();
    ASSERT_EQ(said({"--make-keys", server}).first, 0);
    const std::string key_file = "[security]\nkey_file = \"" + server;
    begins("[security]\nkey_file = \"/nowhere/store_secret\"\n", "2:12: security.key_file");
    begins(key_file + "\"\n", "2:12: security.key_file");
    begins(key_file + "_secret\"\nallowed_keys = ['" + generate_keys().public_key + "',\n  'me']\n",
           "4:3: security.allowed_keys");
    begins("[security]\nallowed_keys = ['me']\n", "2:16");
    EXPECT_TRUE(refused("", {"--security-key-file", "/nowhere"})
                    .starts_with("cairnd: --security-key-file: security.key_file: read /nowhere"));
}

TEST_F(CairndSettings, AreToldWithTheirPlacesWhenTheyAreReadAgain) {
    const std::string config = file("c.toml", "");
    start({"-c", config});
    file("c.toml", "[limits]\nreplay_threads = 65\n");
    running_->signal(SIGHUP);
    EXPECT_TRUE(running_->wait_for_output("limits.replay_threads: " + config + ":2:18\n", 30s))
        << running_->output();
}

TEST_F(CairndSettings, NameWhatIsToBeListenedOnWithItsPlace) {
    EXPECT_TRUE(refused("\nlisten = \"tcp://127.0.0.1\"\n").ends_with("; listen: FILE:2:10\n"));
    EXPECT_TRUE(refused("", {"--listen", "tcp://127.0.0.1"}).ends_with("; listen: --listen\n"));
    start();
    const auto [code, words] =
        said({"--data", (directory_ / "other").string()}, {"CAIRND_LISTEN=" + endpoints_.front()});
    EXPECT_EQ(code, 1);
    EXPECT_TRUE(words.ends_with("; listen: CAIRND_LISTEN\n")) << words;
}

TEST_F(CairndSettings, NameNoPlaceThatNobodyOutsideCouldReach) {
    for (const char* endpoint : {"inproc://a", "InProc://a"}) {
        const std::string words = refused("\nlisten = \"" + std::string(endpoint) + "\"\n");
        EXPECT_TRUE(has(words, std::string("FILE:2:10: listen: ") + endpoint)) << words;
        EXPECT_TRUE(has(words, "no other process reaches it; name tcp://HOST:PORT or ipc:///PATH"))
            << words;
    }
    EXPECT_TRUE(has(refused("", {"--listen", "tcp://127.0.0.1:0", "--listen", "inproc://a"}),
                    "--listen: listen: inproc://a"));
}

TEST_F(CairndSettings, AreWholeNumbersWithUnits) {
    const auto shown = [&](const std::string& text) {
        const std::string config = file("c.toml", text);
        return said({"-c", config, "--print-config"}).second;
    };
    for (const char* size : {"4096", "\"4096B\"", "\"4KiB\"", "\"4 KiB\""})
        EXPECT_TRUE(has(shown("store.quota = " + std::string(size)), "quota = 4096  #")) << size;
    for (const char* truth : {"true", "\"yes\"", "1"})
        EXPECT_TRUE(
            has(shown("store.until_acked = " + std::string(truth)), "until_acked = true  #"))
            << truth;
    EXPECT_TRUE(has(shown("store.age_max = 0\n"), "age_max = '0ms'  #"));
    EXPECT_TRUE(has(refused("store.age_max = 5\n"), "write for example 30s"));
    EXPECT_TRUE(has(refused("store.age_max = \"213503982334d\"\n"), "write for example 30s"));
    EXPECT_TRUE(has(refused("store.quota = \"4096 \"\n"), "write for example 512MiB"));
    EXPECT_TRUE(has(refused("store.topics_max = 4294967296\n"), "write 4294967295 or less"));
}

}  // namespace
