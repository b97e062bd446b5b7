#pragma once

#include "durable_parties.hpp"
#include "durable_simulation.hpp"
#include "random.hpp"

#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

namespace cairn::test {

/// One schedule of the simulation: who lives, what time it is, and what went wrong.
class durable_world {
public:
    durable_world(std::uint64_t seed, planted bug, sights& seen);
    std::optional<std::string> run();

private:
    template <typename... Parts>
    void fail(const Parts&... parts) {
        if (!failure_.empty()) return;
        std::ostringstream text;
        (text << ... << parts);
        failure_ = text.str();
    }
    std::string status() const;
    time_point soon() { return now_ + std::chrono::milliseconds(random_.below(delay_ms_max_)); }
    bool connects() { return calm_ || random_.chance(connect_percent_); }
    bool feed_connects() { return calm_ || random_.chance(feed_connect_percent_); }

    // durable_simulation.cpp
    void disturb();
    void turn();
    bool settled() const;
    bool settled(const source_side& of) const;
    void check_end();

    // durable_publishers.cpp
    void start_run(source_side& of);
    void stop_run(source_side& of, std::size_t which);
    void cut_feed(process& p);
    void publish(process& p);
    void turn_run(process& p);
    void store_said(process& p, const frame& f);
    void feed_store(process& p);
    void end_debt(process& p);
    void fence(process& p) { p.fenced = true; }
    void serve(process& p, member& m, std::size_t which);
    void tell_head(process& p, stream_side& s, std::size_t which);
    std::size_t twin_of(const process& p) const {
        return sources_[p.source].runs[0].get() == &p ? 0 : 1;
    }

    // durable_store.cpp
    void kill_store();
    void cut_store(member& m);
    void turn_store();
    void publisher_said(process& p, const frame& f);
    void sync();
    void confirm(process& p, sequence up_to);
    void reader_said(member& m, const frame& f);
    void begin_for(member& m, std::uint32_t source, const point& from);
    void head_from_store(member& m, std::uint32_t source, bool answers = false);
    void read_for(member& m, std::uint32_t source);
    void next_run(member& m, std::uint32_t source, cairn::epoch run);
    point group_point(std::uint32_t source) const;

    // durable_readers.cpp
    void start_member(member& m);
    void stand_by(member& m);
    void attach(member& m);
    void begin_at(member& m, std::uint32_t source, const point& from, bool jumps);
    void turn_member(member& m);
    void connect_publishers(member& m);
    void subscribe(member& m, std::uint32_t source, std::size_t which);
    void leave(stream_side& s);
    void cut_publisher(member& m, std::uint32_t source, std::size_t which);
    void read_store(member& m);
    void ask(member& m, std::uint32_t source);
    void publisher_sent(member& m, std::uint32_t source, std::size_t which, const frame& f);
    void store_sent(member& m, const frame& f);
    void tell(member& m, std::uint32_t source, const splice_verdict& v, sequence_range batch);
    void note(stream_side& s, const splice_verdict& v);
    void restarted(member& m, std::uint32_t source, const verdict::restarted& what);
    void told_lost(member& m, std::uint32_t source, const verdict::lost_range& what, errc cause);
    void ack_some(member& m, std::uint32_t source);
    void pass_ack(member& m, std::uint32_t source, cairn::epoch run, sequence_range range);
    void note_stored(member& m, std::uint32_t source, cairn::epoch run, sequence last);
    bool wants_store(const member& m) const;
    static point standing(const stream_side& s);

    dice random_;
    planted bug_;
    std::size_t bytes_max_ = 0;
    std::uint64_t delay_ms_max_ = 1;
    std::uint64_t step_ms_max_ = 1;
    std::uint64_t connect_percent_ = 40;
    std::uint64_t feed_connect_percent_ = 40;
    std::uint64_t twin_percent_ = 0;
    bool may_wipe_ = false;
    bool patient_ = true;  // readers wait for the store as long as it takes
    bool calm_ = false;
    time_point now_ = at(0s);
    std::string failure_;

    std::vector<source_side> sources_;

    bool store_up_ = true;
    time_point synced_at_ = at(0s);
    int generation_ = 1;
    bool wiped_ = false;

    std::vector<std::unique_ptr<member>> members_;
    const member* active_ = nullptr;  // of the group
    marks_of_all done_;               // by the group, synced
    marks_of_all done_written_;       // taken, and lost in a crash
    marks_of_all given_;              // to members, or told to them to be lost
    sights& seen_;
};

}  // namespace cairn::test
