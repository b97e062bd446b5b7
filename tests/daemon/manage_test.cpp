#include "store_fixture.hpp"

#include <cairn/wire/manage_frames.hpp>

namespace {

using namespace cairn;
using namespace cairn::test;
using wire::kind;

class Managing : public StoreFixture {
protected:
    void SetUp() override {
        StoreFixture::SetUp();
        tool_ = peer();
    }
    /// DONE, or the code of ERROR.
    errc outcome() {
        const auto told = tool_->raw().hear_any({kind::done, kind::error});
        if (!told) return errc::timed_out;
        const auto* refused = std::get_if<wire::error_reply>(&*told);
        return refused ? refused->code : errc::ok;
    }
    template <typename Request>
    errc ask(const Request& request) {
        tool_->raw().say(request);
        return outcome();
    }
    errc place_of_offset(wire::channel channel, std::uint64_t offset) {
        return ask(wire::trim{channel, "quakes", wire::place::offset, offset});
    }

    std::unique_ptr<party> tool_;
};

TEST_F(Managing, RefusesWhatItDoesNotKnow) {
    EXPECT_EQ(ask(wire::list_sources{{1, "none"}}), errc::topic_unknown);
    EXPECT_EQ(ask(wire::list_groups{{2, "none"}}), errc::topic_unknown);
    EXPECT_EQ(ask(wire::alter_topic{{3, "none", {}}}), errc::topic_unknown);
    EXPECT_EQ(ask(wire::delete_topic{{4, "none"}}), errc::topic_unknown);
    EXPECT_EQ(ask(wire::trim{5, "none", wire::place::end, 0}), errc::topic_unknown);
    EXPECT_EQ(ask(wire::create_group{6, "none", "g", {}, {}, 0}), errc::topic_unknown);
    ASSERT_EQ(ask(wire::create_topic{{7, "quakes", {}}}), errc::ok);
    EXPECT_EQ(ask(wire::seek_group{8, "quakes", "none", {}, 0}), errc::group_unknown);
    EXPECT_EQ(ask(wire::delete_group{9, "quakes", "none"}), errc::group_unknown);
    EXPECT_EQ(ask(wire::create_group{10, "quakes", "g", wire::group_kind::share, {}, 0}),
              errc::not_supported);
    EXPECT_TRUE(tool_->raw().answered());
}

TEST_F(Managing, RefusesNamesThatAreNone) {
    EXPECT_EQ(ask(wire::list_topics{1, "a*b"}), errc::topic_invalid);
    EXPECT_EQ(ask(wire::create_topic{{2, "a*", {}}}), errc::topic_invalid);
    EXPECT_EQ(ask(wire::delete_topic{{3, "line\nbreak"}}), errc::topic_invalid);
    EXPECT_EQ(ask(wire::list_groups{{4, "*"}}), errc::topic_invalid);
}

TEST_F(Managing, TakesAbsurdPlacesAndSettings) {
    constexpr std::uint64_t most = ~std::uint64_t{0};
    ASSERT_TRUE(tool_->store("quakes", "usgs", 7, 1, 10));
    EXPECT_EQ(place_of_offset(1, 0), errc::ok);
    EXPECT_EQ(ask(wire::trim{2, "quakes", wire::place::time, 0}), errc::ok);
    EXPECT_EQ(ask(wire::trim{3, "quakes", wire::place::last, most}), errc::ok);
    EXPECT_EQ(ask(wire::create_group{4, "quakes", "g", {}, wire::place::offset, most}), errc::ok);
    EXPECT_EQ(ask(wire::seek_group{5, "quakes", "g", wire::place::time, most}), errc::ok);
    EXPECT_EQ(ask(wire::alter_topic{{6, "quakes", {.age_max_ms = most, .bytes_max = most}}}),
              errc::ok);
    tool_->raw().say(wire::list_topics{7, "quakes"});
    const auto told = tool_->raw().hear<wire::topics>(kind::topics);
    ASSERT_TRUE(told);
    ASSERT_EQ(told->items.size(), 1U);
    EXPECT_EQ(told->items[0].first, 1U) << "nothing was trimmed";
    EXPECT_EQ(told->items[0].end, 11U);
    EXPECT_EQ(place_of_offset(8, most), errc::ok);
    EXPECT_EQ(place_of_offset(9, most), errc::ok) << "again, of nothing";
}

TEST_F(Managing, RefusesAChannelInUseAndTooManyAtOnce) {
    std::size_t refused = 0;
    constexpr wire::channel many = 150;  // fewer than end a link
    for (wire::channel c = 1; c <= many; ++c) tool_->raw().say(wire::list_figures{c});
    for (wire::channel c = 1; c <= many; ++c) {
        const auto told = tool_->raw().hear_any({kind::figures, kind::error});
        ASSERT_TRUE(told) << c << ", refused " << refused;
        if (const auto* no = std::get_if<wire::error_reply>(&*told)) {
            EXPECT_EQ(no->code, errc::limit_exceeded);
            ++refused;
        }
    }
    EXPECT_LE(refused, many - 64);
    EXPECT_TRUE(tool_->raw().answered());
}

TEST_F(Managing, EndsAttachmentsOfAGroupThatIsMoved) {
    ASSERT_TRUE(tool_->store("quakes", "usgs", 7, 1, 10));
    const auto member = peer();
    ASSERT_TRUE(member->attach(1, "quakes", "a"));
    member->ack(1, "usgs", 7, {{{1}, {8}}});
    ASSERT_TRUE(member->acked(1));
    EXPECT_EQ(ask(wire::seek_group{1, "quakes", "a", wire::place::offset, 4}), errc::ok);
    EXPECT_EQ(member->raw().refusal(kind::error), errc::sought);
    member->ack(1, "usgs", 7, {{{9}, {9}}});
    EXPECT_EQ(member->raw().refusal(kind::error), errc::unknown_subscription);
    EXPECT_EQ(party::points(member->attach(2, "quakes", "a")->points), "usgs 7:4");
}

TEST_F(Managing, KeepsWhatItDidOverARestart) {
    ASSERT_EQ(ask(wire::create_topic{{1, "quakes", {.messages_max = 7}}}), errc::ok);
    ASSERT_EQ(ask(wire::create_group{2, "quakes", "a", {}, wire::place::first, 0}), errc::ok);
    ASSERT_EQ(ask(wire::create_topic{{3, "gone", {}}}), errc::ok);
    ASSERT_EQ(ask(wire::delete_topic{{4, "gone"}}), errc::ok);
    tool_.reset();
    restart();
    tool_ = peer();
    tool_->raw().say(wire::list_topics{1, "*"});
    const auto told = tool_->raw().hear<wire::topics>(kind::topics);
    ASSERT_TRUE(told);
    ASSERT_EQ(told->items.size(), 1U);
    EXPECT_EQ(told->items[0].config.messages_max, 7U);
    EXPECT_EQ(told->items[0].groups, 1U);
}

class ManagingWithKeys : public StoreFixture {
protected:
    void SetUp() override {
        options_.network.security.keys = server_;
        options_.network.security.allowed_keys = {alice_.public_key, bob_.public_key};
        options_.access = {{alice_.public_key, "*", {.publish = true, .admin = true}},
                           {bob_.public_key, "quakes.*", {.subscribe = true}},
                           {bob_.public_key, "own", {.admin = true}}};
        start();
    }
    std::unique_ptr<party> as(const key_pair& who) const {
        return std::make_unique<party>(endpoint_, who, server_.public_key);
    }
    const key_pair server_ = generate_keys();
    const key_pair alice_ = generate_keys();
    const key_pair bob_ = generate_keys();
};

TEST_F(ManagingWithKeys, IsARightByTopic) {
    const auto alice = as(alice_);
    ASSERT_TRUE(alice->store("quakes.us", "usgs", 7, 1, 10));
    ASSERT_TRUE(alice->store("secret", "usgs", 7, 1, 10));
    const auto bob = as(bob_);
    bob->raw().say(wire::list_topics{1, "*"});
    const auto told = bob->raw().hear<wire::topics>(kind::topics);
    ASSERT_TRUE(told);
    ASSERT_EQ(told->items.size(), 1U) << "not what bob has no right to";
    EXPECT_EQ(told->items[0].name, "quakes.us");
    const auto refused = [&](const auto& request) {
        bob->raw().say(request);
        return bob->raw().refusal(kind::error);
    };
    EXPECT_EQ(refused(wire::list_sources{{2, "secret"}}), errc::not_authorised);
    EXPECT_EQ(refused(wire::list_groups{{3, "secret"}}), errc::not_authorised);
    EXPECT_EQ(refused(wire::delete_topic{{4, "quakes.us"}}), errc::not_authorised);
    EXPECT_EQ(refused(wire::trim{5, "quakes.us", wire::place::end, 0}), errc::not_authorised);
    EXPECT_EQ(refused(wire::create_topic{{6, "other", {}}}), errc::not_authorised);
    EXPECT_EQ(refused(wire::seek_group{7, "quakes.us", "g", {}, 0}), errc::not_authorised);
    EXPECT_EQ(refused(wire::list_figures{8}), errc::not_authorised);
    bob->raw().say(wire::create_topic{{9, "own", {}}});
    EXPECT_TRUE(bob->raw().hear(kind::done));
    alice->raw().say(wire::list_figures{1});
    EXPECT_TRUE(alice->raw().hear(kind::figures));
}

}  // namespace
