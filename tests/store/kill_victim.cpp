// Works on a database until it is killed, and says what was confirmed:
// store_kill_victim commits DIRECTORY SEED COMMITS DONE   a random workload, of which COMMITS are
//                                                    done, and of the next one the first DONE
//                                                    commands: "c" after each commit
// store_kill_victim apart DIRECTORY SEED COMMITS DONE   the same, a transaction for each command
// store_kill_victim producers DIRECTORY SEED         four producers and a committer: "?" and what
//                                                    one asks for, "!" and what is confirmed
#include "store/support/lowered_bounds.hpp"
#include "store/support/producers.hpp"
#include "store/support/workload.hpp"

#include <unistd.h>

#include <cstdlib>
#include <string_view>

namespace {

using namespace cairn;

int commit(const char* directory, std::uint64_t seed, std::uint64_t commits, std::uint64_t done,
           bool apart) {
    const test::lowered_bounds lowered(apart ? test::commands_apart : store::bounds{});
    test::model known;
    test::workload work(seed, "", 300, {.apart = apart});
    std::vector<store::reply> expected;
    std::vector<store::reply> replies;
    for (; commits > 0; --commits) (void)work.next_commit(known, expected);
    store::database db(directory, test::small_options());
    for (;; done = 0) {
        const auto all = work.next_commit(known, expected);
        const auto order = test::applied_order(all);
        std::vector<store::command> rest;
        for (std::size_t n = done; n < order.size(); ++n) rest.push_back(all[order[n]]);
        const std::vector<store::command>& commands = done == 0 ? all : rest;
        db.commit(commands, test::at_ms(1'000), replies,
                  [](std::size_t, const store::reply&) { (void)!::write(1, "e", 1); });
        for (std::size_t i = 0; i < replies.size(); ++i)
            if (replies[i].code != expected[done == 0 ? i : order[done + i]].code) return 3;
        if (::write(1, "c", 1) != 1) return 4;
    }
}

// One write a line: whole or not at all in a pipe.
void say(const std::string& line) { (void)!::write(1, line.data(), line.size()); }

class teller final : public test::producers::witness {
public:
    void asked(std::size_t p, const test::producers::deed& d) override {
        say("? " + std::to_string(p) + " " + static_cast<char>(d.what) + " " +
            std::to_string(d.topic) + " " + std::to_string(d.first) + " " + std::to_string(d.last) +
            "\n");
    }
    void confirmed(std::size_t p, std::size_t number, std::uint64_t at, bool gone) override {
        say("! " + std::to_string(p) + " " + std::to_string(number) + " " + std::to_string(at) +
            (gone ? " 1\n" : " 0\n"));
    }
    void wronged(const std::string& how) override { say("x " + how + "\n"); }
};

int produce(const char* directory, std::uint64_t seed) {
    store::database db(directory, test::small_options());
    test::producers::prepare(db);
    teller told;
    test::producers::produce(db, seed, 1'000'000, told);
    return 3;
}

}  // namespace

int main(int argc, char** argv) {
    const std::string_view verb = argc > 1 ? argv[1] : "";
    const auto number = [&](int at) { return std::strtoull(argv[at], nullptr, 10); };
    if ((verb == "commits" || verb == "apart") && argc == 6)
        return commit(argv[2], number(3), number(4), number(5), verb == "apart");
    if (verb == "producers" && argc == 4) return produce(argv[2], number(3));
    return 2;
}
