#include "store_fixture.hpp"

namespace {

using namespace cairn;
using namespace cairn::test;
using wire::kind;

class Access : public StoreFixture {
protected:
    void SetUp() override {
        options_.network.security.keys = server_;
        options_.network.security.allowed_keys = {alice_.public_key, bob_.public_key};
        options_.access = {{alice_.public_key, "quakes.*", {.publish = true}},
                           {bob_.public_key, "quakes.us", {.publish = true, .subscribe = true}},
                           {"*", "public", {.publish = true, .consume = true}}};
        start();
    }
    std::unique_ptr<party> as(const key_pair& who) const {
        return std::make_unique<party>(endpoint_, who, server_.public_key);
    }

    const key_pair server_ = generate_keys();
    const key_pair alice_ = generate_keys();
    const key_pair bob_ = generate_keys();
};

TEST_F(Access, IsGivenByKeyAndPattern) {
    const auto alice = as(alice_);
    EXPECT_TRUE(alice->open(1, "quakes.us", "usgs", 1));
    EXPECT_TRUE(alice->open(2, "public", "usgs", 1));
    EXPECT_FALSE(alice->open(3, "weather", "usgs", 1));
    alice->raw().say(wire::subscribe{4, "quakes.us", wire::start::live, 0, false, {}});
    EXPECT_EQ(alice->raw().refusal(kind::error), errc::not_authorised);
    alice->raw().say(wire::locate{5, "quakes.us", wire::place::first, 0});
    EXPECT_EQ(alice->raw().refusal(kind::error), errc::not_authorised);
    EXPECT_FALSE(as(bob_)->open(1, "quakes.jp", "bob", 1));
}

TEST_F(Access, ToAPatternNeedsAllOfIt) {
    const auto bob = as(bob_);
    bob->raw().say(wire::subscribe{1, "quakes.*", wire::start::live, 0, false, {}});
    EXPECT_EQ(bob->raw().refusal(kind::error), errc::not_authorised);
    bob->raw().say(wire::subscribe{2, "quakes.us", wire::start::live, 0, false, {}});
    EXPECT_TRUE(bob->raw().hear(kind::subscribed));
}

TEST_F(Access, ToGroupsIsARightOfItsOwn) {
    const auto bob = as(bob_);
    EXPECT_TRUE(bob->attach(1, "public", "all"));
    bob->raw().say(wire::attach_group{2, "quakes.us", "all", "", wire::group_kind::each, {}, 0});
    EXPECT_EQ(bob->raw().refusal(kind::error), errc::not_authorised);
}

TEST_F(Access, ChangesForRequestsToCome) {
    const auto alice = as(alice_);
    EXPECT_FALSE(alice->open(1, "weather", "usgs", 1));
    store_->allow({{alice_.public_key, "weather", {.publish = true}}});
    EXPECT_TRUE(alice->open(2, "weather", "usgs", 1));
    EXPECT_FALSE(alice->open(3, "quakes.us", "usgs", 1));
}

TEST_F(Access, OfASourceIsTheFirstKeysThatOpenedIt) {
    ASSERT_TRUE(as(alice_)->open(1, "quakes.us", "usgs", 1));
    const auto bob = as(bob_);
    bob->raw().say(wire::open_source{1, "quakes.us", "usgs", epoch{2}});
    EXPECT_EQ(bob->raw().refusal(kind::error), errc::not_authorised);
    EXPECT_TRUE(as(alice_)->open(1, "quakes.us", "usgs", 1));
    EXPECT_TRUE(bob->open(2, "quakes.us", "bob", 1));
}

}  // namespace
