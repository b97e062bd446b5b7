#include <cairn/msgpack.hpp>
#include <cairn/puller.hpp>
#include <cairn/subscriber.hpp>

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace quakes {

struct quake {
    std::string place;
    double magnitude = 0;
    std::vector<std::int32_t> depths;
    std::map<std::string, std::string> tags;
    MSGPACK_DEFINE_MAP(place, magnitude, depths, tags)
    bool operator==(const quake&) const = default;
};

}  // namespace quakes

namespace {

using namespace cairn;
using namespace std::chrono_literals;
using namespace std::string_literals;

const quakes::quake example{"Ridgecrest", 7.1, {8, -3}, {{"net", "ci"}}};

class TypedMessage : public testing::Test {
protected:
    /// What `body` says, as a message that was received.
    owned_message received(std::string_view body) {
        publisher_.publish(body);
        return subscriber_.receive_for(10s).value().copy();
    }
    /// What unpack() has against `body` as a T.
    template <typename T>
    std::string complaint(std::string_view body) {
        try {
            static_cast<void>(unpack<T>(received(body)));
        } catch (const error& e) {
            EXPECT_EQ(e.code(), errc::malformed);
            return e.what();
        }
        return "none";
    }
    void SetUp() override { ASSERT_TRUE(subscriber_.wait_attached(1, 10s)); }

    cairn::node node_;
    publisher publisher_{node_, "quakes"};
    subscriber subscriber_{node_, "quakes"};
};

TEST_F(TypedMessage, ComesOutAsItWentIn) {
    publish(publisher_, example);
    const auto m = subscriber_.receive_for(10s);
    ASSERT_TRUE(m);
    EXPECT_EQ(unpack<quakes::quake>(*m), example);
    EXPECT_EQ(unpack<quakes::quake>(m->copy()), example);
    EXPECT_EQ(m->attributes().content_type, "application/msgpack");
}

TEST_F(TypedMessage, KeepsTheAttributesThatItsSenderGave) {
    publish(publisher_, example, {.key = "ci"s, .content_type = {}, .trace_id = {}, .headers = {}});
    const auto m = subscriber_.receive_for(10s);
    ASSERT_TRUE(m);
    EXPECT_EQ(m->key(), "ci");
    EXPECT_EQ(m->attributes().content_type, "application/msgpack");
}

TEST_F(TypedMessage, CanBeAJob) {
    pusher to(node_, "jobs");
    puller from(node_, "jobs");
    push(to, example);
    push(to, std::pair(1, "two"s),
         {.key = "k"s, .content_type = {}, .trace_id = {}, .headers = {}});
    EXPECT_EQ(unpack<quakes::quake>(from.receive_for(10s).value()), example);
    const auto second = from.receive_for(10s);
    ASSERT_TRUE(second);
    EXPECT_EQ(second->key(), "k");
    EXPECT_EQ((unpack<std::pair<int, std::string>>(*second)), std::pair(1, "two"s));
}

TEST_F(TypedMessage, CanBeLargeAndThenSmall) {
    const std::vector<std::string> large(1'000, std::string(3'000, 'x'));
    publish(publisher_, large);
    EXPECT_EQ(unpack<std::vector<std::string>>(subscriber_.receive_for(10s).value()), large);
    publish(publisher_, 7);
    EXPECT_EQ(unpack<int>(subscriber_.receive_for(10s).value()), 7);
}

TEST_F(TypedMessage, MayBeViewedWithoutACopy) {
    publish(publisher_, "a text"s);
    const auto m = subscriber_.receive_for(10s);
    ASSERT_TRUE(m);
    const auto text = unpack<std::string_view>(*m);
    EXPECT_EQ(text, "a text");
    EXPECT_GE(text.data(), m->text().data());
    EXPECT_LE(text.data() + text.size(), m->text().data() + m->text().size());
}

TEST_F(TypedMessage, ThatIsMalformedIsRefusedWithWhatIsWrong) {
    EXPECT_EQ(complaint<int>(""), "unpack message 1 on quakes: it is empty");
    EXPECT_EQ(complaint<int>("\xc1"s), "unpack message 2 on quakes: it is no msgpack");
    EXPECT_EQ(complaint<int>("\xcd\x01"s), "unpack message 3 on quakes: it ends too early");
    EXPECT_EQ(complaint<int>("\x01\x02"s),
              "unpack message 4 on quakes: something follows the msgpack item");
    EXPECT_EQ(complaint<int>("\xa1x"s),
              "unpack message 5 on quakes: it does not fit the type that was asked for");
    EXPECT_EQ(complaint<quakes::quake>("\x93\x01\x02\x03"s),
              "unpack message 6 on quakes: it does not fit the type that was asked for");
}

TEST_F(TypedMessage, CannotMakeItsReaderAllocateWhatItOnlyAnnounces) {
    using numbers = std::vector<int>;
    const auto too_many = "it announces more items than it has bytes"s;
    EXPECT_NE(complaint<numbers>("\xdd\xff\xff\xff\xff"s).find(too_many), std::string::npos);
    EXPECT_NE(complaint<numbers>("\xdf\xff\xff\xff\xff"s).find(too_many), std::string::npos);
    EXPECT_NE(complaint<numbers>("\xdd\x00\x10\x00\x00"s + std::string(99, '\0')).find(too_many),
              std::string::npos);
    std::string announced_often;
    for (int i = 0; i != 16; ++i) announced_often += "\xdc\x00\x20"s;
    EXPECT_NE(complaint<numbers>(announced_often).find(too_many), std::string::npos);
    EXPECT_NE(complaint<numbers>("\xdd\x00\x10\x00\x01"s + std::string(1'048'577, '\0'))
                  .find("more than 1 M items"),
              std::string::npos);
}

TEST_F(TypedMessage, IsReadToADepthOfSixteen) {
    // Any shape will do: the conversion to a number comes after the check.
    const auto nested = [](std::size_t depth) { return std::string(depth, '\x91') + '\x01'; };
    EXPECT_NE(complaint<int>(nested(16)).find("does not fit the type"), std::string::npos);
    EXPECT_NE(complaint<int>(nested(17)).find("more than 16"), std::string::npos);
    EXPECT_NE(complaint<int>(nested(100'000)).find("more than 16"), std::string::npos);
}

}  // namespace
