// A disk that is really full: a small file system of this test's own.
#include "store/support/fixture.hpp"
#include "store/support/small_disk.hpp"
#include "support/rounds.hpp"

#include <cairn/store/maintenance.hpp>

#include <gtest/gtest.h>

#include <fstream>

namespace cairn::test {
namespace {

using namespace store;

constexpr std::size_t mebibyte = std::size_t{1} << 20;

/// A database on a disk of 48 MiB, with a ballast of 4 MiB.
class FullDisk : public testing::Test {
protected:
    void SetUp() override {
        if (const auto why = mount_small_disk(mount_.path(), 48 * mebibyte); !why.empty())
            GTEST_SKIP() << "no file system can be mounted here: " << why;
        chosen_ = small_options();
        chosen_.ballast_bytes = 4 * mebibyte;
        open();
        source_ = std::get<source_opened>(one(open_source{"jobs", "a", {1}, "", true}).value);
        group_ =
            std::get<group_created>(one(create_group{source_.topic, "g", "", {1}}).value).group;
    }
    void TearDown() override {
        db_.reset();
        unmount_small_disk(mount_.path());
    }

    void open() {
        db_.reset();
        db_ = std::make_unique<database>(mount_ / "db", chosen_);
    }
    reply one(command wanted) {
        const std::vector<command> commands{std::move(wanted)};
        db_->commit(commands, at_ms(1'000), replies_);
        return replies_.at(0);
    }
    reply append_next(std::size_t size = 100'000) {
        const reply answer =
            one(batch(source_, {1}, stored_ + 1, 1, records({std::string(size, 'x')})));
        if (answer.ok()) ++stored_;
        return answer;
    }
    reply append_until_refused(std::size_t size = 100'000) {
        for (;;)
            if (const reply answer = append_next(size); !answer.ok()) return answer;
    }
    /// Something else on the disk, of this size or as large as it fits.
    void fill_with_a_file(std::size_t size) {
        std::ofstream filler(mount_ / "filler", std::ios::binary | std::ios::app);
        const std::string block(mebibyte / 16, 'f');
        for (; size > 0 && filler.write(block.data(), std::ssize(block)).flush();
             size -= block.size()) {
        }
    }
    bool has_ballast() const { return std::filesystem::exists(mount_ / "db" / "ballast"); }

    const temp_directory mount_;
    options chosen_;
    std::unique_ptr<database> db_;
    source_opened source_;
    group_id group_;
    std::uint64_t stored_ = 0;
    std::vector<reply> replies_;
};

TEST_F(FullDisk, RefusesAppendsAndGivesItsBallastForAcksAndTrims) {
    EXPECT_TRUE(has_ballast());
    EXPECT_EQ(append_until_refused().code, errc::disk_full);
    EXPECT_TRUE(db_->stats().disk_full);
    EXPECT_FALSE(db_->stats().failed);
    EXPECT_FALSE(has_ballast());
    for (std::uint64_t o = stored_; o >= 1; --o)
        ASSERT_TRUE(one(ack{source_.topic, group_, {{{o}, {o}}}}).ok()) << o;
    EXPECT_EQ(reader(*db_).group(source_.topic, group_)->pending, 0U);
    for (std::uint64_t o = 1; o <= stored_; ++o)
        ASSERT_TRUE(one(trim{source_.topic, {o}}).ok()) << o;
}

TEST_F(FullDisk, HoldsAllThatWasConfirmedWhenItIsOpenedAgain) {
    append_until_refused(30'000);
    open();
    EXPECT_TRUE(db_->stats().disk_full);
    EXPECT_EQ(reader(*db_).topic(source_.topic)->end, offset{stored_ + 1});
    db_.reset();
    EXPECT_TRUE(verify(mount_ / "db").sound());
}

TEST_F(FullDisk, GoesOnByItselfInTheRoomThatTrimsLeave) {
    fill_with_a_file(8 * mebibyte);
    append_until_refused();
    const std::uint64_t full_at = stored_;
    ASSERT_TRUE(one(trim{source_.topic, {full_at - 1}}).ok());
    while (db_->commit({}, at_ms(1'000), replies_)) {
    }
    EXPECT_EQ(append_until_refused().code, errc::disk_full);
    EXPECT_GT(stored_, full_at + full_at / 2) << "most of the room is used again";
    EXPECT_TRUE(one(trim{source_.topic, {stored_}}).ok()) << "and some is kept for this";
}

TEST_F(FullDisk, GoesOnByItselfWhenAnotherFileLeaves) {
    fill_with_a_file(100 * mebibyte);
    EXPECT_EQ(append_until_refused().code, errc::disk_full);
    EXPECT_TRUE(one(ack{source_.topic, group_, {}}).ok());
    std::filesystem::remove(mount_ / "filler");
    EXPECT_TRUE(append_next().ok());
    EXPECT_FALSE(db_->stats().disk_full);
    EXPECT_TRUE(has_ballast()) << "taken again for the next time";
}

TEST_F(FullDisk, LosesNothingHoweverOftenItFillsAndIsFreed) {
    std::uint64_t first = 1;
    for (int round = 0; round < (long_test() ? 20 : 3); ++round) {
        for (int i = 0; i < 10; ++i) ASSERT_TRUE(append_next().ok()) << i;
        fill_with_a_file(100 * mebibyte);
        ASSERT_EQ(append_until_refused().code, errc::disk_full);
        const std::uint64_t acked = stored_ - round % 2;
        ASSERT_TRUE(one(ack{source_.topic, group_, {{{1}, {acked}}}}).ok());
        std::filesystem::remove(mount_ / "filler");
        ASSERT_TRUE(append_next().ok());
        open();
        EXPECT_EQ(reader(*db_).topic(source_.topic)->end, offset{stored_ + 1});
        EXPECT_EQ(reader(*db_).group(source_.topic, group_)->floor, offset{acked});
        std::vector<std::byte> buffer;
        page found;
        for (offset at{first}; at.value <= stored_; at = found.next) {
            ASSERT_EQ(reader(*db_).read(source_.topic, at, mebibyte, buffer, found), errc::ok);
            for (const entry& e : found.entries) ASSERT_EQ(e.what, entry::kind::batch);
        }
        ASSERT_TRUE(one(trim{source_.topic, {stored_ - 5}}).ok());
        first = stored_ - 4;
    }
    db_.reset();
    EXPECT_TRUE(verify(mount_ / "db").sound());
}

TEST_F(FullDisk, RefusesToMakeADatabaseOrACopyAndLeavesNothing) {
    fill_with_a_file(100 * mebibyte);
    const auto refused = [&](auto&& make) {
        try {
            make();
            return errc::ok;
        } catch (const error& e) {
            return e.code();
        }
    };
    EXPECT_EQ(refused([&] { database(mount_ / "other", chosen_); }), errc::disk_full);
    EXPECT_EQ(refused([&] { backup(*db_, mount_ / "copy"); }), errc::disk_full);
    std::filesystem::remove(mount_ / "filler");
    EXPECT_EQ(refused([&] { database(mount_ / "other", chosen_); }), errc::ok);
    EXPECT_EQ(refused([&] { backup(*db_, mount_ / "copy"); }), errc::ok);
}

}  // namespace
}  // namespace cairn::test
