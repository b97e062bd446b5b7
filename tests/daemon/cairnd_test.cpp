#include "cairnd_fixture.hpp"
#include "notified.hpp"

#include "support/eventually.hpp"

#include <cairn/wire/manage_frames.hpp>

#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <regex>
#include <sstream>

// The program itself.
namespace {

using namespace cairn;
using namespace cairn::test;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

TEST_F(Cairnd, LeavesInGoodOrderWhenItIsTold) {
    start();
    EXPECT_TRUE(has(running_->output(), "made; 0 messages"));
    EXPECT_TRUE(std::regex_search(running_->output(), std::regex("opened in [0-9.]+ ms")));
    EXPECT_TRUE(has(running_->output(), "confirms what is flushed"));
    party publisher(endpoints_.front());
    ASSERT_TRUE(publisher.store("quakes", "usgs", 7, 1, 5));
    EXPECT_EQ(end(SIGTERM), 0);
    start();
    EXPECT_TRUE(has(running_->output(), "closed in good order before; 5 messages"));
}

TEST_F(Cairnd, ConfirmsWhatItTookBeforeItLeaves) {
    start();
    party publisher(endpoints_.front());
    ASSERT_TRUE(publisher.open(1, "quakes", "usgs", 7));
    publisher.append(1, 1, 100);
    ASSERT_TRUE(publisher.taken());
    running_->signal(SIGTERM);
    EXPECT_TRUE(publisher.confirmed(100));
    EXPECT_EQ(running_->wait(30s), 0);
}

TEST_F(Cairnd, SaysThatItRecovered) {
    start();
    ASSERT_TRUE(party(endpoints_.front()).store("quakes", "usgs", 7, 1, 5));
    EXPECT_EQ(end(SIGKILL), 128 + SIGKILL);
    start();
    EXPECT_TRUE(has(running_->output(), "recovered: it was not closed before; 5 messages"));
}

TEST_F(Cairnd, ListensWhereItIsTold) {
    const std::string ipc = "ipc://" + (directory_ / "c.ipc").string();
    start({"--listen", ipc});
    ASSERT_EQ(endpoints_.size(), 2U);
    EXPECT_EQ(endpoints_.back(), ipc);
    EXPECT_TRUE(party(ipc).store("quakes", "usgs", 7, 1, 5));
}

TEST_F(Cairnd, ListensOnAPathAndOnLoopbackWhenItIsToldNothing) {
    const std::string text = said({"--print-config"}, {"RUNTIME_DIRECTORY=/run/cairnd"}).second;
    EXPECT_TRUE(has(text, "listen = ['ipc:///run/cairnd/cairnd.ipc', 'tcp://127.0.0.1:7700']"))
        << text;
}

TEST_F(Cairnd, ServesWithNoSettingAtAll) {
    child_process alone({CAIRND_IN_OWN_NETWORK, "/usr/bin/env", "-u", "XDG_STATE_HOME", "-u",
                         "XDG_RUNTIME_DIR", "-u", "STATE_DIRECTORY", "-u", "RUNTIME_DIRECTORY",
                         "-u", "CAIRND_CONFIG", "-u", "NOTIFY_SOCKET",
                         "HOME=" + directory_.path().string(), CAIRND});
    if (!alone.wait_for_output("ready\n", 30s)) {
        const auto code = alone.wait(30s);
        if (code == 77) GTEST_SKIP() << "no namespaces here: " << alone.output();
        FAIL() << alone.output();
    }
    const std::string data = (directory_ / ".local/state/cairnd").string();
    const std::string ipc = "ipc://" + data + "/cairnd.ipc";
    EXPECT_TRUE(has(alone.output(), "data     " + data + "\n")) << alone.output();
    const std::string open = " (no keys: whoever reaches it may connect; confirms what is flushed";
    EXPECT_TRUE(has(alone.output(), "listens  " + ipc + open)) << alone.output();
    EXPECT_TRUE(has(alone.output(), "listens  tcp://127.0.0.1:7700" + open)) << alone.output();
    EXPECT_TRUE(party(ipc).store("quakes", "usgs", 7, 1, 5));
    alone.signal(SIGTERM);
    EXPECT_EQ(alone.wait(30s), 0);
}

TEST_F(Cairnd, OpensNoDataThatAnotherHasOpen) {
    start();
    const auto [code, text] =
        said({"--data", (directory_ / "data").string(), "--listen", "tcp://127.0.0.1:0"});
    EXPECT_EQ(code, 1);
    EXPECT_TRUE(has(text, "cairnd: ")) << text;
}

TEST_F(Cairnd, PutsItsDataWhereTheSystemSays) {
    const auto data_of = [&](const std::vector<std::string>& variables) {
        return said({"--print-config"}, variables).second;
    };
    EXPECT_TRUE(has(data_of({"STATE_DIRECTORY=/srv/a:/srv/b"}), "data = '/srv/a'"));
    if (::geteuid() == 0) {
        EXPECT_TRUE(has(data_of({}), "data = '/var/lib/cairnd'"));
    } else {
        EXPECT_TRUE(has(data_of({"XDG_STATE_HOME=/x"}), "data = '/x/cairnd'"));
    }
}

TEST_F(Cairnd, TakesFlagsBeforeVariablesBeforeItsFile) {
    const std::string config =
        file("c.toml", "name = \"file\"\n[store]\nquota = \"1MiB\"\n[limits]\npeers_max = 7\n");
    const std::string text = said({"-c", config, "--print-config", "--name", "flag"},
                                  {"CAIRND_NAME=variable", "CAIRND_STORE_QUOTA=2MiB"})
                                 .second;
    EXPECT_TRUE(has(text, "name = 'flag'  # --name\n")) << text;
    EXPECT_TRUE(has(text, "quota = 2097152  # CAIRND_STORE_QUOTA\n")) << text;
    EXPECT_TRUE(has(text, "peers_max = 7  # " + config + ":5:13\n")) << text;
    EXPECT_TRUE(has(text, "replay_threads = 2  # default\n")) << text;
}

TEST_F(Cairnd, PrintsSettingsThatItReads) {
    const std::string config = file("a.toml",
                                    "listen = [\"tcp://127.0.0.1:0\"]\ndata = \"/d\"\n"
                                    "[topics]\nage_max = \"7d\"\nconfirm = \"written\"\n"
                                    "[[access]]\nkey = \"*\"\ntopics = \"a*\"\n"
                                    "may = [\"publish\", \"consume\"]\n");
    const auto without_comments = [](const std::string& text) {
        std::istringstream lines(text);
        std::string all;
        for (std::string line; std::getline(lines, line);)
            all += line.substr(0, line.find("  # ")) + "\n";
        return all;
    };
    const auto [code, first] = said({"-c", config, "--print-config"});
    EXPECT_EQ(code, 0) << first;
    EXPECT_TRUE(has(first, "age_max = '604800000ms'")) << first;
    const std::string second = said({"-c", file("b.toml", first), "--print-config"}).second;
    EXPECT_EQ(without_comments(first), without_comments(second));
}

TEST_F(Cairnd, HoldsAllTopicsToTheLimitsOfTheStore) {
    start({"--store-messages-max", "5", "--store-until-acked", "true",
           "--store-groups-per-topic-max", "1"});
    party client(endpoints_.front());
    ASSERT_TRUE(client.open(1, "quakes", "usgs", 7));
    client.append(1, 1, 5);
    ASSERT_TRUE(client.confirmed(5));
    client.append(1, 6, 1);
    const auto refused = client.raw().hear<wire::append_refused>(wire::kind::append_refused);
    ASSERT_TRUE(refused);
    EXPECT_EQ(refused->code, errc::store_full);
    ASSERT_TRUE(client.attach(2, "quakes", "alarms"));
    client.raw().say(wire::attach_group{3, "quakes", "archive", "", wire::group_kind::each, {}, 0});
    EXPECT_EQ(client.raw().refusal(wire::kind::error), errc::limit_exceeded);
    client.ack(2, "usgs", 7, {{sequence{1}, sequence{5}}});
    ASSERT_TRUE(client.acked(1));
    client.append(1, 6, 5);
    EXPECT_TRUE(client.confirmed(10)) << "what was acked left room";
}

TEST_F(Cairnd, HoldsEachConnectionToItsLimits) {
    const std::string config = file("c.toml", "[limits]\nbody_bytes_max = \"1MiB\"\n");
    start({"-c", config, "--limits-subscriptions-per-peer-max", "1"},
          {"CAIRND_LIMITS_TOPICS_PER_PEER_MAX=1"});
    stranger one(endpoints_.front());
    one.say(wire::hello{1, 1, stranger::made_up_node(), "one", 1 << 20});
    const auto hello = one.hear<wire::hello>(wire::kind::hello);
    ASSERT_TRUE(hello);
    EXPECT_EQ(hello->body_bytes_max, 1U << 20);
    party client(endpoints_.front());
    ASSERT_TRUE(client.open(1, "quakes", "usgs", 7));
    client.raw().say(wire::open_source{2, "quakes", "emsc", epoch{7}});
    EXPECT_EQ(client.raw().refusal(wire::kind::error), errc::limit_exceeded);
    client.subscribe("quakes", 0);
    ASSERT_TRUE(client.raw().hear(wire::kind::subscribed));
    client.raw().say(wire::subscribe{2, "quakes", wire::start::live, 0, false, {}});
    EXPECT_EQ(client.raw().refusal(wire::kind::error), errc::limit_exceeded);
}

TEST_F(Cairnd, NamesTheLineOfWhatItDoesNotKnow) {
    const auto problem = [&](const std::string& text) {
        const std::string config = file("c.toml", text);
        const auto [code, said_text] = said({"-c", config, "--check-config"});
        EXPECT_EQ(code, 2);
        return said_text.substr(std::min(said_text.size(), ("cairnd: " + config).size()));
    };
    EXPECT_EQ(problem("[store]\nquoto = 1\n"),
              ":2:1: unknown key \"store.quoto\"; did you mean \"store.quota\"?\n");
    EXPECT_EQ(problem("[stores]\nquota = 1\n"),
              ":1:2: unknown table \"stores\"; did you mean \"store\"?\n");
    EXPECT_EQ(problem("[limit]\npeers_max = 1\n"),
              ":1:2: unknown table \"limit\"; did you mean \"limits\"?\n");
    EXPECT_EQ(problem("[[acces]]\nmay = []\n"),
              ":1:3: unknown table \"acces\"; did you mean \"access\"?\n");
    EXPECT_EQ(problem("[nonsense]\nx = 1\n"), ":1:2: unknown table \"nonsense\"\n");
    EXPECT_EQ(problem("name = [1, 2]\n"), ":1:8: name takes one value\n");
    EXPECT_EQ(problem("name = 1.5\n"),
              ":1:8: name must be a string, a whole number or a boolean\n");
    EXPECT_EQ(problem("[store]\nquota = \"much\"\n"),
              ":2:9: store.quota: \"much\" is not understood; write for example 512MiB or "
              "20GB\n");
    EXPECT_EQ(problem("[[access]]\nmay = [\"publsh\"]\n"),
              ":2:7: there is no right \"publsh\"; did you mean \"publish\"?\n");
    EXPECT_EQ(problem("[[access]]\nmay = [\"read\"]\n"),
              ":2:7: there is no right \"read\"; there are publish, subscribe, consume, admin\n");
    EXPECT_EQ(problem("name = \n").substr(0, 3), ":1:");
}

TEST_F(Cairnd, SuggestsFlagsAndVariables) {
    const auto [flag_code, flag] = said({"--stor-quota", "5"});
    EXPECT_EQ(flag_code, 2);
    EXPECT_EQ(flag, "cairnd: unknown argument --stor-quota; did you mean \"--store-quota\"?\n");
    const auto [code, variable] = said({"--check-config"}, {"CAIRND_STORE_QUOTTA=5"});
    EXPECT_EQ(code, 2);
    EXPECT_EQ(variable,
              "cairnd: environment: unknown variable CAIRND_STORE_QUOTTA; did you mean "
              "\"CAIRND_STORE_QUOTA\"?\n");
}

TEST_F(Cairnd, RefusesToBeOpenToStrangersAndSaysWhatMendsIt) {
    const auto [code, text] =
        said({"--data", (directory_ / "data").string(), "--listen", "tcp://0.0.0.0:0"});
    EXPECT_EQ(code, 2);
    for (const char* part : {"tcp://0.0.0.0:0", "--make-keys store.cert", "--security-key-file",
                             "--listen tcp://127.0.0.1:7700", "--security-insecure"})
        EXPECT_TRUE(has(text, part)) << text;
}

// Peers on the same machine go first (sched(7): a SCHED_BATCH thread pushes nobody aside), and what
// reads history after what takes messages in.
TEST_F(Cairnd, WorksInThreadsThatPushNobodyAside) {
    start();
    const auto niceness = [](pid_t of) {
        return ::getpriority(PRIO_PROCESS, static_cast<id_t>(of));
    };
    std::size_t working = 0;
    std::size_t reading = 0;
    const fs::path process = "/proc/" + std::to_string(running_->pid());
    const auto count = [&] {
        working = reading = 0;
        for (const auto& thread : fs::directory_iterator(process / "task")) {
            const auto number = static_cast<pid_t>(std::stol(thread.path().filename().string()));
            if (number == running_->pid()) continue;  // waits for signals
            EXPECT_EQ(::sched_getscheduler(number), SCHED_BATCH) << thread.path();
            ++working;
            if (niceness(number) > niceness(running_->pid())) ++reading;
        }
        return reading == 2;
    };
    EXPECT_TRUE(eventually(count, 30s)) << "each steps back when it begins; " << reading << " have";
    EXPECT_GE(working, 6u) << "libzmq's two, the loop's, the committer's, and two that read";
}

TEST_F(Cairnd, ServesTheKeysThatItMade) {
    const std::string server = (directory_ / "server.cert").string();
    const auto [code, server_key] = said({"--make-keys", server});
    ASSERT_EQ(code, 0);
    const key_pair client = generate_keys();
    start(
        {"--security-key-file", server + "_secret", "--security-allowed-keys", client.public_key});
    EXPECT_TRUE(has(running_->output(), "encrypted; 1 key may connect"));
    EXPECT_TRUE(party(endpoints_.front(), client, server_key.substr(0, 40))
                    .store("quakes", "usgs", 7, 1, 5));
}

TEST_F(Cairnd, ReadsItsRightsAgain) {
    const std::string config =
        file("c.toml", "[[access]]\nkey = \"*\"\ntopics = \"a\"\nmay = [\"publish\"]\n");
    start({"-c", config});
    EXPECT_FALSE(party(endpoints_.front()).open(1, "b", "usgs", 7));
    file("c.toml", "name = \"other\"\n[[access]]\ntopics = \"b\"\nmay = [\"publish\"]\n");
    running_->signal(SIGHUP);
    ASSERT_TRUE(running_->wait_for_output("reloaded", 30s));
    EXPECT_TRUE(has(running_->output(), "name counts after a restart"));
    party publisher(endpoints_.front());
    EXPECT_TRUE(publisher.open(2, "b", "usgs", 7));
    file("c.toml", "nonsense = 1\n");
    running_->signal(SIGHUP);
    ASSERT_TRUE(running_->wait_for_output("everything stays as it was", 30s));
    EXPECT_TRUE(publisher.open(3, "b", "emsc", 7));
}

TEST_F(Cairnd, ChecksAllThatItWouldRefuse) {
    const auto problem = [&](const std::string& text, const std::vector<std::string>& flags = {}) {
        std::vector<std::string> all{"--check-config", "-c", file("c.toml", text)};
        all.insert(all.end(), flags.begin(), flags.end());
        const auto [code, words] = said(all);
        EXPECT_EQ(code, words.empty() ? 0 : 2) << words;
        return words;
    };
    EXPECT_EQ(problem("[[access]]\ntopics = \"a*\"\nmay = [\"admin\"]\n"), "");
    EXPECT_TRUE(has(problem("[[access]]\ntopics = \"a*b\"\nmay = [\"admin\"]\n"),
                    "no topic and no pattern"));
    EXPECT_TRUE(has(problem("[[access]]\nkey = \"me\"\nmay = [\"admin\"]\n"),
                    "\"me\" is not a public key"));
    EXPECT_TRUE(has(problem("", {"--listen", "tcp://0.0.0.0:7700"}), "--make-keys"));
    EXPECT_TRUE(has(problem("", {"--listen", "tcp://127.0.0.1"}), "tcp://127.0.0.1"));
    EXPECT_TRUE(has(problem("", {"--security-allowed-keys", "me"}), "security.key_file"));
    EXPECT_TRUE(has(problem("listen = []\n"), "c.toml:1:10: listen: names no endpoint"));
    const std::string here = "c.toml:2:";
    EXPECT_TRUE(has(problem("[limits]\nreplay_threads = 65\n"),
                    "replay_threads must be 1 to 64; limits.replay_threads: "));
    EXPECT_TRUE(has(problem("[limits]\nreplay_threads = 65\n"), here));
    EXPECT_TRUE(has(problem("[limits]\npeers_max = 0\n"), here));
    EXPECT_TRUE(has(problem("[limits]\nbody_bytes_max = \"65MiB\"\n"), here));
    EXPECT_TRUE(has(problem("[store]\nsources_per_topic_max = 0\n"),
                    "sources_per_topic_max must be 1 or more; store.sources_per_topic_max: "));
    EXPECT_TRUE(has(problem("", {"--limits-append-window", "5"}),
                    "; limits.append_window: --limits-append-window; limits.append_bytes_max: "
                    "default"));
}

TEST_F(Cairnd, TellsASettingThatItCannotUseBeforeItServes) {
    const auto [code, words] =
        said({"--limits-append-window", "5", "--data", (directory_ / "data").string()});
    EXPECT_EQ(code, 2);
    EXPECT_TRUE(has(words, "limits.append_window: --limits-append-window")) << words;
    EXPECT_FALSE(fs::exists(directory_ / "data"));
}

TEST_F(Cairnd, TellsAPortsFileThatItCannotWriteBeforeItServes) {
    const std::string data = (directory_ / "data").string();
    const std::string plain = file("plain", "");
    for (const auto& [ports, why] : {std::pair{directory_ / "nowhere" / "ports", "No such file"},
                                     {fs::path(plain) / "ports", "Not a directory"},
                                     {directory_.path(), "Is a directory"}}) {
        const std::string config = file("c.toml", "ports_file = \"" + ports.string() + "\"\n");
        for (const std::vector<std::string>& more :
             {std::vector<std::string>{}, {"--check-config"}}) {
            std::vector<std::string> flags{"-c", config, "--data", data};
            flags.insert(flags.end(), more.begin(), more.end());
            const auto [code, words] = said(flags);
            EXPECT_EQ(code, 2) << words;
            EXPECT_TRUE(has(words, config + ":1:14: ports_file: " + ports.string())) << words;
            EXPECT_TRUE(has(words, why)) << words;
        }
    }
    EXPECT_FALSE(fs::exists(data));
    EXPECT_EQ(said({"--data", data, "--ports-file", (directory_ / "p").string(), "--check-config"}),
              std::pair(0, std::string()));
    EXPECT_TRUE(fs::exists(file("p.new", "of another that starts")));
    EXPECT_EQ(said({"--data", data, "--ports-file", (directory_ / "p").string(), "--check-config"}),
              std::pair(0, std::string()));
    std::vector<std::string> left;
    for (const auto& there : fs::directory_iterator(directory_.path()))
        if (there.path().stem() == "p") left.push_back(there.path().filename());
    EXPECT_EQ(left, std::vector<std::string>{"p.new"}) << "to be asked after leaves nothing";
    EXPECT_EQ(fs::file_size(directory_ / "p.new"), 22U);
}

TEST_F(Cairnd, PutsItsPortsFileInThePlaceOfNothingButAFile) {
    const std::string target = file("target", "somebody's");
    const fs::path link = directory_ / "link";
    const fs::path pipe = directory_ / "pipe";
    const fs::path aside = directory_ / "free.new";
    fs::create_symlink(target, link);
    fs::create_symlink(target, aside);
    ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
    const std::string data = (directory_ / "data").string();
    for (const auto& [ports, why] : {std::pair{link, "symbolic link; name the file"},
                                     {pipe, "a pipe, a socket or a device; name a file"},
                                     {directory_ / "free", "free.new cannot be written: it is a"}})
        for (const std::vector<std::string>& more :
             {std::vector<std::string>{}, {"--check-config"}}) {
            std::vector<std::string> flags{"--ports-file", ports.string(), "--data", data};
            flags.insert(flags.end(), more.begin(), more.end());
            const auto [code, words] = said(flags);
            EXPECT_EQ(code, 2) << words;
            EXPECT_TRUE(has(words, "--ports-file: ports_file: " + ports.string())) << words;
            EXPECT_TRUE(has(words, why)) << words;
        }
    EXPECT_TRUE(fs::is_symlink(link));
    EXPECT_TRUE(fs::is_symlink(aside));
    EXPECT_TRUE(fs::is_fifo(pipe));
    EXPECT_EQ(fs::file_size(target), 10U);
    EXPECT_FALSE(fs::exists(data));
}

TEST_F(Cairnd, TakesAPortsFileAwayThatOneWhoWasKilledLeftHalfWritten) {
    file("ports.new", "tcp://127.0.0.1:1\ntcp://127.0");
    file("ports", "tcp://127.0.0.1:1\n");
    start();
    EXPECT_EQ(endpoints_.size(), 1U);
    EXPECT_NE(endpoints_.front(), "tcp://127.0.0.1:1");
    EXPECT_FALSE(fs::exists(directory_ / "ports.new"));
}

TEST_F(Cairnd, WritesAPortsFileIntoDirectoriesThatItMakesForItsData) {
    for (const auto& [data, ports] : {std::pair{"a/data", "a/data/ports"}, {"b/data", "b/ports"}}) {
        child_process made =
            program({"--listen", "tcp://127.0.0.1:0", "--data", (directory_ / data).string(),
                     "--ports-file", (directory_ / ports).string()});
        EXPECT_TRUE(made.wait_for_output("ready\n", 30s)) << made.output();
        EXPECT_TRUE(fs::exists(directory_ / ports));
    }
}

TEST_F(Cairnd, TakesNoArgumentForAValueThatIsLeftOut) {
    const std::string help = said({"--help"}).second;
    const std::regex valued("(--[a-z-]+) [A-Z]+");
    std::size_t options = 0;
    for (std::sregex_iterator at(help.begin(), help.end(), valued), end; at != end; ++at) {
        const std::string name = (*at)[1];
        const auto [code, words] = said({name + "=", "--check-config"});
        EXPECT_EQ(code, 2) << name;
        EXPECT_EQ(words, "cairnd: nothing stands behind " + name + "=; write " + name +
                             " '' for an empty value\n");
        ++options;
    }
    EXPECT_GT(options, 30U) << help;
    EXPECT_TRUE(has(said({"--name", "", "--print-config"}).second, "name = ''  # --name"));
}

TEST_F(Cairnd, TakesNothingOfSettingsThatItCannotTakeAsAWhole) {
    const std::string server = (directory_ / "store").string();
    const std::string server_key = said({"--make-keys", server}).second.substr(0, 40);
    const key_pair client = generate_keys();
    const auto settings = [&](const std::string& allowed, const std::string& topics) {
        return file("c.toml", "[security]\nkey_file = \"" + server + "_secret\"\n" +
                                  "allowed_keys = [" + allowed + "]\n[[access]]\ntopics = \"" +
                                  topics + "\"\nmay = [\"publish\"]\n");
    };
    start({"-c", settings("'" + client.public_key + "'", "a")});
    party publisher(endpoints_.front(), client, server_key);
    settings("", "a*b");
    running_->signal(SIGHUP);
    ASSERT_TRUE(running_->wait_for_output("everything stays as it was", 30s));
    EXPECT_TRUE(publisher.open(1, "a", "usgs", 7)) << "its key is still on the list";
}

TEST_F(Cairnd, CutsAClientWhoseKeyIsTakenOffItsListWhenItReadsThatAgain) {
    const std::string server = (directory_ / "store").string();
    const std::string server_key = said({"--make-keys", server}).second.substr(0, 40);
    const key_pair stays = generate_keys();
    const key_pair leaves = generate_keys();
    const auto list = [&](const std::string& keys) {
        return file("c.toml", "[security]\nkey_file = \"" + server + "_secret\"\nallowed_keys = [" +
                                  keys + "]\n");
    };
    const std::string both = "'" + stays.public_key + "', '" + leaves.public_key + "'";
    start({"-c", list(both)});
    party friendly(endpoints_.front(), stays, server_key);
    party revoked(endpoints_.front(), leaves, server_key);
    ASSERT_TRUE(revoked.store("quakes", "usgs", 7, 1, 5));
    list("'" + stays.public_key + "'");
    running_->signal(SIGHUP);
    EXPECT_EQ(revoked.raw().refusal(wire::kind::bye), errc::not_authorised);
    EXPECT_TRUE(friendly.store("quakes", "emsc", 7, 1, 5));
}

TEST_F(Cairnd, SaysWhatCountsAfterARestartOnly) {
    const std::string keys = (directory_ / "store").string();
    ASSERT_EQ(said({"--make-keys", keys}).first, 0);
    const std::string security = "[security]\nkey_file = \"" + keys + "_secret\"\n";
    start({"-c", file("c.toml", security)});
    fs::remove(keys);
    fs::remove(keys + "_secret");
    ASSERT_EQ(said({"--make-keys", keys}).first, 0);
    file("c.toml", security + "[limits]\npeers_max = 7\n");
    running_->signal(SIGHUP);
    ASSERT_TRUE(running_->wait_for_output("reloaded", 30s));
    EXPECT_TRUE(has(running_->output(), "limits.peers_max counts after a restart"));
    EXPECT_TRUE(has(running_->output(), "the keys in security.key_file count after a restart"));
    EXPECT_FALSE(has(running_->output(), "limits.append_window"));
}

TEST_F(CairndOnAHangingDisk, LeavesAtItsDeadlineAndConfirmsNothingMore) {
    start({"--close-deadline", "200ms"}, variables());
    party publisher(endpoints_.front());
    get_stuck(publisher);
    EXPECT_EQ(end(SIGTERM), 3);
    EXPECT_TRUE(has(running_->output(), "1 appends, acks and changes")) << running_->output();
    EXPECT_FALSE(has(running_->output(), "good order")) << running_->output();
    EXPECT_FALSE(publisher.raw().hear(wire::kind::confirm, 100ms));

    go_on();
    start({}, variables());
    EXPECT_TRUE(has(running_->output(), "recovered"));
    party again(endpoints_.front());
    const auto opened = again.open(1, "quakes", "usgs", 7);
    ASSERT_TRUE(opened);
    EXPECT_GE(opened->last, sequence{5}) << "what was confirmed is there";
}

TEST_F(CairndOnAHangingDisk, LeavesAtItsDeadlineWhenNothingIsUnderWay) {
    start({"--close-deadline", "200ms"}, variables());
    ASSERT_TRUE(party(endpoints_.front()).store("quakes", "usgs", 7, 1, 5));
    hang();
    EXPECT_EQ(end(SIGTERM), 3);
    EXPECT_TRUE(has(running_->output(), "0 appends, acks and changes")) << running_->output();
}

TEST_F(CairndOnAHangingDisk, LeavesInGoodOrderWhenTheDiskComesBackInTime) {
    start({"--close-deadline", "30s"}, variables());
    party publisher(endpoints_.front());
    get_stuck(publisher);
    running_->signal(SIGTERM);
    ASSERT_TRUE(running_->wait_for_output("stopping", 30s));
    go_on();
    EXPECT_TRUE(publisher.confirmed(10));
    EXPECT_EQ(running_->wait(30s), 0);
    EXPECT_TRUE(has(running_->output(), "stopped in good order"));
}

TEST_F(CairndOnAHangingDisk, TakesNothingMoreWhenItLeaves) {
    start({"--close-deadline", "30s"}, variables());
    party publisher(endpoints_.front());
    get_stuck(publisher);
    party other(endpoints_.front());
    wire::channel channel = 1;
    running_->signal(SIGTERM);
    EXPECT_TRUE(eventually(
        [&] {
            other.raw().say(wire::list_topics{channel++, "*"});
            return !other.raw().hear(wire::kind::topics, 100ms);
        },
        30s));
    publisher.append(1, 11, 5);
    ASSERT_TRUE(publisher.raw().answered());
    go_on();
    EXPECT_TRUE(publisher.confirmed(10));
    EXPECT_EQ(running_->wait(30s), 0);
    start({}, variables());
    EXPECT_EQ(party(endpoints_.front()).open(1, "quakes", "usgs", 7)->last, sequence{10});
}

TEST_F(CairndOnAHangingDisk, AnswersWhatItTookBeforeItLeaves) {
    start({"--close-deadline", "30s"}, variables());
    party publisher(endpoints_.front());
    party member(endpoints_.front());
    ASSERT_TRUE(member.attach(1, "quakes", "alarms"));
    get_stuck(publisher);
    member.ack(1, "usgs", 7, {{sequence{1}, sequence{3}}, {sequence{5}, sequence{5}}});
    ASSERT_TRUE(member.raw().answered());
    publisher.append(1, 11, 5);
    ASSERT_TRUE(publisher.raw().answered());
    running_->signal(SIGTERM);
    ASSERT_TRUE(running_->wait_for_output("stopping", 30s));
    go_on();
    EXPECT_TRUE(publisher.confirmed(15));
    EXPECT_TRUE(member.acked(1));
    EXPECT_EQ(running_->wait(30s), 0);
    start({}, variables());
    party again(endpoints_.front());
    EXPECT_EQ(again.open(1, "quakes", "usgs", 7)->last, sequence{15});
    const auto attached = again.attach(2, "quakes", "alarms");
    ASSERT_TRUE(attached);
    EXPECT_EQ(party::points(attached->points), "usgs 7:4");
    EXPECT_EQ(party::done(attached->done), "usgs 7:5-5");
}

/// A disk whose syncs fail from break_disk() to mend_disk().
class CairndOnAFailingDisk : public Cairnd {
protected:
    CairndOnAFailingDisk() { program_ = CAIRND_ON_HANGING_DISK; }

    std::vector<std::string> variables() const { return {"CAIRN_TEST_EIO=" + broken_.string()}; }
    void break_disk() const { std::ofstream(broken_) << ""; }
    void mend_disk() const { std::filesystem::remove(broken_); }

    const std::filesystem::path broken_ = directory_ / "broken";
};

TEST_F(CairndOnAFailingDisk, LeavesSoThatItsSupervisorOpensTheStoreAnew) {
    const std::string path = (directory_ / "notify").string();
    const notified supervisor(path);
    auto more = variables();
    more.push_back("NOTIFY_SOCKET=" + path);
    start({}, more);
    EXPECT_EQ(supervisor.next(), "READY=1");
    party publisher(endpoints_.front());
    ASSERT_TRUE(publisher.open(1, "quakes", "usgs", 7));
    publisher.append(1, 1, 5);
    ASSERT_TRUE(publisher.confirmed(5));
    break_disk();
    publisher.append(1, 6, 5);
    const auto refused = publisher.raw().hear<wire::append_refused>(wire::kind::append_refused);
    ASSERT_TRUE(refused);
    EXPECT_EQ(refused->code, errc::store_failed);
    EXPECT_EQ(running_->wait(30s), 4);
    EXPECT_TRUE(has(running_->output(), "failed in a write or a sync")) << running_->output();
    EXPECT_TRUE(has(running_->output(), "leaving, to be started again")) << running_->output();
    EXPECT_EQ(supervisor.next(), "STOPPING=1");
    EXPECT_TRUE(has(supervisor.next(), "STATUS=a write or sync failed"));

    mend_disk();
    start({}, variables());
    EXPECT_TRUE(has(running_->output(), "recovered"));
    party again(endpoints_.front());
    const auto opened = again.open(1, "quakes", "usgs", 7);
    ASSERT_TRUE(opened);
    EXPECT_EQ(opened->last, sequence{5}) << "what was confirmed is there, and nothing else";
    again.append(1, 6, 5);
    EXPECT_TRUE(again.confirmed(10));
}

}  // namespace
