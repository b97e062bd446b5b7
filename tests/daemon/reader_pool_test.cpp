// Whose jobs the reader threads take next, and whose they leave out.
#include "../../daemon/src/reader_pool.hpp"
#include "store/support/fixture.hpp"
#include "support/eventually.hpp"

#include <atomic>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace cairn::test {
namespace {

using daemon::reader_pool;

/// One thread, which is busy until go_on().
class ReaderPool : public Database {
protected:
    void SetUp() override {
        reopen();
        pool_ = std::make_unique<reader_pool>(loop_, *db_, 1);
        std::promise<void> begun;
        pool_->submit(
            busy, [&](store::reader&) { begun.set_value(), free_.get_future().wait(); }, [] {});
        begun.get_future().wait();
    }
    void TearDown() override {
        const runtime::loop::guard holding(loop_);
        pool_.reset();
    }
    void go_on() { free_.set_value(); }
    void submit(std::uint64_t link, const std::string& what) {
        pool_->submit(
            link,
            [this, what](store::reader&) {
                const std::lock_guard hold(mutex_);
                done_.push_back(what);
            },
            [this] { ++told_; });
        ++asked_;
    }
    /// What was done, in order, after whoever asked was told.
    std::vector<std::string> done() {
        EXPECT_TRUE(eventually([&] {
            loop_.run_once({});
            return told_ == asked_;
        }));
        const std::lock_guard hold(mutex_);
        return done_;
    }

    static constexpr std::uint64_t busy = 1'000;

    runtime::loop loop_;
    std::promise<void> free_;
    std::mutex mutex_;
    std::vector<std::string> done_;  // guarded by mutex_
    std::size_t asked_ = 0;
    std::size_t told_ = 0;
    std::unique_ptr<reader_pool> pool_;
};

TEST_F(ReaderPool, ServesLinksInTurn) {
    for (const char* what : {"a1", "a2", "a3", "a4"}) submit(1, what);
    submit(2, "b1");
    submit(2, "b2");
    go_on();
    EXPECT_EQ(done(), (std::vector<std::string>{"a1", "b1", "a2", "b2", "a3", "a4"}));
}

// Or whoever connects, asks and leaves again without end would fill the queue beyond every limit of
// a link.
TEST_F(ReaderPool, LeavesOutWhatALinkHadAskedForThatIsGone) {
    for (int i = 0; i != 1'000; ++i) submit(1, "a");
    submit(2, "b");
    pool_->abandon(1);
    go_on();
    EXPECT_EQ(done(), std::vector<std::string>{"b"}) << "and who asked is told for all";
}

}  // namespace
}  // namespace cairn::test
