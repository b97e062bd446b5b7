#include "cairnd_fixture.hpp"

#include "support/eventually.hpp"

#include <algorithm>
#include <fstream>
#include <iterator>
#include <string>

// What cairnd does with data that it does not serve.
namespace {

using namespace cairn;
using namespace cairn::test;
using namespace std::chrono_literals;
namespace fs = std::filesystem;

class CairndUpkeep : public Cairnd {
protected:
    std::pair<int, std::string> upkeep(std::vector<std::string> flags,
                                       const std::string& data = "data") {
        flags.emplace_back("--data");
        flags.push_back((directory_ / data).string());
        return said(flags);
    }
    void store(std::uint64_t first, std::uint32_t count) {
        ASSERT_TRUE(party(endpoints_.front()).store("quakes", "usgs", 7, first, count));
    }
    std::string data() const {
        std::ifstream in(directory_ / "data" / "data.mdb", std::ios::binary);
        return {std::istreambuf_iterator<char>(in), {}};
    }
    void replace_data(const std::string& bytes) const {
        std::ofstream(directory_ / "data" / "data.mdb", std::ios::binary) << bytes;
    }
    /// Turns the order of two entries round in LMDB's leaves with that content: nothing that
    /// opening alone would meet.
    void spoil_pages_with(const std::string& content) const {
        constexpr std::size_t page_bytes = 4'096;
        constexpr std::size_t flags_at = 10;
        constexpr std::size_t entries_at = 16;
        std::string bytes = data();
        for (std::size_t at = bytes.find(content); at != std::string::npos;
             at = bytes.find(content, (at / page_bytes + 1) * page_bytes)) {
            char* const page = &bytes[at / page_bytes * page_bytes];
            ASSERT_EQ(page[flags_at], 0x02) << "it is a leaf";
            std::swap_ranges(page + entries_at, page + entries_at + 2, page + entries_at + 2);
        }
        replace_data(bytes);
    }
};

TEST_F(CairndUpkeep, BacksUpWhatIsServedAndRestoresIt) {
    start();
    store(1, 5);
    const std::string copy = (directory_ / "copy").string();
    const auto [code, words] = upkeep({"--backup", copy});
    ASSERT_EQ(code, 0) << words;
    EXPECT_TRUE(has(words, "restore it with --data " + copy)) << words;
    store(6, 5);
    EXPECT_EQ(upkeep({"--backup", copy}).first, 1) << "what is there is not written over";
    EXPECT_EQ(end(SIGTERM), 0);

    fs::remove_all(directory_ / "data");
    fs::rename(copy, directory_ / "data");
    start();
    EXPECT_TRUE(has(running_->output(), " 5 messages")) << running_->output();
    store(6, 5);
}

TEST_F(CairndUpkeep, ServesNoBackupThatWasKilledHalfWayAndBeginsItAnew) {
    start();
    store(1, 5);
    const std::string copy = (directory_ / "copy").string();
    const std::string hang = file("hang", "");
    child_process killed({"/usr/bin/env", "CAIRN_TEST_HANG=" + hang, CAIRND_ON_HANGING_DISK,
                          "--backup", copy, "--data", (directory_ / "data").string()});
    ASSERT_TRUE(eventually([&] { return fs::exists(hang + ".held"); }, 30s)) << killed.output();
    killed.signal(SIGKILL);
    ASSERT_EQ(killed.wait(30s), 128 + SIGKILL);

    const auto [code, words] = said({"--data", copy, "--listen", "tcp://127.0.0.1:0"});
    EXPECT_EQ(code, 1) << words;
    EXPECT_TRUE(has(words, copy + ": a backup to it was interrupted")) << words;
    EXPECT_TRUE(has(words, "back up to it again, or remove " + copy + "/unfinished_copy")) << words;
    const auto [again, done] = upkeep({"--backup", copy});
    ASSERT_EQ(again, 0) << done;
    EXPECT_EQ(end(SIGTERM), 0);
    EXPECT_FALSE(fs::exists(copy + "/unfinished_copy"));
    fs::remove_all(directory_ / "data");
    fs::rename(copy, directory_ / "data");
    start();
    EXPECT_TRUE(has(running_->output(), " 5 messages")) << running_->output();
}

TEST_F(CairndUpkeep, BacksUpNeitherIntoTheDataNorAroundIt) {
    start();
    store(1, 5);
    EXPECT_EQ(end(SIGTERM), 0);
    fs::create_directory_symlink(directory_ / "data", directory_ / "link");
    for (const char* target : {"data", "data/copy", "link/copy", "data/../data/copy", "."}) {
        const auto [code, words] = upkeep({"--backup", (directory_ / target).string()});
        EXPECT_EQ(code, 1) << target;
        EXPECT_TRUE(has(words, "that is to be copied")) << words;
    }
    for (const char* written : {"data/copy", "data/unfinished_copy", "unfinished_copy"})
        EXPECT_FALSE(fs::exists(directory_ / written)) << written;
}

TEST_F(CairndUpkeep, VerifiesAndCompactsWhatNobodyServes) {
    start();
    store(1, 1'000);
    for (const char* flag : {"--verify", "--compact"}) {
        const auto [code, words] = upkeep({flag});
        EXPECT_EQ(code, 1);
        EXPECT_TRUE(has(words, "close it there first")) << words;
    }
    EXPECT_EQ(end(SIGTERM), 0);
    const auto [compacted, room] = upkeep({"--compact"});
    EXPECT_EQ(compacted, 0);
    EXPECT_TRUE(has(room, "bytes back to the disk")) << room;
    const auto [code, words] = upkeep({"--verify"});
    EXPECT_EQ(code, 0) << words;
    EXPECT_TRUE(has(words, "1 topics, 1000 messages")) << words;
    EXPECT_TRUE(has(words, "sound")) << words;
}

TEST_F(CairndUpkeep, LeavesTheDataToItsUserAlone) {
    const auto only_ours = [&](const fs::path& what) {
        const fs::perms others = fs::perms::group_all | fs::perms::others_all;
        EXPECT_EQ(fs::status(what).permissions() & others, fs::perms::none) << what;
    };
    start();
    store(1, 5);
    ASSERT_EQ(upkeep({"--backup", (directory_ / "copy").string()}).first, 0);
    EXPECT_EQ(end(SIGTERM), 0);
    ASSERT_EQ(upkeep({"--compact"}).first, 0);
    for (const char* where : {"data", "copy"}) {
        only_ours(directory_ / where);
        only_ours(directory_ / where / "data.mdb");
    }
}

TEST_F(CairndUpkeep, TellsWhereItFoundDamage) {
    start();
    store(1, 100);
    EXPECT_EQ(end(SIGTERM), 0);
    const std::string body = records_from(1, 100);
    const std::string bytes = data();
    const std::size_t at = bytes.find(body);
    ASSERT_NE(at, std::string::npos);
    const auto verified = [&](std::size_t flipped) {
        std::string wrong = bytes;
        wrong[flipped] ^= 1;
        replace_data(wrong);
        const auto [code, words] = upkeep({"--verify"});
        EXPECT_EQ(code, 5) << words;
        return words;
    };
    std::string words = verified(at + body.size() / 2);
    EXPECT_TRUE(has(words, "damaged  topic 1, offsets 1 to 100: ")) << words;
    EXPECT_TRUE(has(words, "cairn topic trim")) << words;
    words = verified(at / 4'096 * 4'096);  // the number of its page
    EXPECT_TRUE(has(words, "is not the page that the tree expects")) << words;
    EXPECT_TRUE(has(words, "restore a backup")) << words;
    EXPECT_FALSE(has(words, "0 messages")) << words;
}

TEST_F(CairndUpkeep, ServesNoDamagedTreeWhereItIsToldToWalkThemAlways) {
    start();
    for (std::uint64_t n = 1; n <= 9; ++n) store(n, 1);
    EXPECT_EQ(end(SIGTERM), 0);
    start({"--store-check-on-open", "always"});
    EXPECT_EQ(end(SIGTERM), 0) << "sound trees are served";
    spoil_pages_with(records_from(1, 1));
    start();
    EXPECT_EQ(end(SIGTERM), 0) << "after a good end they are trusted by itself";

    const auto [code, words] = said({"--data", (directory_ / "data").string(), "--listen",
                                     "tcp://127.0.0.1:0", "--store-check-on-open", "always"});

    EXPECT_EQ(code, 1) << words;
    EXPECT_TRUE(has(words, ": page ")) << words;
    EXPECT_TRUE(has(words, "restore a backup")) << words;
}

TEST_F(CairndUpkeep, ConfirmsNothingWhenItsDataIsRemovedAndLeaves) {
    start();
    party publisher(endpoints_.front());
    ASSERT_TRUE(publisher.open(1, "quakes", "usgs", 7));
    publisher.append(1, 1, 5);
    ASSERT_TRUE(publisher.confirmed(5));
    fs::remove_all(directory_ / "data");
    publisher.append(1, 6, 5);
    const auto refused = publisher.raw().hear<wire::append_refused>(wire::kind::append_refused);
    ASSERT_TRUE(refused);
    EXPECT_EQ(refused->code, errc::store_failed);
    EXPECT_EQ(running_->wait(30s), 4);
    EXPECT_TRUE(has(running_->output(), "was removed, or another was put in its place"));
    EXPECT_TRUE(has(running_->output(), "a backup")) << running_->output();
    EXPECT_FALSE(has(running_->output(), "stopped in good order"));
}

TEST_F(CairndUpkeep, DoesNotLeaveInGoodOrderWithoutItsData) {
    start();
    store(1, 5);
    fs::remove_all(directory_ / "data");
    EXPECT_EQ(end(SIGTERM), 4);
    EXPECT_TRUE(has(running_->output(), "was removed, or another was put in its place"));
}

TEST_F(CairndUpkeep, TakesDataThatCameWithoutItsLock) {
    start();
    store(1, 5);
    EXPECT_EQ(end(SIGTERM), 0);
    fs::create_directory(directory_ / "bare");
    fs::copy_file(directory_ / "data" / "data.mdb", directory_ / "bare" / "data.mdb");
    for (const char* flag : {"--verify", "--compact", "--verify"}) {
        const auto [code, words] = upkeep({flag}, "bare");
        EXPECT_EQ(code, 0) << words;
    }
}

TEST_F(CairndUpkeep, IsRefusedInWordsWhereThereIsNoData) {
    for (const std::vector<std::string>& flags :
         {std::vector<std::string>{"--verify"}, {"--compact"}, {"--backup", "x"}}) {
        const auto [code, words] = upkeep(flags, "nowhere");
        EXPECT_EQ(code, 1) << words;
        EXPECT_TRUE(has(words, "nowhere: ")) << words;
    }
    EXPECT_EQ(upkeep({"--verify", "--compact"}).first, 2);
    EXPECT_EQ(upkeep({"--backup", ""}).first, 2) << "an empty variable is no directory";
    EXPECT_EQ(upkeep({"-c", directory_.path().string(), "--check-config"}).first, 2);
}

}  // namespace
