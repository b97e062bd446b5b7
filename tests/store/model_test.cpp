#include "store/support/model.hpp"
#include "store/support/made.hpp"
#include "store/support/workload.hpp"
#include "support/temp_directory.hpp"

#include <cairn/store/database.hpp>
#include <cairn/store/maintenance.hpp>

#include <gtest/gtest.h>

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

/// One database and its model; many sequences are played on it, each with topics of its own.
class playground {
public:
    playground() { open(); }

    std::optional<std::string> play(std::uint64_t seed) {
        dice random(~seed);
        workload work(seed, std::to_string(++played_) + ".", random.chance(10) ? 9'000 : 40);
        std::vector<reply> expected;
        for (std::uint64_t commits = random.between(3, 12); commits > 0; --commits) {
            const auto commands = work.next_commit(model_, expected);
            now_ += std::chrono::milliseconds(random.below(50)) - std::chrono::milliseconds(20);
            db_->commit(commands, now_, replies_);
            for (std::size_t i = 0; i < commands.size(); ++i)
                if (!same(replies_[i], expected[i]))
                    return "command " + std::to_string(commands[i].index()) + " was answered " +
                           text_of(replies_[i]) + ", not " + text_of(expected[i]);
            if (random.chance(4)) open();
        }
        if (auto found = difference(*db_, model_)) return found;
        return random.chance(50) ? forget() : std::nullopt;
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
        db_ = std::make_unique<database>(directory_ / "db", small_options());
    }

    /// Deletes all topics, so that comparisons stay short and deletion is played too.
    std::optional<std::string> forget() {
        std::vector<command> all;
        for (const auto& [number, t] : model_.topics) all.emplace_back(delete_topic{{number}});
        for (const command& one : all) (void)model_.apply(one);
        db_->commit(all, now_, replies_);
        return difference(*db_, model_);
    }

    temp_directory directory_;
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
            ground = std::make_unique<playground>();
        }
        return ground->play(seed);
    });
}

}  // namespace
}  // namespace cairn::test
