// What a program that has nothing but the store's headers appends, and reads again.
#include "store/support/fixture.hpp"

#include <cairn/store/messages.hpp>

#include <gtest/gtest.h>

#include <cstddef>
#include <string>
#include <vector>

namespace cairn::test {
namespace {

using namespace store;

class BuiltBatch : public Database {
protected:
    /// Appends what is in it; what is stored then.
    std::vector<stored_message> append_all(std::uint64_t first) {
        const reply answer = one(batch_.take(source_, {1}, {first}, at_ms(5)));
        EXPECT_EQ(answer.code, errc::ok);
        std::vector<stored_message> all;
        for (const entry& e : read("quakes").entries)
            for (stored_message& m : messages_of(e)) all.push_back(std::move(m));
        return all;
    }
    errc refusal_of(std::span<const std::byte> body, const attributes& with = {}) {
        try {
            batch_.add(body, with);
        } catch (const error& e) {
            return e.code();
        }
        return errc::ok;
    }

    source_opened source_ = opened("quakes", "a");
    batch_builder batch_;
};

TEST_F(BuiltBatch, ComesBackMessageByMessage) {
    attributes with{.key = "hills", .content_type = "text/plain"};
    with.headers = {{"depth", "7 km"}, {"felt", ""}};
    batch_.add("plain");
    batch_.add("with all", with);
    batch_.add("");

    const auto stored = append_all(1);

    ASSERT_EQ(stored.size(), 3U);
    EXPECT_EQ(stored[0].text(), "plain");
    EXPECT_TRUE(stored[0].attributes.empty());
    EXPECT_EQ(stored[1].text(), "with all");
    EXPECT_EQ(stored[1].attributes, with);
    EXPECT_EQ(stored[1].offset, offset{2});
    EXPECT_EQ(stored[1].sequence, sequence{2});
    EXPECT_EQ(stored[2].text(), "");
}

TEST_F(BuiltBatch, IsFilledAnewWhenItsMessagesAreTaken) {
    batch_.add("one");
    EXPECT_EQ(append_all(1).size(), 1U);
    EXPECT_EQ(batch_.messages(), 0U);
    EXPECT_EQ(batch_.bytes(), 0U);
    batch_.add("two");

    EXPECT_EQ(append_all(2).at(1).text(), "two");
}

TEST_F(BuiltBatch, TakesNothingThatNoStoreWouldTake) {
    const std::vector<std::byte> large((std::size_t{64} << 20) + 1);
    const std::span whole = large;
    batch_.add("small");
    EXPECT_EQ(refusal_of(whole), errc::too_large) << "the body";
    EXPECT_EQ(refusal_of({}, {.key = std::string(256, 'k')}), errc::too_large) << "the key";
    attributes many;
    many.headers.resize(65);
    EXPECT_EQ(refusal_of({}, many), errc::limit_exceeded);
    EXPECT_EQ(refusal_of(whole.first(std::size_t{64} << 20)), errc::ok);
    EXPECT_EQ(refusal_of(whole.first(std::size_t{64} << 10)), errc::too_large) << "in all";

    const auto stored = append_all(1);
    ASSERT_EQ(stored.size(), 2U) << "what was refused is not in it";
    EXPECT_EQ(stored[1].body.size(), std::size_t{64} << 20);
}

TEST_F(BuiltBatch, IsRefusedWhenItIsEmpty) {
    EXPECT_EQ(one(batch_.take(source_, {1}, {1}, at_ms(5))).code, errc::invalid_argument);
}

TEST_F(BuiltBatch, IsReadFromNoMarkOfALoss) {
    ASSERT_TRUE(one(declare_lost{source_.topic, source_.source, {1}, {{1}, {3}}}).ok());
    ASSERT_EQ(read("quakes").entries.size(), 1U);
    EXPECT_TRUE(messages_of(read("quakes").entries[0]).empty());
}

}  // namespace
}  // namespace cairn::test
