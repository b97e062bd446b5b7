#include <cairn/error.hpp>
#include <cairn/runtime/saved_epochs.hpp>

#include "support/temp_directory.hpp"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <string>

namespace {

using namespace cairn;
using cairn::runtime::saved_epochs;
using namespace std::chrono_literals;

constexpr wall_time today{std::chrono::milliseconds(1'800'000'000'000)};

class SavedEpochs : public testing::Test {
protected:
    std::filesystem::path directory() const { return temp_ / "state"; }
    std::filesystem::path file() const { return directory() / "epochs"; }

    epoch restart_and_take(wall_time now) { return saved_epochs(directory()).take(now); }

    std::string content() const {
        std::ifstream from(file());
        return {std::istreambuf_iterator<char>(from), {}};
    }
    void write(const std::string& text) { std::ofstream(file()) << text; }

    cairn::test::temp_directory temp_;
};

TEST_F(SavedEpochs, RiseWithEachCallAndWithTheClock) {
    saved_epochs epochs(directory());
    EXPECT_EQ(epochs.take(today).value, 1'800'000'000'000U);
    EXPECT_EQ(epochs.take(today).value, 1'800'000'000'001U);
    EXPECT_EQ(epochs.take(today + 1h).value, 1'800'003'600'000U);
}

TEST_F(SavedEpochs, RiseOverARestartEvenWhenTheClockWentBack) {
    const epoch before = restart_and_take(today);
    EXPECT_GT(restart_and_take(today - 24h), before);
}

TEST_F(SavedEpochs, RiseOverManyRestartsInOneMillisecond) {
    epoch last{};
    for (int i = 0; i < 20; ++i) {
        const epoch next = restart_and_take(today);
        ASSERT_GT(next, last);
        last = next;
    }
}

TEST_F(SavedEpochs, WriteOnceForManyCalls) {
    saved_epochs epochs(directory());
    epochs.take(today);
    const std::string written = content();
    for (std::uint64_t i = 0; i < saved_epochs::epochs_ahead; ++i) epochs.take(today);
    EXPECT_EQ(content(), written);
    epochs.take(today);
    EXPECT_NE(content(), written);
}

TEST_F(SavedEpochs, AreRefusedToASecondNode) {
    const saved_epochs first(directory());
    try {
        const saved_epochs second(directory());
        FAIL() << "both have the directory";
    } catch (const error& e) {
        EXPECT_EQ(e.code(), errc::address_in_use);
        EXPECT_NE(std::string(e.what()).find(file().string() + ".lock"), std::string::npos);
    }
}

TEST_F(SavedEpochs, OfADamagedFileAreNotGuessed) {
    restart_and_take(today);
    const std::string good = content();
    for (std::size_t i = 0; i < good.size(); ++i) {
        std::string bad = good;
        bad[i] = static_cast<char>(bad[i] ^ 1);
        write(bad);
        EXPECT_THROW(saved_epochs{directory()}, error) << "byte " << i;
        write(good.substr(0, i));
        EXPECT_THROW(saved_epochs{directory()}, error) << "cut at " << i;
    }
    write(good + std::string(1'000, ' '));
    EXPECT_THROW(saved_epochs{directory()}, error);
    write(good);
    EXPECT_NO_THROW(saved_epochs{directory()});
}

TEST_F(SavedEpochs, SayWhichFileIsDamagedAndWhatToDo) {
    restart_and_take(today);
    write("nonsense");
    try {
        restart_and_take(today);
        FAIL() << "it was read";
    } catch (const error& e) {
        EXPECT_EQ(e.code(), errc::malformed);
        EXPECT_NE(std::string(e.what()).find(file().string()), std::string::npos);
        EXPECT_NE(std::string(e.what()).find("delete the file"), std::string::npos);
    }
}

TEST_F(SavedEpochs, SurviveALeftoverOfAnInterruptedWrite) {
    const epoch before = restart_and_take(today);
    std::ofstream(directory() / "epochs.new") << "half a li";
    EXPECT_GT(restart_and_take(today), before);
}

TEST_F(SavedEpochs, DoNotMakeAMissingParent) {
    try {
        const saved_epochs epochs(temp_ / "missing/state");
        FAIL() << "it was made";
    } catch (const error& e) {
        EXPECT_EQ(e.code(), errc::address_invalid);
    }
}

TEST(Epochs, OfOneProcessDifferWithoutAStateDirectory) {
    const epoch first = cairn::runtime::epoch_of(today);
    EXPECT_GT(cairn::runtime::epoch_of(today), first);
    EXPECT_GE(cairn::runtime::epoch_of(today + 1h).value, 1'800'003'600'000U);
}

}  // namespace
