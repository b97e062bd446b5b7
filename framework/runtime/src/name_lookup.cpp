#include <cairn/runtime/name_lookup.hpp>

#include "signals_blocked.hpp"

#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

namespace cairn::runtime {

namespace {

std::atomic<std::size_t> under_way{0};

}  // namespace

struct name_lookup::question {
    explicit question(endpoint asked) : where(std::move(asked)) {}

    void put(std::vector<endpoint> found) {
        const std::lock_guard lock(mutex);
        addresses = std::move(found);
        done = true;
    }
    void ask() {
        std::vector<endpoint> found;
        try {
            found = resolve(where, purpose::connect);
        } catch (const std::exception&) {
            // Unknown now.
        }
        put(std::move(found));
    }

    const endpoint where;
    std::mutex mutex;
    bool done = false;                // guarded by mutex
    std::vector<endpoint> addresses;  // guarded by mutex
};

name_lookup::name_lookup(const endpoint& where) : question_(std::make_shared<question>(where)) {
    if (under_way.fetch_add(1) >= questions_max) {
        under_way.fetch_sub(1);
        question_->put({});
        return;
    }
    const signals_blocked here;
    try {
        std::thread([asked = question_] {
            asked->ask();
            under_way.fetch_sub(1);
        }).detach();
    } catch (const std::exception&) {
        under_way.fetch_sub(1);
        question_->put({});
    }
}

std::optional<std::vector<endpoint>> name_lookup::answer() const {
    const std::lock_guard lock(question_->mutex);
    if (!question_->done) return std::nullopt;
    return question_->addresses;
}

}  // namespace cairn::runtime
