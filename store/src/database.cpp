#include "database_impl.hpp"

#include "bounds.hpp"
#include "command_bytes.hpp"
#include "deaths.hpp"
#include "sabotage.hpp"
#include "structure.hpp"
#include "system_now.hpp"
#include "upgrade.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <numeric>
#include <utility>

namespace cairn::store {

namespace fs = std::filesystem;

namespace {

using mode = lmdb::transaction::mode;

constexpr std::uint64_t reserve_bytes_min = std::uint64_t{64} << 20;
constexpr std::chrono::seconds readers_check_interval{30};

// What readers may make resident before it is let go of.
constexpr std::uint64_t released_together_bytes = std::uint64_t{64} << 20;

// Topics that are looked at in turn, beside those that a commit touched.
constexpr int patrol_busy = 1;
constexpr int patrol_idle = 64;

// Commands that failed halfway, each of which lets the transaction begin again; then topics that
// have such commands.
constexpr std::size_t begun_again_max = 16;

// Deaths in a row after which the trees are walked whatever their size, or damage could end one
// process after the other; and commits after which a death is the first one again.
constexpr unsigned deaths_max = 2;
constexpr std::uint64_t commits_of_a_life = 1'000;

std::uint64_t reserve_of(std::uint64_t map_bytes) {
    return std::max(map_bytes / 10, reserve_bytes_min);
}

bool is_append(const command& c) { return std::holds_alternative<append>(c); }

bool takes_room(const command& c) {
    return is_append(c) || std::holds_alternative<declare_lost>(c) ||
           std::holds_alternative<dead_letter>(c) || std::holds_alternative<redrive>(c);
}

// The topic and group that a command is about; 0 where it has none, or names it.
std::pair<topic_id, group_id> target_of(const command& c) {
    return std::visit(
        [](const auto& w) {
            std::pair<topic_id, group_id> target;
            if constexpr (requires { topic_id{w.topic}; }) target.first = w.topic;
            if constexpr (requires { w.group; }) target.second = w.group;
            return target;
        },
        c);
}

// Appends that stand next to each other are applied topic by topic; README.md says who can tell.
// The pages of a topic lie side by side then, and what a trim frees is a run of pages that later
// commits write at once, not every other page.
std::vector<std::size_t> apply_order(std::span<const command> commands) {
    std::vector<std::size_t> order(commands.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    const auto topic_of = [&](std::size_t i) { return std::get<append>(commands[i]).topic; };
    for (auto at = order.begin(); at != order.end();) {
        const auto is_one = [&](std::size_t i) { return is_append(commands[i]); };
        const auto run = std::find_if(at, order.end(), is_one);
        at = std::find_if_not(run, order.end(), is_one);
        const auto by_topic = [&](std::size_t a, std::size_t b) {
            return topic_of(a) < topic_of(b);
        };
        if (!std::is_sorted(run, at, by_topic)) std::stable_sort(run, at, by_topic);
    }
    return order;
}

bool is_shortage(int code) {
    return lmdb::is_lack_of_room(code) || code == MDB_MAP_FULL || code == MDB_TXN_FULL;
}

}  // namespace

void check_options(const fs::path& directory, const options& chosen) {
    const auto require = [&](bool met, std::string_view what) {
        if (!met)
            throw error(errc::invalid_argument,
                        "open " + directory.string() + ": " + std::string(what));
    };
    require(!directory.empty(), "the path is empty; name a directory");
    require(chosen.map_bytes >= 2 * reserve_bytes_min, "map_bytes is too small for a database");
    require(chosen.readers_max >= 1 && chosen.readers_max <= 4'096,
            "readers_max must be 1 to 4,096");
    require(chosen.sources_per_topic_max >= 1, "sources_per_topic_max must be 1 or more");
    require(chosen.groups_per_topic_max >= 1, "groups_per_topic_max must be 1 or more");
}

database::impl::impl(const fs::path& where, const options& wanted)
    : directory(where), chosen(wanted), reserve(where / ballast_name, wanted.ballast_bytes) {
    check_options(where, chosen);
    lock = lock_directory("open", directory, chosen.allow_network_filesystem, true);
    try {
        const bool missing = !fs::exists(directory / data_name);
        if (const fs::path half = directory / unfinished_copy_name; missing && fs::exists(half))
            throw error(errc::invalid_argument,
                        "open " + directory.string() +
                            ": a backup to it was interrupted, and no copy is there; back up to it "
                            "again, or remove " +
                            half.string() + " to begin with nothing");
        clear_aside(directory);
        if (missing) {
            create_data(directory, system_now());
            opening.created = true;
        }
        // Who died in a commit has left pages that may be in memory alone: nobody is told of them.
        const last_end before = how_it_ended(lock);
        const bool closed = before == last_end::closed;
        if (!opening.created && !closed) settle(directory / data_name);
        deaths = before == last_end::open ? deaths_before(lock) + 1 : 0;
        check_trees();
        note_deaths(lock, deaths);
        env = std::make_unique<lmdb::environment>(
            directory,
            lmdb::settings{chosen.map_bytes, static_cast<unsigned>(chosen.readers_max) + 2});
        mark_open(lock, directory);
        data = unique_fd(::open((directory / data_name).c_str(), O_RDONLY | O_CLOEXEC));
        if (data.get() < 0) throw_errno("open", directory / data_name, errno);
        opening.stale_readers = env->clear_stale_readers();
        {
            lmdb::transaction txn(*env, mode::read);
            dbs = open_databases(txn, false);
            txn.commit();  // keeps the handles
        }
        const auto meta_of = [&] {
            const lmdb::transaction txn(*env, mode::read);
            return read_meta(txn, dbs, directory);
        };
        meta_record meta;
        try {
            meta = meta_of();
        } catch (const error& refused) {
            // Left as it was, for the cairn that can open it.
            if (closed && refused.code() == errc::store_newer) mark_closed(lock);
            throw;
        }
        if (upgrade(*env, dbs, known_steps(), format_version)) meta = meta_of();
        const lmdb::transaction txn(*env, mode::read);
        const counters_record counters = read_counters(txn, dbs);
        require_whole_meta(counters, txn.id());
        opening.generation = meta.generation;
        opening.format = meta.format;
        opening.clean = closed || (before == last_end::unknown && counters.clean);
        opening.last_commit = last_commit = counters.commit;
        counts.bytes = counters.bytes;
        counts.messages = counters.messages;
        see_file_size();
        had_name = env->file().has_name;
    } catch (const lmdb::failure& what) {
        throw_failure("open", directory, what);
    } catch (const damaged& what) {
        throw error(errc::store_damaged, "open " + directory.string() + ": " + what.what);
    } catch (const fs::filesystem_error& what) {
        throw_errno("open", directory, what.code().value());
    }
    const std::uint64_t map = env->map_bytes();
    const std::uint64_t most = map - std::min(map / 2, reserve_of(map));
    limits.bytes_max = chosen.quota_bytes == 0 ? most : std::min(chosen.quota_bytes, most);
    limits.messages_max = chosen.messages_max;
    limits.age_max = chosen.age_max;
    limits.until_acked = chosen.until_acked;
    limits.when_full = chosen.when_full;
    limits.topics_max = chosen.topics_max;
    limits.sources_per_topic_max = chosen.sources_per_topic_max;
    limits.groups_per_topic_max = chosen.groups_per_topic_max;
    if (!reserve.take()) counts.disk_full = disk_full = true;
}

void database::impl::check_trees() const {
    const fs::path file = directory / data_name;
    const bool after_crash =
        chosen.on_open == check::after_crash && !opening.created && !was_closed(lock) &&
        (deaths >= deaths_max || fs::file_size(file) <= known_bounds().walked_bytes_max);
    if (chosen.on_open != check::structure && !after_crash && !ends_early(file)) return;
    const structure_report found = check_structure(file);
    if (!found.problems.empty())
        throw error(errc::store_damaged, "open " + directory.string() + ": " +
                                             found.problems.front() + "; restore a backup");
}

database::impl::file_fate database::impl::fate_of_file() const noexcept {
    const std::uint64_t known = file_bytes;
    try {
        const lmdb::file_state found = env->file();
        if (found.bytes < known) return file_fate::cut_short;
        return had_name && !found.has_name ? file_fate::removed : file_fate::whole;
    } catch (const lmdb::failure&) {
        return file_fate::cut_short;
    }
}

void database::impl::fail() noexcept {
    counts.file_removed = fate_of_file() == file_fate::removed;
    counts.failed = true;
}

// A descriptor is told once, by its next sync, of each write that failed on its way to the disk.
// LMDB calls a write that the disk's end cut short by the same name, and none has failed then.
bool database::impl::is_writable() const noexcept { return ::fdatasync(data.get()) == 0; }

// When the disk is full, LMDB's sync is told so of pages that nothing refers to. Those descriptors
// that did not ask are told later, and take it for something else: of LMDB's two the one for meta
// pages, after which LMDB writes no more, and ours, which answers for the next write that is cut
// short. LMDB's first: they leave nothing to be written for the last.
void database::impl::hear_of_failed_writes() const {
    int code = env->told_of_failed_writes();
    if (code == 0 && !is_writable() && !lmdb::is_lack_of_room(errno)) code = errno;
    lmdb::expect_success("fdatasync", code);
}

void database::impl::see_file_size() noexcept {
    try {
        file_bytes = env->file().bytes;
        used_bytes = env->pages() * env->page_bytes();
    } catch (const lmdb::failure&) {
        // The next fate_of_file() fails as well, and says so.
    }
}

bool database::impl::map_is_short() const {
    const std::uint64_t page = env->page_bytes();
    const std::uint64_t pages = env->map_bytes() / page;
    const std::uint64_t used = env->pages();
    const std::uint64_t reserved = reserve_of(env->map_bytes()) / page;
    if (used + reserved <= pages) return false;
    return pages - used + free_bytes() / page < reserved;
}

std::uint64_t database::impl::free_bytes() const {
    // LMDB's list of free pages: database 0, a number and so many page numbers in each value.
    const lmdb::transaction txn(*env, mode::read);
    lmdb::cursor list(txn, 0);
    std::uint64_t free = 0;
    for (auto item = list.first(); item; item = list.next())
        free += item->value.size() / sizeof(std::size_t) - 1;
    return free * env->page_bytes();
}

void database::impl::has_read(std::size_t bytes) const noexcept {
    const std::uint64_t sum = unreleased_bytes.fetch_add(bytes, std::memory_order_relaxed) + bytes;
    if (sum < released_together_bytes) return;
    unreleased_bytes.store(0, std::memory_order_relaxed);
    env->release_pages();
}

database::impl::admission database::impl::admit(std::span<const command> commands) {
    admission let;
    if (disk_full && reserve.take()) counts.disk_full = disk_full = false;
    if (disk_full) {
        // The disk gets nothing back from trims, but the file has room inside then. What the
        // ballast was for stays free in it.
        const std::uint64_t free = free_bytes();
        if (free < 2 * std::uint64_t{reserve.size()}) {
            let.refuse = errc::disk_full;
        } else {
            let.bytes_max = std::min<std::size_t>(commit_bytes_max, free - reserve.size());
            let.beyond = errc::disk_full;
        }
    }
    if (let.refuse == errc::ok && std::any_of(commands.begin(), commands.end(), takes_room) &&
        map_is_short())
        let.refuse = errc::store_full;
    return let;
}

void database::impl::maintain(changes& c, work_budget& budget, bool idle, upkeep& left,
                              bool& more) {
    std::set<topic_id>& due = left.due;
    due.insert(c.due().begin(), c.due().end());
    topic_id at = left.patrol;
    for (int i = 0; i < (idle ? patrol_idle : patrol_busy); ++i) {
        at = topic_after(c, at);
        if (at == topic_id{}) break;
        due.insert(at);
        if (at == left.patrol) break;
    }
    left.patrol = at;
    for (auto one = due.begin(); one != due.end();) {
        if (budget.spent()) {
            more = true;
            break;
        }
        bool unfinished = false;
        try {
            unfinished = look_after(c, limits, *one, budget);
        } catch (const damaged&) {
            // Its own readers and verify() report it; others go on.
        }
        one = unfinished ? std::next(one) : due.erase(one);
        more = more || unfinished;
    }
    try {
        more = look_after_store(c, limits, budget) || more;
    } catch (const damaged&) {
    }
}

// A transaction that is begun again may lack what was in front of a command, which would be stored
// elsewhere than its early confirm said: it is taken back.
void database::impl::tell_early(std::span<const std::size_t> applied,
                                const std::vector<reply>& replies, const early& written,
                                admission& let) {
    const std::size_t failed = let.failed.size();
    for (const std::size_t i : applied) {
        const auto told = let.told.find(i);
        if (told != let.told.end() && replies[i].ok() && replies[i] != told->second)
            let.failed.emplace(i, errc::store_full);
    }
    if (let.failed.size() != failed) throw half_applied{errc::store_full};
    for (const std::size_t i : applied) {
        const auto* const one = std::get_if<appended>(&replies[i].value);
        const bool early_here = one != nullptr && one->level == durability::written;
        if (replies[i].ok() && (early_here || sabotaged("early-confirm")) &&
            let.told.emplace(i, replies[i]).second)
            written(i, replies[i]);
    }
}

database::impl::ending database::impl::attempt(std::span<const command> commands, wall_time now,
                                               std::vector<reply>& replies, const early& written,
                                               admission& let, progress& done, bool& more) {
    lmdb::transaction txn(*env, mode::write);
    changes c(txn, dbs, read_counters(txn, dbs), known);
    if (c.counters().commit != last_commit) throw damaged{"a commit of somebody else"};
    c.counters().time = std::max(c.counters().time, now);
    // What is dropped keeps pace with what comes: an entry of the log, and the pieces of its body.
    work_budget budget;
    upkeep left = kept_up;  // a transaction that fails leaves all of it due
    budget.search = {left.search.oldest, left.search.compared, false};
    const std::size_t count = std::min(let.commands_max, done.order.size() - done.applied);
    const std::span<const std::size_t> order = std::span(done.order).subspan(done.applied, count);
    std::size_t bytes_offered = 0;
    for (const std::size_t i : order) bytes_offered += body_bytes(commands[i]);
    budget.pieces += 2 * (order.size() + std::min(bytes_offered, let.bytes_max) / piece_bytes_max);
    applier apply(c, limits, opening.generation, budget);
    apply.refuse_appends(let.refuse);
    apply.bound(let.bytes_max);
    std::size_t bytes_taken = done.bytes;
    std::size_t applied = 0;
    for (; applied < order.size(); ++applied) {
        const std::size_t i = order[applied];
        const std::size_t size = body_bytes(commands[i]);
        if (bytes_taken + size > let.bytes_max) {
            replies[i] = {let.beyond, {}};
            continue;
        }
        if (const auto known = let.failed.find(i); known != let.failed.end()) {
            replies[i] = {known->second, {}};
            continue;
        }
        if (const auto known = let.spoilt.find(target_of(commands[i])); known != let.spoilt.end()) {
            replies[i] = {known->second, {}};
            continue;
        }
        try {
            replies[i] = apply.apply(commands[i]);
            bytes_taken += size;
        } catch (const transaction_full&) {
            break;
        } catch (const half_applied& what) {
            // Where much fails so, the transaction is not begun again for each command.
            if (let.failed.size() >= begun_again_max)
                let.spoilt.emplace(target_of(commands[i]), what.why);
            if (let.spoilt.size() >= begun_again_max && what.why != errc::store_damaged)
                let.refuse = what.why;
            let.failed.emplace(i, what.why);
            throw;
        }
    }
    if (let.maintains) maintain(c, budget, commands.empty(), left, more);
    const auto go_on = [&] {
        c.settle();
        left.search = budget.search;
        kept_up = std::move(left);
        done.applied += applied;
        done.bytes = bytes_taken;
        counts.repeats += apply.repeats();
    };
    if (!c.any()) return go_on(), ending::unchanged;
    c.counters().commit = txn.id();
    c.counters().clean = false;
    c.flush();
    if (written) tell_early(order.first(applied), replies, written, let);
    const counters_record after = c.counters();
    txn.commit();
    go_on();
    last_commit = after.commit;
    see_file_size();
    counts.bytes = after.bytes;
    counts.messages = after.messages;
    counts.trimmed += budget.trimmed_batches;
    return ending::committed;
}

// LMDB lets a transaction change so many pages. What one of them cannot hold goes into several,
// down to a command each; one that needs more alone is refused, and no other. False: nothing helps.
bool database::impl::lighten(admission& let, const progress& done) {
    const std::size_t tried = std::min(let.commands_max, done.order.size() - done.applied);
    if (tried > 1)
        let.commands_max = tried / 2;
    else if (let.maintains)
        let.maintains = false;
    else
        return tried == 1 && let.failed.emplace(done.order[done.applied], errc::store_full).second;
    return true;
}

void database::impl::count_refused(const std::vector<reply>& replies) noexcept {
    counts.refused += static_cast<std::uint64_t>(
        std::count_if(replies.begin(), replies.end(), [](const reply& r) { return !r.ok(); }));
}

bool database::impl::commit(std::span<const command> commands, wall_time now,
                            std::vector<reply>& replies, const early& written) {
    replies.assign(commands.size(), reply{});
    bool more = false;
    progress done{apply_order(commands)};
    const auto answer_rest = [&](errc code) {
        for (std::size_t at = done.applied; at < done.order.size(); ++at)
            replies[done.order[at]] = {code, {}};
        count_refused(replies);
        return false;
    };
    if (forked()) return answer_rest(errc::forked);
    if (counts.failed || !open) return answer_rest(open ? errc::store_failed : errc::closed);
    if (now - readers_checked >= readers_check_interval || now < readers_checked) {
        readers_checked = now;
        try {
            env->clear_stale_readers();
        } catch (const lmdb::failure&) {
            // They pin what they pin until the next time.
        }
        env->release_pages();  // the writer's own walks down the trees
    }
    try {
        if (fate_of_file() != file_fate::whole) throw damaged{"a file that was cut or removed"};
        admission let = admit(commands);
        for (;;) {
            try {
                more = false;
                if (attempt(commands, now, replies, written, let, done, more) ==
                    ending::committed) {
                    changed_since_open = true;
                    if (++counts.commits >= commits_of_a_life && deaths > 0)
                        note_deaths(lock, deaths = 0);
                }
                if (done.applied < commands.size()) continue;
                count_refused(replies);
                return more;
            } catch (const half_applied&) {
                // From the begin, without that command.
            } catch (const lmdb::failure& what) {
                // Whatever such a transaction wrote is in pages that nothing refers to, so a full
                // disk leaves no doubt about what was confirmed before. Any other failure does.
                if (what.code() == MDB_TXN_FULL && lighten(let, done)) continue;
                const bool cut_off = what.code() == EIO && reserve.is_needed() && is_writable();
                const int code = cut_off ? ENOSPC : what.code();
                if (!is_shortage(code)) throw;
                const bool of_disk = lmdb::is_lack_of_room(code);
                const errc why = of_disk ? errc::disk_full : errc::store_full;
                if (of_disk) {
                    hear_of_failed_writes();
                    counts.disk_full = disk_full = true;
                    reserve.give_back();
                }
                // First without what takes room, then without what is due besides: that may need
                // more pages than the acks that ask for none.
                if (!let.maintains) return answer_rest(why);
                if (let.refuse != errc::ok) let.maintains = false;
                let.refuse = why;
            }
        }
    } catch (const lmdb::failure&) {
        fail();
        return answer_rest(errc::store_failed);
    } catch (const damaged&) {
        fail();  // nothing can be numbered any more
        return answer_rest(errc::store_failed);
    }
}

void database::impl::close() {
    if (!open) return;
    open = false;
    if (forked()) {
        (void)env.release();  // to close it would take the parent's reader slots away
        return;
    }
    if (!counts.failed && fate_of_file() != file_fate::whole) fail();
    bool clean = !counts.failed;
    if (clean && changed_since_open) {
        try {
            lmdb::transaction txn(*env, mode::write);
            changes c(txn, dbs, read_counters(txn, dbs), known);
            c.counters().commit = txn.id();
            c.counters().clean = true;
            c.flush();
            txn.commit();
        } catch (const lmdb::failure&) {
            clean = false;  // it will be opened as after a crash, which loses nothing
        } catch (const damaged&) {
            clean = false;
        }
    }
    env.reset();
    if (clean) mark_closed(lock);
    lock = unique_fd();
}

database::database(const fs::path& directory, const options& chosen)
    : impl_(std::make_unique<impl>(directory, chosen)) {}

database::~database() { impl_->close(); }

const opening& database::opened() const noexcept { return impl_->opening; }

const fs::path& database::directory() const noexcept { return impl_->directory; }

bool database::commit(std::span<const command> commands, wall_time now, std::vector<reply>& replies,
                      const early& written) {
    return impl_->commit(commands, now, replies, written);
}

void database::close() { impl_->close(); }

database_stats database::stats() const noexcept {
    const auto& c = impl_->counts;
    database_stats s;
    s.commits = c.commits;
    s.refused = c.refused;
    s.stored_bytes = c.bytes;
    s.stored_messages = c.messages;
    s.quota_bytes = impl_->limits.bytes_max;
    s.trimmed_batches = c.trimmed;
    s.repeats = c.repeats;
    s.disk_full = c.disk_full;
    s.failed = c.failed;
    s.file_removed = c.file_removed;
    s.file_bytes = impl_->used_bytes;
    return s;
}

}  // namespace cairn::store
