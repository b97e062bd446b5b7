#pragma once

#include "service_parts.hpp"

#include <cairn/runtime/received_batch.hpp>
#include <cairn/store/commands.hpp>

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

namespace cairn::daemon {

/// Takes what publishers append, and confirms what is durable.
///
/// A batch goes to the committer without being looked into or copied; whether it follows, repeats
/// or contradicts what is stored is judged there, in order.
///
/// Owns:    the sources that are open on links.
/// Threads: loop.
/// Limits:  topics_per_peer_max sources a link. Batches under way: append_bytes_max in all, and one
///          batch, whatever was granted: what comes beyond is refused, and room is kept for it when
///          its turn comes.
class appending final : public commit_client, public runtime::task {
public:
    explicit appending(service_parts& parts);
    ~appending();

    errc open(runtime::link& from, const wire::open_source& request);
    void append(runtime::link& from, std::unique_ptr<runtime::received_batch> batch);
    errc lost(runtime::link& from, const wire::lost& request);
    void close(runtime::link& from, const wire::close_source& request);
    void link_down(const runtime::link& gone);

    void replied(std::uint32_t token, const store::reply& answer, bool flushed) override;
    void kept(std::uint32_t token) override;
    void taken_back(std::uint32_t token, errc why) override;
    void settled() override;
    void run(time_point now) override;

    void add_stats(store_server_stats& to) const;

private:
    struct source;
    /// A command under way.
    struct flight {
        source* of = nullptr;
        std::uint64_t charge = 0;  // of its credit; 0: OPEN_SOURCE
        std::uint32_t round = 0;
        sequence first;
        sequence written;  // what its early confirm said
    };

    /// What has no credit and waits for it, in the order of its turns.
    using line = std::map<std::pair<std::uint64_t, std::uint64_t>, source*>;
    struct of_one_link {
        std::size_t count = 0;
        std::uint64_t turn = 0;  // of the next one in the line, in bytes
    };
    /// Bytes of room that are kept for sources whose turn came, by when that ends and a number.
    using promises = std::map<std::pair<time_point, std::uint64_t>, std::uint64_t>;

    source* find(const runtime::link& from, wire::channel channel);
    bool admit(source& to, runtime::link& from, std::uint64_t charge, sequence first);
    void submit(source& to, store::command wanted, std::uint64_t charge, sequence first);
    void submit_open(source& to);
    void opened(source& of, const store::reply& answer);
    void landed(const flight& which);
    void note_flushed(source& of, sequence up_to);
    void refuse(source& of, const flight& which, const store::reply& answer);
    static std::string what_is_refused(const source& of, std::string_view why);
    void go_back(source& of, errc why, sequence to);
    void fence(source& of, cairn::epoch newer);
    void end(std::map<channel_key, std::unique_ptr<source>>::iterator which);
    void count_out(const source& gone);
    void mark(source& of);
    void confirm(source& to, sequence up_to, wire::durability level);
    std::uint64_t share() const;
    void grant(source& to);
    void reserve(source& of);
    bool has_room(std::uint64_t bytes) const;
    void stand_in_line(source& of);
    void leave_line(source& of);
    void serve_line();
    void keep_no_room(source& of);
    void drop(source& of, std::uint64_t charge);

    service_parts& parts_;
    std::map<channel_key, std::unique_ptr<source>> sources_;
    std::unordered_map<std::uint64_t, of_one_link> sources_of_;  // links, those that leave included
    // Closed, with commands under way.
    std::unordered_map<const source*, std::unique_ptr<source>> leaving_;
    slots<flight> flights_;
    std::vector<source*> marked_;  // to be told a confirm
    std::uint64_t reserved_ = 0;   // of append_bytes_max
    std::uint64_t under_way_ = 0;  // bytes, to the disk
    line line_;
    std::uint64_t turn_ = 0;  // that was served last
    std::uint64_t stood_in_line_ = 0;
    promises promises_;
    std::uint64_t promises_made_ = 0;
    std::uint64_t promised_ = 0;  // bytes of them
    std::uint64_t appends_ = 0;
    std::uint64_t bytes_ = 0;
    std::uint64_t refused_ = 0;
    std::uint64_t confirms_ = 0;
};

}  // namespace cairn::daemon
