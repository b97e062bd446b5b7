// What damage can do to a process that opens a database with the options that it has by itself:
// nothing, or end it once, or twice where files are too large to be walked each time.
#include "store/support/fixture.hpp"
#include "store/support/lowered_bounds.hpp"
#include "store/support/workload.hpp"
#include "support/child_process.hpp"
#include "support/rounds.hpp"
#include "support/temp_directory.hpp"

#include <cairn/store/database.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <iterator>

namespace cairn::test {
namespace {

using namespace std::chrono_literals;
using namespace store;

std::string read_file(const std::filesystem::path& file) {
    std::ifstream in(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

void write_file(const std::filesystem::path& file, const std::string& bytes) {
    std::ofstream(file, std::ios::binary | std::ios::trunc) << bytes;
}

/// Mostly where LMDB's pages say what they hold: a bit of a header, or of a node's place or head.
void flip(std::string& bytes, dice& random) {
    constexpr std::size_t page_bytes = 4'096;
    constexpr std::size_t head_bytes = 64;
    const std::size_t page = random.below(bytes.size() / page_bytes) * page_bytes;
    std::size_t at = random.chance(60) ? random.below(head_bytes) : random.below(page_bytes);
    bytes[page + at] = static_cast<char>(bytes[page + at] ^ (1 << random.below(8)));
}

/// Opens what is there in processes of their own, one after the other, until one lives on.
class starts {
public:
    starts(std::filesystem::path where, std::uint64_t seed, std::uint64_t walked_bytes_max)
        : where_(std::move(where)), seed_(seed), walked_bytes_max_(walked_bytes_max) {}

    /// What is wrong.
    std::optional<std::string> play(int deaths_max) {
        for (deaths = 0; deaths <= deaths_max; ++deaths) {
            child_process opener({STORE_KILL_VICTIM, "look", where_, std::to_string(seed_),
                                  std::to_string(walked_bytes_max_)});
            const auto code = opener.wait(20s);  // one that goes in circles is ended
            if (code == 0) return judge(opener.output());
            if (!code) opener.signal(SIGKILL);
        }
        return "died " + std::to_string(deaths) + " times";
    }

    int deaths = 0;

private:
    static std::optional<std::string> judge(const std::string& said) {
        for (const char* const allowed : {"right\n", "store_damaged\n", "store_newer\n"})
            if (said == allowed) return std::nullopt;
        return said;
    }

    std::filesystem::path where_;
    std::uint64_t seed_;
    std::uint64_t walked_bytes_max_;
};

void expect_few_deaths(std::uint64_t walked_bytes_max, int deaths_max) {
    constexpr std::size_t seeds = 4;
    constexpr int flips = sanitized ? 40 : 400;
    std::size_t schedules = 0;
    int deadly = 0;
    expect_no_failure(seeds, [&](std::uint64_t seed) -> std::optional<std::string> {
        ++schedules;
        const temp_directory directory;
        model known;
        {
            database db(directory / "db", small_options());
            age(known, seed, &db);
        }
        const std::string whole = read_file(directory / "db" / "data.mdb");
        dice random(seed);
        for (int n = 0; n < flips; ++n) {
            std::string bytes = whole;
            flip(bytes, random);
            write_file(directory / "db" / "data.mdb", bytes);
            write_file(directory / "db" / "cairn.lock", "c");
            starts some(directory / "db", seed, walked_bytes_max);
            if (auto found = some.play(deaths_max)) return *found + ", flip " + std::to_string(n);
            deadly += some.deaths == deaths_max ? 1 : 0;
        }
        return std::nullopt;
    });
    if (schedules >= seeds) {
        EXPECT_GT(deadly, 0) << "no process died of it: this proves nothing";
    }
}

TEST(DamagedStart, EndsAProcessOnceAtMost) { expect_few_deaths(check_bytes_max, 1); }

TEST(DamagedStart, EndsTwoProcessesAtMostWhereTheFileIsTooLargeToBeWalkedEachTime) {
    expect_few_deaths(0, 2);
}

/// A file above the size up to which it is walked after a death.
class LargeFile : public Database {
protected:
    LargeFile() : lowered_({.walked_bytes_max = 0}), source_(opened("quakes", "a")) {
        for (std::uint64_t n = 1; n <= 9; ++n) append_to(source_, n, {"one"});
        db_.reset();
    }

    /// What FORMAT.md says of the lock's file: how it ended, and how many processes died before.
    void write_lock(const std::string& bytes) {
        write_file(directory_ / "db" / "cairn.lock", bytes);
    }
    std::string lock() const { return content("cairn.lock"); }

    /// Turns the order of two entries of the log round: nothing that opening alone would meet.
    void spoil_log() {
        std::string bytes = content("data.mdb");
        for (std::size_t page = 2 * 4'096; page + 4'096 <= bytes.size(); page += 4'096) {
            const auto word = [&](std::size_t at) {
                return static_cast<std::uint8_t>(bytes[page + at]) +
                       256U * static_cast<std::uint8_t>(bytes[page + at + 1]);
            };
            const bool is_leaf = word(10) == 0x02;
            if (is_leaf && word(12) >= 16 + 4 && word(word(16) + 6) == log_key_bytes)
                std::swap_ranges(&bytes[page + 16], &bytes[page + 18], &bytes[page + 18]);
        }
        write_file(directory_ / "db" / "data.mdb", bytes);
    }

    const lowered_bounds lowered_;
    source_opened source_;
};

TEST_F(LargeFile, IsWalkedWhenItsProcessDiedTwiceInARow) {
    spoil_log();
    write_lock("o");
    EXPECT_EQ(refusal(), errc::ok) << "once";
    write_lock(std::string("o\1", 2));
    EXPECT_EQ(refusal(), errc::store_damaged);
    EXPECT_EQ(refusal(), errc::store_damaged) << "and stays so";
    write_lock(std::string("c\1", 2));
    EXPECT_EQ(refusal(), errc::ok) << "it was closed in between";
}

TEST_F(LargeFile, CountsTheDeathsOfItsProcesses) {
    for (const auto& [before, counted] : {std::pair{"c\0", 0}, {"o\0", 1}, {"o\1", 2}}) {
        write_lock(std::string(before, 2));
        reopen();
        EXPECT_EQ(lock(), std::string("o") + static_cast<char>(counted));
        db_.reset();
    }
}

TEST_F(LargeFile, CountsDeathsAnewAfterAThousandCommits) {
    write_lock(std::string("o\1", 2));
    reopen();
    for (std::uint64_t n = 10; n < 1'009; ++n) append_to(source_, n, {"one"});
    EXPECT_EQ(lock(), std::string("o\2", 2));
    append_to(source_, 1'009, {"one"});
    EXPECT_EQ(lock(), std::string("o\0", 2));
}

}  // namespace
}  // namespace cairn::test
