// Filled to refusal, then drained: at many sizes of messages, and whoever reads meanwhile.
#include "store/support/fixture.hpp"
#include "support/child_process.hpp"
#include "support/rounds.hpp"
#include "unit/protocol/random.hpp"

#include <cairn/store/maintenance.hpp>

#include <gtest/gtest.h>

#include <csignal>
#include <deque>
#include <span>

namespace cairn::test {
namespace {

using namespace std::chrono_literals;
using namespace store;

constexpr std::size_t sizes[] = {1,      10,     50,     100,     250,     500,      1'000,
                                 1'500,  2'000,  2'040,  4'000,   4'012,   4'080,    4'097,
                                 10'000, 30'000, 65'536, 100'000, 300'000, 1'500'000};
// Below, at and above the edges of pieces, extents and commits.
constexpr std::size_t few_sizes[] = {1, 250, 2'040, 4'097, 65'536, 1'500'000};
constexpr std::size_t commit_bytes = std::size_t{4} << 20;

class Filling : public Database {
protected:
    static std::span<const std::size_t> sizes_filled() {
        if (sanitized) return few_sizes;
        return sizes;
    }

    Filling() {
        chosen_.map_bytes = std::size_t{128} << 20;  // of which half is for messages
        chosen_.on_open = check::none;
    }

    /// A fresh store, full of messages of that size.
    void fill(std::size_t size) {
        db_.reset();
        std::filesystem::remove_all(directory_ / "db");
        reopen();
        source_ = opened("jobs", "a");
        group_ = group_of(source_.topic, "workers");
        const auto count = static_cast<std::uint32_t>(
            std::clamp<std::size_t>((std::size_t{256} << 10) / (size + 4), 1, 20'000));
        const body_bytes body = records(strings(count, std::string(size, 'x')));
        stored_ = 0;
        for (errc code = errc::ok; code == errc::ok;) {
            std::vector<command> commands;
            for (std::size_t bytes = 0; bytes < commit_bytes; bytes += body.size() + 4'096)
                commands.emplace_back(
                    batch(source_, {1}, stored_ + 1 + commands.size() * count, count, body));
            for (const reply& answer : all(commands))
                if (answer.ok())
                    stored_ += count;
                else if (code == errc::ok)
                    code = answer.code;
            ASSERT_TRUE(code == errc::ok || code == errc::store_full) << name(code);
        }
        ASSERT_GT(db_->stats().stored_bytes, std::size_t{40} << 20);
    }

    /// Acks everything in random order and trims it in steps; every single one has to succeed.
    void drain(const std::function<void()>& meanwhile) {
        dice random(stored_);
        std::vector<offset_range> ranges;
        const std::uint64_t step = std::max<std::uint64_t>(1, stored_ / 300);
        for (std::uint64_t o = 1; o <= stored_; o += step)
            ranges.push_back({{o}, {std::min(stored_, o + step - 1)}});
        for (std::size_t i = ranges.size(); i > 1; --i)
            std::swap(ranges[i - 1], ranges[random.below(i)]);
        for (const offset_range& range : ranges) {
            ASSERT_TRUE(one(ack{source_.topic, group_, {range}}).ok()) << range.first.value;
            meanwhile();
        }
        EXPECT_EQ(reader(*db_).group(source_.topic, group_)->pending, 0U);
        for (std::uint64_t o = step; o <= stored_; o += 10 * step) {
            ASSERT_TRUE(one(trim{source_.topic, {o}}).ok()) << o;
            meanwhile();
        }
        ASSERT_TRUE(one(trim{source_.topic, {stored_}}).ok());
        while (db_->commit({}, now_, replies_)) {
        }
        EXPECT_EQ(db_->stats().stored_bytes, 0U);
    }

    void expect_appends_resume() {
        EXPECT_EQ(append_to(source_, stored_ + 1, {std::string(1'000'000, 'y')}).code, errc::ok);
    }

    source_opened source_;
    group_id group_;
    std::uint64_t stored_ = 0;
};

TEST_F(Filling, ToRefusalLetsAllAcksAndTrimsPassWhileNobodyReads) {
    for (const std::size_t size : sizes_filled()) {
        SCOPED_TRACE(size);
        ASSERT_NO_FATAL_FAILURE(fill(size));
        ASSERT_NO_FATAL_FAILURE(drain([] {}));
        expect_appends_resume();
    }
}

TEST_F(Filling, ToRefusalLetsAllAcksAndTrimsPassWhileSomebodyReads) {
    for (const std::size_t size : sizes_filled()) {
        SCOPED_TRACE(size);
        ASSERT_NO_FATAL_FAILURE(fill(size));
        {
            reader from(*db_);
            page found;
            dice random(size);
            ASSERT_NO_FATAL_FAILURE(drain([&] {
                const offset at{random.between(1, stored_)};
                ASSERT_EQ(from.read(source_.topic, at, 1, buffer_, found), errc::ok);
            }));
        }
        expect_appends_resume();
    }
}

// As a backup does: what is freed cannot be used again while it goes on.
TEST_F(Filling, ToRefusalLetsAllAcksAndTrimsPassWhileASnapshotIsPinned) {
    for (const std::size_t size : sizes_filled()) {
        SCOPED_TRACE(size);
        ASSERT_NO_FATAL_FAILURE(fill(size));
        child_process pinning({STORE_VISITOR, "pin", (directory_ / "db").string()});
        ASSERT_TRUE(pinning.wait_for_output("pinned", 60s));
        ASSERT_NO_FATAL_FAILURE(drain([] {}));
        pinning.signal(SIGKILL);
        ASSERT_TRUE(pinning.wait(60s));
        now_ += 31s;
        all({});
        expect_appends_resume();
    }
}

// Deleting needs pages too, and more of them than an ack.
TEST_F(Filling, ToTheLastPagesLetsCommandsPassThoughWhatIsDueBesidesDoesNotFit) {
    constexpr std::uint64_t last_bytes = 30 * 4'096;
    ASSERT_NO_FATAL_FAILURE(fill(100'000));
    const topic_id large = source_.topic;
    const auto small = opened("small", "a");
    append_to(small, 1, strings(100, "x"));
    const group_id workers = group_of(small.topic, "workers");
    child_process pinning({STORE_VISITOR, "pin", (directory_ / "db").string()});
    ASSERT_TRUE(pinning.wait_for_output("pinned", 60s));
    while (db_->stats().file_bytes + last_bytes < chosen_.map_bytes)
        ASSERT_TRUE(one(note_attempts{small.topic, workers, {1}, 1, now_, "again"}).ok());
    EXPECT_EQ(one(delete_topic{large}).code, errc::ok);
    EXPECT_EQ(one(ack{small.topic, workers, {{{1}, {1}}}}).code, errc::ok);
    pinning.signal(SIGKILL);
    ASSERT_TRUE(pinning.wait(60s));
    now_ += 31s;
    while (db_->commit({}, now_, replies_)) {
    }
    EXPECT_LT(db_->stats().stored_bytes, 10'000U);
}

// The life of a store at half its size: what leaves makes room for what comes, whatever the sizes.
TEST_F(Filling, KeepsItsFileUnderChurnOfMixedSizes) {
    reopen();
    const auto s = opened("jobs", "a");
    dice random(7);
    std::deque<std::size_t> held;
    std::size_t bytes = 0;
    std::uint64_t next = 1;
    std::uint64_t first = 1;
    std::uint64_t settled = 0;
    std::uint64_t largest = 0;
    const std::size_t total = std::size_t{sanitized ? 150 : 600} << 20;
    for (std::size_t written = 0; written < total;) {
        const std::size_t size = sizes[random.below(std::size(sizes) - 1)] * 2 / 3 + 1;
        ASSERT_TRUE(append_to(s, next++, {std::string(size, 'x')}).ok());
        held.push_back(size);
        bytes += size;
        written += size;
        for (; bytes > (std::size_t{20} << 20); ++first) {
            bytes -= held.front();
            held.pop_front();
        }
        if (next % 16 == 0 && first > 1) one(trim{s.topic, {first - 1}});
        largest = std::max(largest, db_->stats().file_bytes);
        if (written < total / 3) settled = largest;
    }
    EXPECT_LE(largest, settled + settled / 20);
    db_.reset();
    EXPECT_TRUE(verify(directory_ / "db").sound());
}

}  // namespace
}  // namespace cairn::test
