// Commits that fall between two reads of one replay. LMDB's call that begins a read comes by here,
// so that a test commits exactly there.
#include "store/support/fixture.hpp"

#include "../../daemon/src/replay.hpp"

#include <dlfcn.h>
#include <lmdb.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <functional>
#include <utility>

namespace {

/// Runs before each read while it is set; not when it reads itself.
std::function<void()>& before_read() {
    static std::function<void()> one;
    return one;
}

}  // namespace

extern "C" int mdb_txn_renew(MDB_txn* txn) {
    static const auto real =
        reinterpret_cast<decltype(&mdb_txn_renew)>(::dlsym(RTLD_NEXT, "mdb_txn_renew"));
    if (auto run = std::exchange(before_read(), {})) {
        run();
        before_read() = std::move(run);
    }
    return real(txn);
}

namespace cairn::test {
namespace {

using namespace daemon;

/// A reader of all that a topic holds, and three things that are committed one after the other
/// while it reads.
class ReplayBesideCommits : public Database {
protected:
    using change = std::function<void()>;

    void SetUp() override { begin(); }

    /// A store with 7:1-2 and 7:3-4.
    void begin() {
        db_.reset();
        std::filesystem::remove_all(directory_ / "db");
        reopen();
        topic_ = opened("quakes", "usgs", 7).topic;
        store("usgs", 7, 1);
        store("usgs", 7, 3);
        told_.clear();
    }
    /// Two messages.
    void store(const std::string& source, std::uint64_t run, std::uint64_t first) {
        const store::source_opened s = opened("quakes", source, run);
        ASSERT_TRUE(append_to(s, first, {"a", "b"}, run).ok());
    }
    void trim_to(std::uint64_t last) { ASSERT_TRUE(one(store::trim{topic_, {last}}).ok()); }

    void note(const replay_cursor& cursor, const replay_page& page) {
        for (const replay_step& s : page.steps) {
            if (s.what == replay_step::kind::head) continue;
            for (sequence at = s.range.first; at <= s.range.last; at = at + 1)
                told_.push_back(cursor.streams[s.stream].name + " " +
                                std::to_string(s.epoch.value) + ":" + std::to_string(at.value) +
                                (s.what == replay_step::kind::gone ? " gone" : ""));
        }
    }
    /// Other readers are told when it grows: what was taken for stored too early hides that.
    void expect_no_more_known_than_stored(store::reader& reader, const replay_cursor& cursor) {
        const auto sources = reader.sources(topic_);
        ASSERT_TRUE(sources.has_value());
        for (const store::source_info& s : *sources) {
            const auto at = cursor.places.find(s.id.value);
            if (at == cursor.places.end()) continue;
            const replay_stream& known = cursor.streams[at->second];
            EXPECT_LE(std::pair(known.newest, known.newest_last), std::pair(s.epoch, s.last));
        }
    }
    /// Reads to the end, with changes[i] before read at[i]. How many of them were made.
    std::size_t play(const std::array<std::size_t, 3>& at, const std::array<change, 3>& changes) {
        begin();
        store::reader reader(*db_);
        std::size_t reads = 0;
        std::size_t made = 0;
        before_read() = [&] {
            for (; made != changes.size() && at[made] == reads; ++made) changes[made]();
            ++reads;
        };
        const auto topic = reader.topic(topic_);
        EXPECT_TRUE(topic.has_value());
        replay_page page;
        auto cursor =
            open_replay(reader, *topic, replay_points({{"quakes", "usgs", epoch{7}, sequence{1}}}),
                        replay_start::whole, page);
        EXPECT_EQ(cursor.error(), errc::ok);
        note(*cursor, page);
        constexpr int pages_max = 100;
        for (int pages = 0;; ++pages) {
            EXPECT_LT(pages, pages_max) << "it does not come to an end";
            page = {};
            EXPECT_EQ(read_replay(reader, *cursor, 1 << 20, 1 << 20, true, page), errc::ok);
            note(*cursor, page);
            const auto change_before = std::exchange(before_read(), {});
            expect_no_more_known_than_stored(reader, *cursor);
            const bool all = page.end && cursor->next == reader.topic(topic_)->end;
            if (all || pages == pages_max) break;
            before_read() = change_before;
        }
        before_read() = {};
        return made;
    }
    /// Each order in which three changes can fall between its reads: all that was stored is told
    /// once, in order, and nothing as gone but what was trimmed.
    void play_all(const std::array<change, 3>& changes, const strings& all,
                  const strings& trimmed) {
        std::size_t plays = 0;
        const auto holds = [&](const std::array<std::size_t, 3>& at) {
            const std::size_t made = play(at, changes);
            if (made != changes.size()) return made;
            ++plays;
            strings positions;
            for (const std::string& t : told_) {
                const bool gone = t.ends_with(" gone");
                positions.push_back(gone ? t.substr(0, t.size() - 5) : t);
                EXPECT_TRUE(!gone || std::count(trimmed.begin(), trimmed.end(), positions.back()))
                    << t << " before reads " << at[0] << ", " << at[1] << ", " << at[2];
            }
            EXPECT_EQ(positions, all) << "before reads " << at[0] << ", " << at[1] << ", " << at[2];
            return made;
        };
        for (std::size_t a = 0;; ++a) {
            std::size_t made = 3;
            for (std::size_t b = a; made > 1; ++b) {
                made = 3;
                for (std::size_t c = b; made == 3; ++c) made = holds({a, b, c});
                if (HasFailure()) return;
            }
            if (made == 0) break;
        }
        EXPECT_GT(plays, 50U);
    }

    store::topic_id topic_;
    strings told_;
};

TEST_F(ReplayBesideCommits, TellsNothingAsGoneThatANewRunStoredMeanwhile) {
    play_all({[&] { trim_to(2); }, [&] { store("usgs", 8, 1); }, [&] { store("usgs", 8, 3); }},
             {"usgs 7:1", "usgs 7:2", "usgs 7:3", "usgs 7:4", "usgs 8:1", "usgs 8:2", "usgs 8:3",
              "usgs 8:4"},
             {"usgs 7:1", "usgs 7:2"});
}

TEST_F(ReplayBesideCommits, TellsNothingAsGoneThatANewSourceStoredMeanwhile) {
    play_all({[&] { trim_to(2); }, [&] { store("emsc", 1, 1); }, [&] { store("emsc", 1, 3); }},
             {"usgs 7:1", "usgs 7:2", "usgs 7:3", "usgs 7:4", "emsc 1:1", "emsc 1:2", "emsc 1:3",
              "emsc 1:4"},
             {"usgs 7:1", "usgs 7:2"});
}

TEST_F(ReplayBesideCommits, TellsAllAsGoneThatWasTrimmedMeanwhile) {
    play_all({[&] { trim_to(2); }, [&] { store("usgs", 7, 5); }, [&] { trim_to(6); }},
             {"usgs 7:1", "usgs 7:2", "usgs 7:3", "usgs 7:4", "usgs 7:5", "usgs 7:6"},
             {"usgs 7:1", "usgs 7:2", "usgs 7:3", "usgs 7:4", "usgs 7:5", "usgs 7:6"});
}

}  // namespace
}  // namespace cairn::test
