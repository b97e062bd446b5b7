#include <cairn/store/committer.hpp>

#include "believed_clock.hpp"
#include "command_bytes.hpp"
#include "directory.hpp"
#include "early_writeback.hpp"
#include "forks.hpp"
#include "system_now.hpp"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <climits>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace cairn::store {

namespace {

// What a command costs of the waiting limit beside what it holds.
constexpr std::size_t command_charge_bytes = 256;

// Part of a commit's time that the committer lets others run after it, and the most of it: 64 that
// are woken, run and submit on two processors took 1 ms at worst (design note 0006). A disk that
// stalled is idle afterwards, and a command that comes then has waited enough.
constexpr int gather_share = 4;
constexpr std::chrono::milliseconds gather_max{2};

struct origin {
    completion* to = nullptr;
    std::uint64_t token = 0;
    bool confirmed = false;  // before the sync
};

void check_options(const committer_options& chosen) {
    const auto require = [](bool met, const char* what) {
        if (!met) throw error(errc::invalid_argument, std::string("commit: ") + what);
    };
    require(chosen.waiting_bytes_max >= 1, "waiting_bytes_max must be 1 or more");
    require(chosen.transaction_bytes_max >= 1 && chosen.transaction_bytes_max <= commit_bytes_max,
            "transaction_bytes_max must be 1 to commit_bytes_max, 192 MiB");
    require(chosen.transaction_commands_max >= 1, "transaction_commands_max must be 1 or more");
    require(chosen.idle_interval.count() > 0, "idle_interval must be above 0");
}

}  // namespace

/// Threads in commit(). Whose commands one transaction holds sleep on one word and are woken by one
/// call of the system: woken one by one, each costs its waker more than the commit of a message.
class waiters final : public completion {
public:
    struct place {
        reply answer{};
        std::atomic<bool> done{false};
    };

    void replied(std::uint64_t token, const reply& answer, bool flushed) override {
        of(token).answer = answer;
        if (flushed) of(token).done.store(true, std::memory_order_release);
    }
    void kept(std::uint64_t token) override {
        of(token).done.store(true, std::memory_order_release);
    }
    void taken_back(std::uint64_t token, errc why) override {
        of(token).answer = {why, {}};
        of(token).done.store(true, std::memory_order_release);
    }
    void committed() override {
        words_[round_ & 1].fetch_add(1, std::memory_order_release);
        wake_all(words_[round_ & 1]);
    }

    /// Whose turn it is from now on: the commands that were taken in this round.
    void begin(std::uint64_t round) noexcept { round_ = round; }

    static std::uint64_t token(place& mine) noexcept {
        return reinterpret_cast<std::uintptr_t>(&mine);
    }
    /// Two words, so that who waits for the next round sleeps on.
    void wait(const place& mine, std::uint64_t round) const noexcept {
        const std::atomic<std::uint32_t>& word = words_[round & 1];
        for (;;) {
            const std::uint32_t seen = word.load(std::memory_order_acquire);
            if (mine.done.load(std::memory_order_acquire)) return;
            sleep(word, seen);
        }
    }

private:
    // Not std::atomic::wait(): libstdc++ yields the processor four times before it sleeps, and
    // among 64 threads each of these is a switch to another one that has nothing to do either.
    static void sleep(const std::atomic<std::uint32_t>& word, std::uint32_t seen) noexcept {
        ::syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, seen, nullptr);
    }
    static void wake_all(const std::atomic<std::uint32_t>& word) noexcept {
        ::syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, INT_MAX);
    }

    static place& of(std::uint64_t token) noexcept {
        return *reinterpret_cast<place*>(static_cast<std::uintptr_t>(token));
    }

    std::uint64_t round_ = 0;  // of the committer's thread
    std::array<std::atomic<std::uint32_t>, 2> words_{};
};

struct committer::impl {
    impl(database& target, const committer_options& wanted)
        : db(target), chosen(wanted), writeback(target.directory() / data_name) {
        check_options(chosen);
        thread = std::thread([this] { run(); });
    }

    enum class rest { none, asleep, in_room };

    errc submit(command& wanted, completion& to, std::uint64_t token, const time_point* deadline,
                std::uint64_t* in_round = nullptr);
    void run();
    bool enough() const;
    void wait_for_work();
    void wait(std::unique_lock<std::mutex>& hold, time_point until);
    void wake(rest where);
    void gather();
    void commit();
    bool has_room(std::size_t charge) const { return waiting + charge <= chosen.waiting_bytes_max; }
    errc wait_for_room(std::unique_lock<std::mutex>& hold, std::size_t charge, time_point deadline);
    void let_in();

    /// A thread whose command had no room. Whoever lets it in counts its charge.
    struct waiting_thread {
        explicit waiting_thread(std::size_t needed) : charge(needed) {}
        std::size_t charge;
        bool is_in = false;
        std::condition_variable changed;
    };

    database& db;
    const committer_options chosen;
    const std::uint64_t made_after_forks = forks();

    mutable std::mutex mutex;
    std::condition_variable work;      // as many commands as are awaited, or closing
    std::deque<waiting_thread*> line;  // in the order of their coming: a large one gets its turn
    std::vector<command> commands;
    std::vector<origin> origins;
    std::size_t waiting = 0;  // charge of what is queued or being committed
    std::uint64_t waiting_commands = 0;
    std::uint64_t round = 0;    // in which the commands will be taken
    rest resting = rest::none;  // the thread; whoever wakes it says that it does not any more
    std::size_t awaited = 1;    // commands for which it is woken
    bool closing = false;
    committer_stats counts;

    // Of the thread.
    std::size_t next = 0;  // of taken: where the next transaction begins
    std::vector<command> taken;
    std::vector<origin> taken_origins;
    std::vector<reply> replies;
    bool more = false;
    clock::duration last_commit{};
    believed_clock wall;
    early_writeback writeback;
    waiters callers;
    std::thread thread;
};

errc committer::impl::submit(command& wanted, completion& to, std::uint64_t token,
                             const time_point* deadline, std::uint64_t* in_round) {
    if (forks() != made_after_forks) return errc::forked;
    const std::size_t held = held_bytes(wanted);
    const std::size_t charge = held + command_charge_bytes;
    if (held > commit_bytes_max || charge > chosen.waiting_bytes_max) return errc::too_large;
    std::unique_lock hold(mutex);
    if (closing) return errc::closed;
    if (line.empty() && has_room(charge)) {
        waiting += charge;
    } else {
        if (deadline == nullptr) return errc::full;
        if (const errc no = wait_for_room(hold, charge, *deadline); no != errc::ok) return no;
    }
    ++waiting_commands;
    commands.push_back(std::move(wanted));
    origins.push_back({&to, token, false});
    if (in_round != nullptr) *in_round = round;
    if (resting != rest::none && commands.size() >= awaited) {
        const rest where = std::exchange(resting, rest::none);
        hold.unlock();
        wake(where);
    }
    return errc::ok;
}

errc committer::impl::wait_for_room(std::unique_lock<std::mutex>& hold, std::size_t charge,
                                    time_point deadline) {
    waiting_thread mine(charge);
    line.push_back(&mine);
    mine.changed.wait_until(hold, deadline, [&] { return mine.is_in || closing; });
    if (!mine.is_in) {
        std::erase(line, &mine);
        let_in();  // those behind, who may need less
        return closing ? errc::closed : errc::timed_out;
    }
    if (!closing) return errc::ok;
    waiting -= charge;
    return errc::closed;
}

void committer::impl::let_in() {
    for (; !line.empty() && has_room(line.front()->charge); line.pop_front()) {
        waiting += line.front()->charge;
        line.front()->is_in = true;
        line.front()->changed.notify_one();
    }
}

bool committer::impl::enough() const { return closing || commands.size() >= awaited; }

// Until there is something to do, or retention is to be looked after.
void committer::impl::wait_for_work() {
    std::unique_lock hold(mutex);
    constexpr std::chrono::milliseconds most = std::chrono::hours(24);
    if (!more) wait(hold, clock::now() + std::min(chosen.idle_interval, most));
}

void committer::impl::wait(std::unique_lock<std::mutex>& hold, time_point until) {
    if (enough()) return;
    if (chosen.room != nullptr) {
        resting = rest::in_room;
        hold.unlock();
        chosen.room->wait(until, [this] {
            const std::lock_guard again(mutex);
            return enough();
        });
        hold.lock();
    } else {
        do {
            resting = rest::asleep;
        } while (work.wait_until(hold, until) != std::cv_status::timeout && !enough());
    }
    resting = rest::none;
}

void committer::impl::wake(rest where) {
    if (where == rest::in_room)
        chosen.room->wake();
    else
        work.notify_one();
}

// Who was just answered may have more to say: it goes into the next transaction rather than into
// the one after, or two halves of the producers take turns. Ends when as many are back, and after a
// small part of the time that the commit took; meanwhile the processor is theirs.
void committer::impl::gather() {
    const time_point until =
        clock::now() + std::min<clock::duration>(last_commit / gather_share, gather_max);
    std::unique_lock hold(mutex);
    awaited = taken.size();
    wait(hold, until);
    awaited = 1;
}

void committer::impl::run() {
    for (;;) {
        wait_for_work();
        {
            const std::lock_guard hold(mutex);
            if (commands.empty() && closing) break;
            std::swap(commands, taken);
            std::swap(origins, taken_origins);
            callers.begin(round++);
        }
        next = 0;
        do {
            commit();
        } while (next < taken.size());
        if (taken.size() > 1) gather();
        taken.clear();
        taken_origins.clear();
    }
    writeback.close();
}

void committer::impl::commit() {
    std::size_t end = next;
    std::size_t bytes = 0;
    while (end < taken.size() && end - next < chosen.transaction_commands_max) {
        const std::size_t size = held_bytes(taken[end]);
        if (end > next && bytes + size > chosen.transaction_bytes_max) break;
        bytes += size;
        ++end;
    }
    const std::span<const command> part(taken.data() + next, end - next);
    const auto early = [&](std::size_t i, const reply& answer) {
        origin& from = taken_origins[next + i];
        if (!std::exchange(from.confirmed, true)) from.to->replied(from.token, answer, false);
    };
    const auto begin = clock::now();
    writeback.begin(bytes);
    more = db.commit(part, wall.at(system_now(), since_boot()), replies, early);
    writeback.end();
    const auto time = last_commit = clock::now() - begin;
    for (std::size_t i = 0; i < part.size(); ++i) {
        const origin& from = taken_origins[next + i];
        if (!from.confirmed)
            from.to->replied(from.token, replies[i], true);
        else if (replies[i].ok())
            from.to->kept(from.token);
        else
            from.to->taken_back(from.token, replies[i].code);
        taken[next + i] = command{};  // gives its bytes back
        if (i + 1 == part.size() || taken_origins[next + i + 1].to != from.to) from.to->committed();
    }
    {
        const std::lock_guard hold(mutex);
        waiting -= bytes + part.size() * command_charge_bytes;
        waiting_commands -= part.size();
        ++counts.transactions;
        counts.clock_ahead = wall.ahead();
        counts.commands += part.size();
        counts.commit_time += std::chrono::duration_cast<std::chrono::nanoseconds>(time);
        let_in();
    }
    next = end;
}

committer::committer(database& target, const committer_options& chosen)
    : impl_(std::make_unique<impl>(target, chosen)) {}

committer::~committer() {
    close();
    if (forks() != impl_->made_after_forks) (void)impl_.release();  // its thread is the parent's
}

errc committer::try_submit(command& wanted, completion& to, std::uint64_t token) {
    return impl_->submit(wanted, to, token, nullptr);
}

errc committer::submit_until(command& wanted, completion& to, std::uint64_t token,
                             time_point deadline) {
    return impl_->submit(wanted, to, token, &deadline);
}

reply committer::commit(command wanted) {
    waiters::place mine;
    std::uint64_t round = 0;
    constexpr time_point whenever = time_point::max();
    const errc taken =
        impl_->submit(wanted, impl_->callers, waiters::token(mine), &whenever, &round);
    if (taken != errc::ok) return {taken, {}};
    impl_->callers.wait(mine, round);
    return std::move(mine.answer);
}

void committer::close() {
    if (forks() != impl_->made_after_forks) return;
    {
        const std::lock_guard hold(impl_->mutex);
        impl_->closing = true;
        for (impl::waiting_thread* const one : impl_->line) one->changed.notify_one();
    }
    impl_->wake(impl::rest::asleep);
    if (impl_->chosen.room != nullptr) impl_->wake(impl::rest::in_room);
    if (impl_->thread.joinable()) impl_->thread.join();
}

committer_stats committer::stats() const {
    const std::lock_guard hold(impl_->mutex);
    committer_stats s = impl_->counts;
    s.waiting_commands = impl_->waiting_commands;
    s.waiting_bytes = impl_->waiting;
    s.waiting_threads = impl_->line.size();
    return s;
}

}  // namespace cairn::store
