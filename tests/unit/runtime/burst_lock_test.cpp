#include <cairn/runtime/burst_lock.hpp>

#include <gtest/gtest.h>

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <latch>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace cairn::runtime {
namespace {

class BurstLock : public testing::TestWithParam<burst_lock::fence> {};

TEST_P(BurstLock, LetsOneInAtATime) {
    constexpr std::uint64_t threads = 4;
    constexpr std::uint64_t rounds = 100'000;
    burst_lock lock(GetParam());
    std::uint64_t first = 0;
    std::uint64_t second = 0;
    std::atomic<bool> apart{false};
    {
        std::vector<std::jthread> all;
        for (std::uint64_t t = 0; t != threads; ++t)
            all.emplace_back([&] {
                for (std::uint64_t i = 0; i != rounds; ++i) {
                    const std::lock_guard guard(lock);
                    if (first != second) apart = true;
                    ++first;
                    ++second;
                }
            });
    }
    EXPECT_FALSE(apart);
    EXPECT_EQ(first, threads * rounds);
}

// Some sections last longer than others back off for, so that these sleep: one that is not woken
// hangs. What a sleeper was woken for is taken meanwhile by those who come and go quickly.
TEST_P(BurstLock, WakesAllWhoSleep) {
    constexpr int threads = 4;
    constexpr int rounds = 20'000;
    burst_lock lock(GetParam());
    std::latch begin(threads);
    std::atomic<int> done{0};
    {
        std::vector<std::jthread> all;
        for (int t = 0; t != threads; ++t)
            all.emplace_back([&, t] {
                begin.arrive_and_wait();
                for (int i = 0; i != rounds; ++i) {
                    const std::lock_guard guard(lock);
                    if ((i + t) % 32 == 0) std::this_thread::yield();
                }
                ++done;
            });
    }
    EXPECT_EQ(done, threads);
}

TEST_P(BurstLock, IsTriedWithoutWaiting) {
    burst_lock lock(GetParam());
    ASSERT_TRUE(lock.try_lock());
    EXPECT_FALSE(lock.try_lock());
    lock.unlock();
    EXPECT_TRUE(lock.try_lock());
    lock.unlock();
}

/// From now on the kernel refuses membarrier(2) to this process. False: it takes no filters.
bool deny_membarrier() {
    sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const sock_fprog program{std::size(rules), rules};
    return ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/// Whether the thread sleeps in a futex; false, when it has worked for longer than it backs off.
bool sleeps(pthread_t thread, pid_t number) {
    clockid_t clock{};
    if (::pthread_getcpuclockid(thread, &clock) != 0) return true;
    const std::string call = std::to_string(SYS_futex) + " ";
    for (;;) {
        timespec used{};
        ::clock_gettime(clock, &used);
        if (used.tv_sec != 0 || used.tv_nsec > 10'000'000) return false;
        std::string now;
        std::getline(std::ifstream("/proc/self/task/" + std::to_string(number) + "/syscall"), now);
        if (now.starts_with(call)) return true;
    }
}

// Who unlocks may not have seen it, so that nobody would wake it.
TEST(ABurstLock, WhoseFenceIsDeniedLaterPutsNobodyToSleep) {
#ifdef __SANITIZE_THREAD__
    GTEST_SKIP() << "the thread sanitizer permits no threads in a forked child";
#endif
    constexpr int no_filters = 77;
    const pid_t child = ::fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
        burst_lock lock(burst_lock::fence::by_sleepers);
        if (!deny_membarrier()) ::_exit(no_filters);
        lock.lock();
        std::atomic<pid_t> number{0};
        std::jthread waiting([&] {
            number = static_cast<pid_t>(::syscall(SYS_gettid));
            number.notify_one();
            lock.lock();
            lock.unlock();
        });
        number.wait(0);
        if (sleeps(waiting.native_handle(), number)) ::_exit(1);
        lock.unlock();
        waiting.join();
        ::_exit(0);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFEXITED(status));
    if (WEXITSTATUS(status) == no_filters) GTEST_SKIP() << "no filters are permitted here";
    EXPECT_EQ(WEXITSTATUS(status), 0);
}

INSTANTIATE_TEST_SUITE_P(Fence, BurstLock,
                         testing::Values(burst_lock::fence::by_sleepers, burst_lock::fence::by_all),
                         [](const auto& of) {
                             return of.param == burst_lock::fence::by_sleepers ? "by_sleepers"
                                                                               : "by_all";
                         });

}  // namespace
}  // namespace cairn::runtime
