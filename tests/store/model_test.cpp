#include "store/support/model.hpp"
#include "store/support/made.hpp"
#include "store/support/workload.hpp"
#include "support/temp_directory.hpp"

#include <cairn/store/database.hpp>
#include <cairn/store/maintenance.hpp>

#include <gtest/gtest.h>

#include <array>
#include <memory>

namespace cairn::test {
namespace {

using namespace store;

std::string text_of(const reply& r) {
    std::string text(name(r.code));
    if (const auto* const a = std::get_if<appended>(&r.value))
        text += " " + std::to_string(a->first.value) + "-" + std::to_string(a->last.value) +
                " up to " + std::to_string(a->up_to.value) + (a->repeated ? " repeated" : "");
    if (const auto* const a = std::get_if<acked>(&r.value))
        text += " " + std::to_string(a->messages) + " floor " + std::to_string(a->floor.value);
    if (const auto* const c = std::get_if<counted>(&r.value))
        text += " " + std::to_string(c->messages);
    return text;
}

bool same(reply got, const reply& wanted) {
    if (auto* const opened = std::get_if<source_opened>(&got.value)) opened->generation = {};
    return got == wanted;
}

/// What bounds a database and its topics.
enum class bounds { none, topics, store_refuses, store_drops, age };

/// One database and its model; many sequences are played on it, each with topics of its own.
class playground {
public:
    explicit playground(bounds which) : bounds_(which) {
        if (of_store()) {
            model_.of_store = {.messages_max = 40,
                               .bytes_max = 6'000,
                               .when_full = which == bounds::store_drops ? full_policy::drop_oldest
                                                                         : full_policy::refuse};
            chosen_.messages_max = model_.of_store.messages_max;
            chosen_.quota_bytes = model_.of_store.bytes_max;
            chosen_.when_full = model_.of_store.when_full;
        }
        if (which == bounds::age)
            chosen_.age_max = model_.of_store.age_max = std::chrono::milliseconds(300);
        model_.exact_times = needs_time();
        open();
    }

    std::optional<std::string> play(std::uint64_t seed) {
        dice random(~seed);
        workload work(seed, std::to_string(++played_) + ".", random.chance(10) ? 9'000 : 40,
                      {.limited_topics = bounds_ == bounds::topics,
                       .aged_topics = bounds_ == bounds::age,
                       .one_command = of_store()});
        std::vector<reply> expected;
        const std::uint64_t few = random.between(3, 12);
        for (std::uint64_t commits = needs_time() ? 3 * few : few; commits > 0; --commits) {
            now_ += std::chrono::milliseconds(random.below(50) + 1);
            if (!needs_time()) now_ -= std::chrono::milliseconds(20);
            model_.begin_commit(now_);
            if (bounds_ == bounds::age) look_after_all();
            const auto commands = work.next_commit(model_, expected);
            db_->commit(commands, now_, replies_);
            for (std::size_t i = 0; i < commands.size(); ++i)
                if (!same(replies_[i], expected[i]))
                    return "command " + std::to_string(commands[i].index()) + " was answered " +
                           text_of(replies_[i]) + ", not " + text_of(expected[i]);
            if (random.chance(4)) open();
        }
        if (auto found = difference(*db_, model_)) return found;
        return bounds_ == bounds::age || random.chance(50) ? forget() : std::nullopt;
    }

    std::optional<std::string> verified() {
        db_.reset();
        const verify_report report = verify(directory_ / "db");
        if (report.sound()) return std::nullopt;
        return "verify: " + report.findings.front().what;
    }

private:
    void open() {
        db_.reset();
        db_ = std::make_unique<database>(directory_ / "db", chosen_);
    }
    bool of_store() const {
        return bounds_ == bounds::store_refuses || bounds_ == bounds::store_drops;
    }
    /// The oldest of a store, and what is too old, are told by the time alone.
    bool needs_time() const { return of_store() || bounds_ == bounds::age; }

    /// A commit with commands looks after the topics that it changed, and others in turn; one
    /// without after more than there are here.
    void look_after_all() {
        while (db_->commit({}, now_, replies_)) {
        }
        model_.end_commit();
    }

    /// Deletes all topics, so that comparisons stay short and deletion is played too.
    std::optional<std::string> forget() {
        std::vector<command> all;
        for (const auto& [number, t] : model_.topics) all.emplace_back(delete_topic{{number}});
        for (const command& one : all) (void)model_.apply(one);
        model_.end_commit();
        db_->commit(all, now_, replies_);
        return difference(*db_, model_);
    }

    temp_directory directory_;
    const bounds bounds_;
    options chosen_ = small_options();
    std::unique_ptr<database> db_;
    model model_;
    std::vector<reply> replies_;
    wall_time now_ = at_ms(1'000'000);
    std::uint64_t played_ = 0;
};

TEST(Database, AnswersAndHoldsWhatItsModelDoes) {
    std::unique_ptr<playground> ground;
    std::uint64_t played = 0;
    expect_no_failure(10'000, [&](std::uint64_t seed) -> std::optional<std::string> {
        if (played++ % 100 == 0) {
            if (ground)
                if (auto found = ground->verified()) return found;
            // Half of them without limits.
            constexpr std::array all{bounds::none, bounds::topics,     bounds::none,
                                     bounds::age,  bounds::none,       bounds::store_refuses,
                                     bounds::none, bounds::store_drops};
            ground = std::make_unique<playground>(all[played / 100 % all.size()]);
        }
        return ground->play(seed);
    });
    EXPECT_EQ(ground->verified(), std::nullopt) << "the last of them";
}

}  // namespace
}  // namespace cairn::test
