#include "support/edge.hpp"

#include <cairn/error.hpp>
#include <cairn/runtime/fork_guard.hpp>

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <memory>

// Z21: libzmq's threads do not exist in a forked child, so that closing a context there waits for
// ever, and descriptors are shared with the parent.
namespace {

using namespace cairn;
using namespace cairn::runtime;
using namespace cairn::test;
using namespace std::chrono_literals;

/// Runs `inside` in a child. Its exit code; -1 when it hung for ten seconds.
template <typename Action>
int in_child(Action&& inside) {
    const pid_t child = ::fork();
    if (child == 0) {
        ::alarm(10);  // a hang ends the child with SIGALRM
        ::_exit(inside());
    }
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

struct both_ends {
    binding_end a{node_options{}};
    connecting_end b{node_options{}, a.where()};

    bool talk() {
        return send_text(b.dealer, "hello") == io::done && receive_within(a.router) &&
               receive_within(a.router);
    }
};

TEST(AForkedChild, LearnsThatTheNodeIsItsParents) {
    const fork_guard guard;
    EXPECT_FALSE(guard.forked());
    EXPECT_EQ(in_child([&] {
                  try {
                      guard.check("publish");
                  } catch (const error& e) {
                      return e.code() == errc::forked && guard.forked() ? 0 : 1;
                  }
                  return 2;
              }),
              0);
    EXPECT_NO_THROW(guard.check("publish"));
}

TEST(AForkedChild, CanEndEverythingOfItsParentWithoutHangingOrHarm) {
    auto ends = std::make_unique<both_ends>();
    ASSERT_TRUE(ends->b.up());
    for (int i = 0; i < 20; ++i) {
        ASSERT_EQ(in_child([&] {
                      ends.reset();
                      return 0;
                  }),
                  0);
        ASSERT_TRUE(ends->talk()) << "after child " << i;
    }
}

TEST(AForkedChild, CannotMakeSocketsInTheContextOfItsParent) {
    both_ends ends;
    ASSERT_TRUE(ends.b.up());
    EXPECT_EQ(in_child([&] {
                  try {
                      static_cast<void>(ends.a.factory.router());
                  } catch (const error& e) {
                      return e.code() == errc::forked ? 0 : 1;
                  }
                  return 2;
              }),
              0);
}

TEST(AForkedChild, CanMakeANodeOfItsOwn) {
#if defined(__SANITIZE_THREAD__)
    GTEST_SKIP() << "the thread sanitizer allows no threads in a child of a process with threads";
#endif
    both_ends ends;
    ASSERT_TRUE(ends.b.up());
    EXPECT_EQ(in_child([] {
                  auto own = std::make_unique<both_ends>();
                  const bool works = own->b.up() && own->talk();
                  own.reset();
                  return works ? 0 : 1;
              }),
              0);
    EXPECT_TRUE(ends.talk());
}

}  // namespace
