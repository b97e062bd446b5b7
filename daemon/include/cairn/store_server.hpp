#pragma once

#include <cairn/access.hpp>
#include <cairn/node_options.hpp>
#include <cairn/stats.hpp>
#include <cairn/store/database.hpp>
#include <cairn/store/options.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace cairn {

struct store_server_options {
    /// Directory of the data; made when its parent exists.
    std::filesystem::path path{};
    /// Name, endpoints, keys and limits of the store's node. Without `bind`: a free port of
    /// tcp://127.0.0.1.
    node_options network{};
    /// Who may do what; none: everybody who may connect, everything. A source's name belongs to the
    /// client key that opened it first.
    std::vector<access_rule> access{};
    /// Quotas, and limits of the whole store.
    store::options storage{};
    /// How a topic is kept that a publisher or a group makes: retention, and when it is confirmed.
    store::topic_config topic_defaults{};
    /// Topics that one client may make by publishing or attaching a group, since the store was
    /// opened: by its key, or, where there are no keys, by its connection. 0: topics are made by
    /// who may manage them alone.
    std::size_t topics_made_per_client_max = 10'000;
    /// Bytes of a publisher's batches that one source may have under way, until they are durable:
    /// 64 KiB or more. Less is granted when many sources share append_bytes_max.
    std::size_t append_window_bytes = std::size_t{16} << 20;
    /// Bytes of batches of all sources together that may wait for the disk; one batch may come on
    /// top. What comes beyond is refused for now (limit_exceeded), and its publisher let in when
    /// there is room: links by turns, and in the order in which they came. Not below
    /// append_window_bytes; 1 TiB at most.
    std::size_t append_bytes_max = std::size_t{256} << 20;
    /// Threads that read history; they leave the processor to whoever appends. 1 to 64.
    std::size_t replay_threads = 2;
    /// Bytes that are read at once for one reader and topic: 64 KiB or more.
    std::size_t replay_page_bytes = std::size_t{1} << 20;
    /// Bytes of history that all readers together may have in memory, read for them and not yet
    /// taken by their nodes; shared evenly, 64 MiB a reader's node at most. So that none stands
    /// still, 192 KiB, or one batch, of each may come on top. Not below replay_page_bytes.
    std::size_t replay_bytes_max = std::size_t{256} << 20;
};

struct store_server_stats {
    node_stats network{};
    store::database_stats storage{};
    std::uint64_t transactions = 0;
    std::uint64_t waiting_bytes = 0;  ///< submitted, and not yet durable; 256 a command
    std::uint64_t sources = 0;        ///< opened now
    std::uint64_t subscriptions = 0;
    std::uint64_t members = 0;  ///< attached to groups now
    std::uint64_t appends = 0;  ///< batches that came
    std::uint64_t append_bytes = 0;
    std::uint64_t appends_refused = 0;
    std::uint64_t confirms = 0;
    std::uint64_t replayed_batches = 0;
    std::uint64_t replayed_bytes = 0;
    std::uint64_t replay_held_bytes = 0;  ///< now, of replay_bytes_max
};

/// How far a store came in closing.
struct [[nodiscard]] store_closing {
    bool closed = false;  ///< in good order: all that it took was committed and answered
    /// Appends, acks and changes that it took and the disk has not: nobody was told that they are
    /// flushed, so their senders still hold them.
    std::uint64_t unconfirmed = 0;
};

/// A store that publishers and readers reach over the network: one more peer, with a log on disk.
/// What it confirms is flushed, unless its topic says otherwise.
///
/// Owns:    its node, the database in `path`, and the threads that commit, that read history, and
///          that close. Those that work are scheduled with SCHED_BATCH, so that peers on the same
///          machine go first, unless the thread that makes it has another policy than SCHED_OTHER.
/// Threads: thread-safe, but close() one at a time.
/// Fails:   construction throws error: what opening the database throws (store_in_use, store_newer,
///          store_damaged, filesystem_refused, permission_denied, disk_full), what binding throws
///          (address_in_use, address_invalid, insecure_refused), invalid_argument. A disk that
///          fails, fills up or hangs later is told to publishers, and the first two to the log;
///          readers and the network go on. After a write or sync that failed
///          (stats().storage.failed) nothing is confirmed any more: end it and make it anew.
/// Limits:  store_server_options.
class store_server {
public:
    explicit store_server(const std::filesystem::path& path);
    explicit store_server(store_server_options options);
    /// Closes.
    ~store_server();
    store_server(const store_server&) = delete;
    store_server& operator=(const store_server&) = delete;

    /// Throws the error that construction would throw for these options, but for what only the
    /// attempt can tell: a port in use, a directory that cannot be opened. Makes nothing.
    static void check(const store_server_options& options);

    /// Listens at one more endpoint. Returns it with its port; throws error as construction does.
    std::string bind(std::string_view endpoint);
    /// Where it listens, in the order of binding, ports resolved: what a node connects to.
    std::vector<std::string> endpoints() const;

    /// What opening the database found.
    const store::opening& opened() const noexcept;
    /// How long opening the database took.
    std::chrono::nanoseconds opening_time() const noexcept;
    store_server_stats stats() const;

    /// Replaces the keys that may connect; links of others have ended when it returns.
    /// Throws error (key_invalid, not_supported without keys).
    void allow_keys(std::vector<std::string> keys);
    /// Replaces the rules. Links of clients whose rights change have ended when it returns, and all
    /// that they had opened there; they connect again, and ask under the new rules. Throws error
    /// (invalid_argument, key_invalid).
    void allow(std::vector<access_rule> rules);

    /// Takes nothing more, commits and confirms what it has, says BYE, and closes the database.
    /// Waits for the disk, however long that takes. Idempotent.
    void close();
    /// The same, but for a disk that hangs: when the deadline passed first, it says BYE and returns
    /// what is not confirmed. The database then stays open until the disk answers; close() and the
    /// destructor wait for that, and a program that leaves without them loses nothing that was
    /// confirmed.
    store_closing close(std::chrono::milliseconds deadline);

private:
    struct parts;
    std::unique_ptr<parts> parts_;
};

}  // namespace cairn
