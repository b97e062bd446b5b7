#include "background_scheduling.hpp"
#include "disk_watch.hpp"
#include "service.hpp"

#include <cairn/store/committer.hpp>
#include <cairn/store_server.hpp>
#include <cairn/wire/limits.hpp>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

namespace cairn {

namespace {

constexpr std::size_t append_bytes_min = std::size_t{64} << 10;
constexpr std::size_t append_bytes_most = std::size_t{1} << 40;  // sums of them stay in 64 bits
constexpr std::size_t page_bytes_min = std::size_t{64} << 10;
constexpr std::size_t replay_threads_max = 64;
constexpr std::chrono::milliseconds close_deadline_max = std::chrono::hours(24);

store_server_options checked(store_server_options options) {
    if (options.path.empty())
        throw error(errc::invalid_argument, "store server: path is empty; name a directory");
    if (options.append_window_bytes < append_bytes_min ||
        options.append_bytes_max < options.append_window_bytes ||
        options.append_bytes_max > append_bytes_most)
        throw error(errc::invalid_argument,
                    "store server: append_window_bytes must be 64 KiB or more, and "
                    "append_bytes_max not below it and not above 1 TiB");
    if (options.replay_threads == 0 || options.replay_threads > replay_threads_max)
        throw error(errc::invalid_argument, "store server: replay_threads must be 1 to 64");
    if (options.replay_page_bytes < page_bytes_min)
        throw error(errc::invalid_argument,
                    "store server: replay_page_bytes must be 64 KiB or more");
    if (options.replay_bytes_max < options.replay_page_bytes)
        throw error(errc::invalid_argument,
                    "store server: replay_bytes_max must not be below replay_page_bytes");
    if (!options.network.access.empty())
        throw error(errc::invalid_argument,
                    "store server: network.access is set; the rules of a store are its own access");
    options.network.access = options.access;
    return options;
}

node_options without_endpoints(node_options options) {
    options.bind.clear();
    options.connect.clear();
    if (options.name.empty()) options.name = "store";
    return options;
}

/// The committer's thread serves the network while it has nothing to commit: what comes alone is
/// received, committed and confirmed by one thread.
class network_room final : public store::waiting_room {
public:
    explicit network_room(runtime::loop& loop) : loop_(loop) {}

    void wait(time_point deadline, const std::function<bool()>& done) override {
        loop_.wait_until(deadline, done);
    }
    void wake() override {
        if (loop_.locked_by_me()) return loop_.changed();
        const runtime::loop::guard holding(loop_);
        loop_.changed();
    }

private:
    runtime::loop& loop_;
};

store::committer_options committing(const store_server_options& options,
                                    store::waiting_room& room) {
    store::committer_options chosen;
    chosen.room = &room;
    // Whatever was granted fits, and one batch of the largest size.
    chosen.waiting_bytes_max =
        std::max(options.append_bytes_max, wire::batch_bytes_max) + 2 * wire::batch_bytes_max;
    return chosen;
}

cairn::generation generation_of(const store::database& data) {
    return {data.opened().generation.bytes};
}

}  // namespace

struct store_server::parts {
    explicit parts(store_server_options given)
        : options(checked(std::move(given))),
          begun(clock::now()),
          data(options.path, options.storage),
          opening_time(clock::now() - begun),
          hub(without_endpoints(options.network), true),
          room(hub.loop()),
          committer(data, committing(options, room)),
          commits(hub.loop(), committer),
          readers(hub.loop(), data, options.replay_threads),
          quota(options.topics_made_per_client_max),
          service({options, hub, commits, readers, topics, quota, generation_of(data)},
                  [this](store_server_stats& to) { add_disk_stats(to); }) {
        const runtime::loop::guard holding(hub.loop());
        watch.emplace(hub, data, committer);
    }
    ~parts() { close(); }

    void close();
    bool close_until(std::chrono::milliseconds deadline);
    std::uint64_t unconfirmed();
    void run_close();
    void add_disk_stats(store_server_stats& to) const {
        to.storage = data.stats();
        const store::committer_stats committing = committer.stats();
        to.transactions = committing.transactions;
        to.waiting_bytes = committing.waiting_bytes;
    }

    const store_server_options options;
    const time_point begun;
    store::database data;
    const std::chrono::nanoseconds opening_time;
    runtime::hub hub;
    network_room room;
    store::committer committer;
    daemon::commit_queue commits;
    daemon::reader_pool readers;
    daemon::topic_table topics;
    daemon::topic_quota quota;
    daemon::service service;
    std::optional<daemon::disk_watch> watch;  // of the loop; until the database closes

    std::mutex mutex;
    std::vector<std::string> endpoints;  // guarded by mutex
    std::condition_variable over;
    bool closed = false;  // guarded by mutex
    std::thread closing;
};

// Every step may wait for the disk, that of the database as well: it notes that it was closed.
void store_server::parts::run_close() {
    if (!hub.closed()) {
        const runtime::loop::guard holding(hub.loop());
        service.stop();
    }
    readers.close();
    // Without the loop's lock: links live on while the disk works.
    committer.close();
    if (!hub.closed()) {
        const runtime::loop::guard holding(hub.loop());
        commits.run(hub.loop().now());
        watch->run(hub.loop().now());
    }
    hub.close();
    {
        const runtime::loop::guard holding(hub.loop());
        watch.reset();
    }
    data.close();
    const std::lock_guard hold(mutex);
    closed = true;
    over.notify_all();
}

bool store_server::parts::close_until(std::chrono::milliseconds deadline) {
    if (hub.forked()) return true;
    std::unique_lock hold(mutex);
    if (!closed && !closing.joinable()) closing = std::thread([this] { run_close(); });
    if (!over.wait_for(hold, std::min(deadline, close_deadline_max), [&] { return closed; }))
        return false;
    hold.unlock();
    if (closing.joinable()) closing.join();
    return true;
}

void store_server::parts::close() {
    while (!close_until(close_deadline_max)) {
    }
}

std::uint64_t store_server::parts::unconfirmed() {
    const runtime::loop::guard holding(hub.loop());
    return committer.stats().waiting_commands + commits.waiting();
}

void store_server::check(const store_server_options& options) {
    const store_server_options chosen = checked(options);
    runtime::check(chosen.network);
    store::check_options(chosen.path, chosen.storage);
}

store_server::store_server(const std::filesystem::path& path)
    : store_server(store_server_options{.path = path}) {}

store_server::store_server(store_server_options options) {
    std::vector<std::string> binds = options.network.bind;
    if (binds.empty()) binds.emplace_back("tcp://127.0.0.1:0");
    const daemon::background_scheduling for_our_threads;
    // The services are in place before the first peer can ask for anything.
    parts_ = std::make_unique<parts>(std::move(options));
    for (const std::string& endpoint : binds) bind(endpoint);
}

store_server::~store_server() {
    // In a forked child everything is the parent's, the database's lock included.
    if (parts_ && parts_->hub.forked()) static_cast<void>(parts_.release());
}

std::string store_server::bind(std::string_view endpoint) {
    std::string bound = parts_->hub.bind(endpoint);
    const std::lock_guard hold(parts_->mutex);
    parts_->endpoints.push_back(bound);
    return bound;
}

std::vector<std::string> store_server::endpoints() const {
    const std::lock_guard hold(parts_->mutex);
    return parts_->endpoints;
}

const store::opening& store_server::opened() const noexcept { return parts_->data.opened(); }

std::chrono::nanoseconds store_server::opening_time() const noexcept {
    return parts_->opening_time;
}

store_server_stats store_server::stats() const {
    store_server_stats s;
    s.network = parts_->hub.stats();
    parts_->add_disk_stats(s);
    const runtime::loop::guard holding(parts_->hub.loop());
    parts_->service.add_stats(s);
    return s;
}

void store_server::allow_keys(std::vector<std::string> keys) {
    parts_->hub.allow_keys(std::move(keys));
}

void store_server::allow(std::vector<access_rule> rules) { parts_->hub.allow(std::move(rules)); }

void store_server::close() { parts_->close(); }

store_closing store_server::close(std::chrono::milliseconds deadline) {
    if (parts_->close_until(deadline)) return {.closed = true};
    const std::uint64_t unconfirmed = parts_->unconfirmed();
    parts_->hub.close();
    return {.unconfirmed = unconfirmed};
}

}  // namespace cairn
