#include "store_fixture.hpp"

// How many topics one client may make.
namespace {

using namespace cairn;
using namespace cairn::test;
using wire::kind;

class TopicQuota : public StoreFixture {
protected:
    void SetUp() override {
        options_.topics_made_per_client_max = 2;
        start();
    }
    static errc refusal_of(party& client, const wire::control_frame& request) {
        client.raw().say(request);
        const auto told = client.raw().hear_any(
            {kind::error, kind::source_opened, kind::group_attached, kind::done});
        const auto* refused = told ? std::get_if<wire::error_reply>(&*told) : nullptr;
        return !told ? errc::timed_out : refused ? refused->code : errc::ok;
    }
    static errc publish(party& client, wire::channel channel, const std::string& topic) {
        return refusal_of(client, wire::open_source{channel, topic, "s", epoch{1}});
    }
    static errc attach(party& client, wire::channel channel, const std::string& topic) {
        return refusal_of(
            client, wire::attach_group{channel, topic, "g", "", wire::group_kind::each, {}, 0});
    }
};

TEST_F(TopicQuota, EndsWhatAClientMakesByPublishingAndAttaching) {
    const auto greedy = peer();
    EXPECT_EQ(publish(*greedy, 1, "a"), errc::ok);
    EXPECT_EQ(attach(*greedy, 2, "b"), errc::ok);
    EXPECT_EQ(publish(*greedy, 3, "c"), errc::limit_exceeded);
    EXPECT_EQ(attach(*greedy, 4, "c"), errc::limit_exceeded);
    EXPECT_EQ(publish(*peer(), 1, "c"), errc::ok) << "others may";
    EXPECT_EQ(publish(*greedy, 5, "c"), errc::ok) << "it is there now";
}

TEST_F(TopicQuota, CountsWhatWasMadeAndNothingElse) {
    ASSERT_EQ(publish(*peer(), 1, "there"), errc::ok);
    const auto client = peer();
    for (wire::channel c = 1; c != 10; ++c) EXPECT_EQ(attach(*client, c, "there"), errc::ok);
    EXPECT_EQ(publish(*client, 11, "a"), errc::ok);
    EXPECT_EQ(publish(*client, 12, "b"), errc::ok);
}

TEST_F(TopicQuota, ChargesATopicThatManyMakeAtOnceToOneOfThem) {
    constexpr std::size_t quota = 8;
    options_.topics_made_per_client_max = quota;
    restart();
    std::vector<std::unique_ptr<party>> clients;
    for (int i = 0; i != 4; ++i) clients.push_back(peer());
    wire::channel channel = 0;
    for (std::size_t i = 0; i != quota; ++i) {
        const std::string topic = "shared" + std::to_string(i);
        ++channel;
        for (const auto& c : clients)
            if (i % 2 == 0)
                c->raw().say(wire::open_source{channel, topic, "s", epoch{1}});
            else
                c->raw().say(
                    wire::attach_group{channel, topic, "g", "", wire::group_kind::each, {}, 0});
        for (const auto& c : clients)
            ASSERT_TRUE(c->raw().hear_any({kind::source_opened, kind::group_attached}));
    }
    std::size_t made = 0;
    for (const auto& c : clients)
        while (publish(*c, ++channel, "own" + std::to_string(made)) == errc::ok) ++made;
    EXPECT_EQ(made, (clients.size() - 1) * quota);
}

TEST_F(TopicQuota, DoesNotBindWhoManagesTopics) {
    options_.topics_made_per_client_max = 0;
    restart();
    const auto manager = peer();
    EXPECT_EQ(publish(*manager, 1, "a"), errc::limit_exceeded);
    EXPECT_EQ(refusal_of(*manager, wire::create_topic{{2, "a", {}}}), errc::ok);
    EXPECT_EQ(publish(*manager, 3, "a"), errc::ok);
}

TEST_F(TopicQuota, FollowsAKeyOverItsConnections) {
    const key_pair server = generate_keys();
    const key_pair greedy = generate_keys();
    const key_pair other = generate_keys();
    options_.network.security.keys = server;
    options_.network.security.allowed_keys = {greedy.public_key, other.public_key};
    restart();
    const auto as = [&](const key_pair& who) { return party(endpoint_, who, server.public_key); };
    for (const char* topic : {"a", "b"}) {
        party client = as(greedy);
        EXPECT_EQ(publish(client, 1, topic), errc::ok);
    }
    party again = as(greedy);
    EXPECT_EQ(publish(again, 1, "c"), errc::limit_exceeded);
    party honest = as(other);
    EXPECT_EQ(publish(honest, 1, "c"), errc::ok);
}

}  // namespace
