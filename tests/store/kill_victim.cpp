// Works on a database until it is killed, and says what was confirmed:
// store_kill_victim commits DIRECTORY SEED COMMITS DONE
//     a random workload, of which COMMITS are done, and of the next one the first DONE commands:
//     "c" after each commit
// store_kill_victim apart DIRECTORY SEED COMMITS DONE
//     the same with a transaction for each command
// store_kill_victim look DIRECTORY SEED BYTES
//     opens what age() made of the seed and somebody damaged, with files up to BYTES walked after a
//     crash; says "right", or "wrong" and what, or an error's name
// store_kill_victim producers DIRECTORY SEED
//     four producers and a committer: "?" and what one asks for, "!" and what is confirmed
#include "store/support/delivery.hpp"
#include "store/support/lowered_bounds.hpp"
#include "store/support/producers.hpp"
#include "store/support/workload.hpp"

#include <unistd.h>

#include <cstdlib>
#include <iostream>
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

// Whether what it makes of damage is right; then it goes on.
int look(const char* directory, std::uint64_t seed, std::uint64_t walked_bytes_max) {
    const test::lowered_bounds lowered({.walked_bytes_max = walked_bytes_max});
    test::model known;
    test::age(known, seed, nullptr);
    try {
        store::database db(directory, {.map_bytes = std::size_t{1} << 30, .ballast_bytes = 0});
        if (const auto found = test::wrong_delivery(db, known, test::judged::content)) {
            std::cout << "wrong: " << *found << std::endl;
            return 0;
        }
        std::vector<store::reply> replies;
        db.commit(std::vector<store::command>{store::open_source{"after", "s", {1}, "", true}},
                  test::at_ms(2'000), replies);
        if (const auto* const s = std::get_if<store::source_opened>(&replies[0].value))
            for (std::uint64_t n = s->last.value + 1; n <= s->last.value + 5; ++n)
                db.commit(std::vector<store::command>{test::batch(
                              *s, {1}, n, 1, test::records({std::string(5'000, 'x')}))},
                          test::at_ms(2'000), replies);
        std::cout << "right" << std::endl;
    } catch (const error& refused) {
        std::cout << name(refused.code()) << std::endl;
    }
    return 0;
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
    if (verb == "look" && argc == 5) return look(argv[2], number(3), number(4));
    if (verb == "producers" && argc == 4) return produce(argv[2], number(3));
    return 2;
}
