// Commits a random workload and says "c" after each commit, until it is killed:
// store_kill_victim DIRECTORY SEED COMMITS, where COMMITS are done already.
#include "store/support/workload.hpp"

#include <unistd.h>

#include <cstdlib>

int main(int argc, char** argv) {
    using namespace cairn;
    if (argc != 4) return 2;
    test::model known;
    test::workload work(std::strtoull(argv[2], nullptr, 10), "", 300);
    std::vector<store::reply> expected;
    std::vector<store::reply> replies;
    for (std::uint64_t done = std::strtoull(argv[3], nullptr, 10); done > 0; --done)
        (void)work.next_commit(known, expected);
    store::database db(argv[1], test::small_options());
    for (;;) {
        const auto commands = work.next_commit(known, expected);
        db.commit(commands, test::at_ms(1'000), replies,
                  [](std::size_t, const store::reply&) { (void)!::write(1, "e", 1); });
        for (std::size_t i = 0; i < replies.size(); ++i)
            if (replies[i].code != expected[i].code) return 3;
        if (::write(1, "c", 1) != 1) return 4;
    }
}
