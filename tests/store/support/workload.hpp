#pragma once

#include "made.hpp"
#include "model.hpp"
#include "unit/protocol/random.hpp"

#include <string>
#include <vector>

namespace cairn::test {

/// In which order the commands of a commit are applied, as README.md of the store says.
std::vector<std::size_t> applied_order(const std::vector<store::command>& commands);

/// Random commands that make sense for what a model holds, and some that do not. The same seed and
/// the same model give the same commands.
class workload {
public:
    struct kind {
        bool limited_topics = false;
        bool aged_topics = false;
        bool one_command = false;  ///< a commit, which stores into one topic
        bool apart = false;        ///< each command has a transaction of its own (commands_apart)
    };

    /// `prefix` begins every topic's name. `bytes_max`: of one message.
    workload(std::uint64_t seed, std::string prefix, std::size_t bytes_max = 40)
        : workload(seed, std::move(prefix), bytes_max, kind{}) {}
    workload(std::uint64_t seed, std::string prefix, std::size_t bytes_max, const kind& what)
        : random_(seed), prefix_(std::move(prefix)), bytes_max_(bytes_max), kind_(what) {}

    /// Commands of one commit, judged one after another as the model goes on.
    std::vector<store::command> next_commit(model& known, std::vector<store::reply>& replies);
    /// What a database holds before such a commit, after each of its transactions, and at the end.
    std::vector<model> steps_of(const model& before,
                                const std::vector<store::command>& commands) const;

private:
    store::command next(const model& known);
    store::command an_append(std::uint32_t t, const model::topic& topic);
    store::command a_group_command(std::uint32_t t, const model::topic& topic);
    store::command a_topic_command(std::uint32_t t, const model::topic& topic);
    std::string a_topic_name() { return prefix_ + "t" + std::to_string(random_.below(3)); }
    std::string a_letters_name() { return prefix_ + "dead"; }
    std::string a_text();
    store::retention a_retention();
    store::offset_range a_range(const model::topic& topic);

    dice random_;
    std::string prefix_;
    std::size_t bytes_max_;
    kind kind_;
};

/// Plays 30 commits of a seed on a model, and on a database when there is one.
void age(model& known, std::uint64_t seed, store::database* db);

}  // namespace cairn::test
