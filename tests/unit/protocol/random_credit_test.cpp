#include "random.hpp"
#include "values.hpp"

#include <cairn/protocol/credit.hpp>
#include <cairn/protocol/work_credit.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <vector>

namespace cairn::test {
namespace {

using namespace protocol;

/// Takes any element out: frames of credit may overtake each other and come twice.
template <typename T>
T take_any(std::vector<T>& from, dice& random) {
    const auto i = from.begin() + static_cast<std::ptrdiff_t>(random.below(from.size()));
    const T taken = *i;
    if (!random.chance(20)) from.erase(i);
    return taken;
}

std::optional<std::string> send_bytes_by_credit(std::uint64_t seed) {
    dice random(seed);
    const std::uint64_t window = random.between(1, 200);
    std::deque<std::uint64_t> queue;  // first what waits from an earlier link
    if (random.chance(30)) queue.push_back(random.between(1, 300));
    std::uint64_t waiting = queue.empty() ? 0 : queue.front();
    const std::uint64_t waiting_max = std::max(window, waiting) + 50;

    credit_reader reader(window, waiting);
    credit_sender sender(reader.initial());
    std::deque<std::uint64_t> data;
    std::vector<grant> grants;
    std::uint64_t to_send = 60;
    const auto consume = [&] {
        waiting -= queue.front();
        reader.consumed(queue.front());
        queue.pop_front();
        if (const auto due = reader.due()) grants.push_back(*due);
    };
    const auto receive = [&]() -> bool {
        const bool granted = reader.received(data.front());
        waiting += data.front();
        queue.push_back(data.front());
        data.pop_front();
        return granted && waiting == reader.waiting() && waiting <= waiting_max;
    };

    for (int i = 0; i < 400; ++i) {
        const std::uint64_t choice = random.below(4);
        if (choice == 0 && to_send != 0 && sender.may_send()) {
            data.push_back(random.between(1, 50));
            sender.spend(data.back());
            --to_send;
        } else if (choice == 1 && !data.empty()) {
            if (!receive()) return "more than a batch beyond the window";
        } else if (choice == 2 && !queue.empty()) {
            consume();
        } else if (choice == 3 && !grants.empty()) {
            (void)sender.raise(take_any(grants, random));
        }
    }
    for (const grant& g : grants) (void)sender.raise(g);
    while (true) {
        while (!data.empty()) {
            if (!receive()) return "more than a batch beyond the window";
        }
        while (!queue.empty()) consume();
        if (!grants.empty()) (void)sender.raise(grants.back());
        if (sender.outstanding() >= reader.step()) return "taken, and not reported";
        // The publisher's rule (subscription::idle()), with what its reader may leave unreported.
        if (sender.outstanding() + reader.step() / 2 >
            std::max<std::uint64_t>(1 + reader.step() / 2, sender.window() / 2))
            return "all is taken, and the sender waits for more to gather";
        if (to_send == 0) return std::nullopt;
        if (!sender.may_send()) return "all is taken, and nothing may be sent";
        data.push_back(1);
        sender.spend(1);
        --to_send;
    }
}

TEST(RandomCredit, NeverOverrunsItsWindowByMoreThanABatchAndNeverRunsDry) {
    expect_no_failure(10'000, send_bytes_by_credit);
}

std::optional<std::string> send_work_by_credit(std::uint64_t seed) {
    dice random(seed);
    const std::uint64_t messages_max = random.between(1, 300);
    const std::uint64_t window = random.between(1, 2'000);
    const std::chrono::milliseconds prefetch(random.chance(20) ? 0 : random.between(1, 100));
    work_credit_reader reader(messages_max, window, prefetch);
    work_credit_sender sender(reader.initial());
    time_point now = at(0s);
    std::deque<work_grant> data;
    std::deque<work_grant> queue;
    std::vector<work_grant> grants;
    work_grant highest = reader.initial();
    std::string failure;

    const auto send = [&] {
        const std::uint64_t count = random.between(1, sender.left().messages);
        const work_grant run{.messages = count, .bytes = random.below(40) + count};
        sender.spend(run.messages, run.bytes);
        data.push_back(run);
    };
    const auto receive = [&] {
        if (!reader.received(data.front().messages, data.front().bytes, now)) {
            failure = "a run beyond the credit";
        }
        queue.push_back(data.front());
        data.pop_front();
        if (reader.waiting().messages > messages_max) failure = "too many messages wait";
    };
    const auto consume = [&] {
        now += std::chrono::microseconds(random.below(20'000));
        reader.consumed(queue.front().messages, queue.front().bytes, now);
        queue.pop_front();
        const auto due = reader.due();
        if (!due) return;
        if (due->messages < highest.messages || due->bytes < highest.bytes) {
            failure = "a grant was taken back";
        }
        highest = *due;
        grants.push_back(*due);
    };

    for (int i = 0; i < 300 && failure.empty(); ++i) {
        now += std::chrono::microseconds(random.below(500));
        const std::uint64_t choice = random.below(4);
        if (choice == 0 && sender.may_send()) send();
        if (choice == 1 && !data.empty()) receive();
        if (choice == 2 && !queue.empty()) consume();
        if (choice == 3 && !grants.empty()) (void)sender.raise(take_any(grants, random));
    }
    while (failure.empty() && !(data.empty() && queue.empty())) {
        if (!data.empty()) receive();
        if (!queue.empty()) consume();
    }
    for (const work_grant& g : grants) (void)sender.raise(g);
    if (!failure.empty()) return failure;
    if (!sender.may_send()) return "all is done, and nothing may be sent";
    return std::nullopt;
}

TEST(RandomWorkCredit, NeverOverrunsItsMessagesAndNeverRunsDry) {
    expect_no_failure(10'000, send_work_by_credit);
}

}  // namespace
}  // namespace cairn::test
