#pragma once

#include <cairn/node.hpp>
#include <cairn/publisher.hpp>
#include <cairn/puller.hpp>
#include <cairn/pusher.hpp>
#include <cairn/subscriber.hpp>

#include <gtest/gtest.h>

#include "support/eventually.hpp"
#include "support/temp_directory.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::test {

using namespace std::chrono_literals;

/// Longer than anything takes that works, on a busy machine and under a sanitizer.
inline constexpr std::chrono::milliseconds patience = 20s;
/// How long nothing must happen, where that is what a test expects.
inline constexpr std::chrono::milliseconds silence = 60ms;

enum class transport : std::uint8_t { inproc, ipc, tcp };

/// A network of nodes over one transport: the words in which the public contract is told.
///
/// Owns:    the nodes, which outlive the handles that a test makes on them.
/// Threads: one at a time.
class contract : public ::testing::TestWithParam<transport> {
protected:
    /// An endpoint that nobody uses yet.
    std::string fresh_endpoint();
    /// A node that listens, at endpoint_of() it.
    node& listening(node_options options = {});
    /// A node that is connected with `peer`.
    node& connected_to(node& peer, node_options options = {});
    /// Where others reach a node made by listening().
    const std::string& endpoint_of(const node& which) const;
    /// Ends the connection that `from` made to `peer`; both know when it returns.
    void cut(node& from, node& peer);
    /// Makes it again.
    void mend(node& from, node& peer);
    /// Destroys a node, as its process's end would.
    void destroy(node& which);

private:
    struct member {
        std::unique_ptr<cairn::node> owned;
        std::string endpoint;
    };
    temp_directory directory_;
    std::vector<member> members_;
};

/// Runs a suite over every transport.
#define CAIRN_OVER_EACH_TRANSPORT(suite)                                                   \
    INSTANTIATE_TEST_SUITE_P(                                                              \
        Over, suite,                                                                       \
        ::testing::Values(::cairn::test::transport::inproc, ::cairn::test::transport::ipc, \
                          ::cairn::test::transport::tcp),                                  \
        ::cairn::test::transport_name)

std::string transport_name(const ::testing::TestParamInfo<transport>& info);

/// The next `count` messages of a subscriber or puller as text; fewer when they do not come.
template <typename Handle>
std::vector<std::string> texts(Handle& from, std::size_t count) {
    std::vector<std::string> all;
    while (all.size() != count) {
        const auto m = from.receive_for(patience);
        if (!m) break;
        all.emplace_back(m->text());
    }
    return all;
}

/// "first" to "last", as numbers.
std::vector<std::string> numbers(std::uint64_t first, std::uint64_t last);

inline void publish_numbers(publisher& to, std::uint64_t first, std::uint64_t last) {
    for (std::uint64_t n = first; n <= last; ++n) to.publish(std::to_string(n));
}

inline void push_numbers(pusher& to, std::uint64_t first, std::uint64_t last) {
    for (std::uint64_t n = first; n <= last; ++n) to.push(std::to_string(n));
}

/// What a pusher gives up after so many deliveries: its texts.
class given_up_texts {
public:
    explicit given_up_texts(std::uint32_t deliveries) : deliveries_(deliveries) {}

    std::function<void(const rejected_message&)> sink() {
        return [this](const rejected_message& r) {
            EXPECT_EQ(r.cause, errc::deliveries_exceeded);
            EXPECT_EQ(r.message.attempt, deliveries_);
            const std::lock_guard hold(mutex_);
            all_.emplace_back(r.message.text());
        };
    }
    std::vector<std::string> all() const {
        const std::lock_guard hold(mutex_);
        return all_;
    }

private:
    const std::uint32_t deliveries_;
    mutable std::mutex mutex_;
    std::vector<std::string> all_;  // guarded by mutex_
};

/// The code of the error that `call` throws; ok when it throws none.
template <typename Call>
errc thrown_by(Call&& call) {
    try {
        call();
    } catch (const error& e) {
        return e.code();
    }
    return errc::ok;
}

}  // namespace cairn::test
