// The walk that lets LMDB in: it refuses nothing that LMDB wrote, and what it lets through, LMDB
// reads and changes without harm.
#include "support/temp_directory.hpp"
#include "unit/protocol/random.hpp"

#include "../../store/src/lmdb.hpp"
#include "../../store/src/structure.hpp"

#include <gtest/gtest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

namespace cairn::test {
namespace {

using namespace store;
using mode = lmdb::transaction::mode;

constexpr const char* trees[] = {"log", "index", "state"};

bytes bytes_of(const std::string& text) { return std::as_bytes(std::span(text)); }

std::string key_of(std::uint64_t number) {
    std::string text = std::to_string(number);
    return std::string(8 - text.size(), '0') + text;
}

/// An environment with three trees of numbered values.
class environment {
public:
    explicit environment(std::filesystem::path directory)
        : env_(directory, {.map_bytes = std::size_t{1} << 30}), file_(directory / "data.mdb") {
        lmdb::transaction txn(env_, mode::write);
        for (const char* name : trees) dbis_.push_back(txn.open(name, true));
        txn.commit();
    }

    /// In one transaction.
    void put(std::uint64_t from, std::uint64_t count, std::size_t value_bytes) {
        const std::string value(value_bytes, 'x');
        lmdb::transaction txn(env_, mode::write);
        for (std::uint64_t i = from; i < from + count; ++i)
            txn.put(dbi_of(i), bytes_of(key_of(i)), bytes_of(value));
        txn.commit();
    }
    /// In one transaction.
    void erase(std::uint64_t from, std::uint64_t count) {
        lmdb::transaction txn(env_, mode::write);
        for (std::uint64_t i = from; i < from + count; ++i)
            txn.erase(dbi_of(i), bytes_of(key_of(i)));
        txn.commit();
    }
    /// Reads all; then every value is written anew, with other sizes and with its own, and half of
    /// them go.
    void touch_all() {
        std::vector<std::vector<std::byte>> keys[std::size(trees)];
        std::uint64_t sum = 0;
        {
            const lmdb::transaction txn(env_, mode::read);
            for (std::size_t i = 0; i < dbis_.size(); ++i) {
                lmdb::cursor walk(txn, dbis_[i]);
                for (auto item = walk.first(); item; item = walk.next()) {
                    keys[i].emplace_back(item->key.begin(), item->key.end());
                    for (const std::byte b : item->value) sum += std::to_integer<unsigned>(b);
                }
            }
        }
        const std::string filler(4'080, static_cast<char>(sum));
        for (const std::size_t size : {std::size_t{3}, std::size_t{120}, std::size_t{120}}) {
            lmdb::transaction txn(env_, mode::write);
            for (std::size_t i = 0; i < dbis_.size(); ++i)
                for (const auto& k : keys[i]) txn.put(dbis_[i], k, bytes_of(filler).first(size));
            txn.commit();
        }
        lmdb::transaction txn(env_, mode::write);
        for (std::size_t i = 0; i < dbis_.size(); ++i)
            for (std::size_t j = 0; j < keys[i].size(); j += 2) txn.erase(dbis_[i], keys[i][j]);
        txn.commit();
    }

    /// What the walk finds wrong.
    std::optional<std::string> problem() const {
        const structure_report report = check_structure(file_);
        if (report.problems.empty()) return {};
        return report.problems.front();
    }

private:
    MDB_dbi dbi_of(std::uint64_t number) const { return dbis_[number % dbis_.size()]; }

    lmdb::environment env_;
    std::filesystem::path file_;
    std::vector<MDB_dbi> dbis_;
};

TEST(Structure, OfWhateverLmdbWroteIsSound) {
    expect_no_failure(60, [](std::uint64_t seed) -> std::optional<std::string> {
        const temp_directory directory;
        environment env(directory.path());
        dice random(seed);
        const std::uint64_t most = random.chance(50) ? 100 : 1'000;
        for (int step = 1; step <= 20; ++step) {
            const std::uint64_t from = random.below(most);
            const std::uint64_t count = random.between(1, most);
            if (random.chance(50))
                env.put(from, count, random.chance(50) ? 4'080 : random.between(0, 200));
            else
                env.erase(from, count);
            if (const auto problem = env.problem())
                return "after " + std::to_string(step) + " transactions: " + *problem;
        }
        return {};
    });
}

// Early in a file's life LMDB splits a long list of free pages into a few long values, and makes
// one of them smaller in the same transaction: it keeps its pages.
TEST(Structure, IsSoundWhereAListOfFreePagesHasMorePagesThanItNeeds) {
    expect_no_failure(200, [](std::uint64_t seed) -> std::optional<std::string> {
        const temp_directory directory;
        environment env(directory.path());
        dice random(seed);
        const std::uint64_t count = random.between(1'500, 4'500);
        env.put(0, count, 4'080);
        env.erase(0, count - random.below(400));
        for (std::uint64_t step = 0; step < 6; ++step) {
            env.put(count + 10 * step, random.between(1, 4), random.chance(50) ? 4'080 : 50);
            if (const auto problem = env.problem())
                return std::to_string(count) + " values, step " + std::to_string(step) + ": " +
                       *problem;
        }
        return {};
    });
}

enum class outcome { refused, harmless, harmed, died };

// In a child: LMDB may end the process.
outcome outcome_of(const std::filesystem::path& directory) {
    const pid_t child = ::fork();
    if (child == 0) {
        outcome seen = outcome::refused;
        if (check_structure(directory / "data.mdb").problems.empty()) {
            seen = outcome::harmed;
            try {
                environment env(directory);
                env.touch_all();
                if (!env.problem()) seen = outcome::harmless;
            } catch (const lmdb::failure&) {
            }
        }
        ::_exit(static_cast<int>(seen));
    }
    int status = 0;
    if (::waitpid(child, &status, 0) != child || !WIFEXITED(status)) return outcome::died;
    return static_cast<outcome>(WEXITSTATUS(status));
}

TEST(Structure, ThatTheWalkLetsThroughIsReadAndChangedWithoutHarmWhicheverBitIsFlipped) {
    const temp_directory directory;
    const auto file = directory / "data.mdb";
    {
        environment env(directory.path());
        env.put(0, 300, 100);
        env.put(1'000, 650, 4'080);  // and a list of free pages that has a page of its own
        env.erase(1'050, 600);
        env.put(2'000, 5, 17);
        ASSERT_FALSE(env.problem());
    }
    std::string sound;
    {
        std::ifstream in(file, std::ios::binary);
        sound.assign(std::istreambuf_iterator<char>(in), {});
    }
    ASSERT_EQ(outcome_of(directory.path()), outcome::harmless);
    expect_no_failure(2'000, [&](std::uint64_t seed) -> std::optional<std::string> {
        constexpr std::size_t page_bytes = 4'096;
        dice random(seed);
        // Of the pages whose content is LMDB's; of others the header.
        std::size_t page = 0;
        bool whole = false;
        do {
            page = random.below(sound.size() / page_bytes);
            const auto flags = static_cast<unsigned char>(sound[page * page_bytes + 10]);
            whole = page < 2 || (flags & 0x03) != 0;
        } while (!whole && !random.chance(3));
        const std::size_t at = page * page_bytes + random.below(whole ? page_bytes : 16);
        const char bit = static_cast<char>(1 << random.below(8));
        std::string flipped = sound;
        flipped[at] = static_cast<char>(flipped[at] ^ bit);
        {
            std::ofstream out(file, std::ios::binary | std::ios::trunc);
            out.write(flipped.data(), static_cast<std::streamsize>(flipped.size()));
        }
        const outcome seen = outcome_of(directory.path());
        if (seen == outcome::refused || seen == outcome::harmless) return {};
        return "byte " + std::to_string(at % page_bytes) + " of page " + std::to_string(page) +
               (seen == outcome::died ? ": the process died" : ": LMDB did harm");
    });
}

}  // namespace
}  // namespace cairn::test
